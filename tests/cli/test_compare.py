"""``spgrepl compare``: what is asked for, and how the answer is told."""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw
import pytest

from spgrepl.cli import compare, main
from tests.primary.copying import opened


def fill(path: Path, *statements: str) -> str:
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        for statement in statements:
            connection.execute(statement)
    return str(path)


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    schema = ["CREATE TABLE t (a PRIMARY KEY)", "CREATE TABLE u (a)", "INSERT INTO t VALUES (1), (2)"]
    return [fill(tmp_path / name, *schema) for name in ("a.db", "b.db")]


def test_equal_and_not(two: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *two]) == 0
    assert capsys.readouterr().out == "equal: 2 tables, 2 rows\n"
    fill(Path(two[1]), "UPDATE t SET a = 2.0 WHERE a = 2")
    assert main(["compare", *two]) == 1
    out = capsys.readouterr().out
    assert "(2.0" in out
    assert out.endswith("1 difference\n")
    assert main(["compare", "--table", "u", *two]) == 0


def test_only_so_many_differences_are_shown(
    two: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare, "_MOST_SHOWN", 2)
    for number in range(5):
        fill(Path(two[0]), f"CREATE TABLE x{number} (a)")
    assert main(["compare", *two]) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == ["and 3 more", "5 differences"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--repair", "r.sql"], "--repair needs --pinned"),
        (["--subscription", "s"], "--subscription needs --pinned"),
        (["--hold", "5"], "--hold needs --pinned"),
    ],
)
def test_what_needs_a_position_is_refused_without_one(
    two: list[str], words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *words, *two]) == 64
    assert said in capsys.readouterr().err


def test_at_one_position_rows_are_named_and_put_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(tmp_path, "CREATE TABLE t (a PRIMARY KEY, b)", "INSERT INTO t VALUES (1, 1), (2, 2)") as writer:
        first = writer.paths.database
        second = tmp_path / "copy.db"
        writer.rows(f"VACUUM INTO '{second}'")
    fill(second, "UPDATE t SET b = 9 WHERE a = 1", "DELETE FROM t WHERE a = 2", "INSERT INTO t VALUES (3, 3)")
    repair = tmp_path / "r.sql"
    words = ["compare", "--pinned", str(first), str(second)]
    assert main([*words, "--repair", str(repair)]) == 1
    out = capsys.readouterr().out
    assert "3 rows differ, 0 are equal" in out
    assert f"statements are in {repair}" in out
    fill(second, repair.read_text())
    assert main(words) == 0
    assert "equal: 1 table, 2 rows" in capsys.readouterr().out


def test_files_that_are_not_there_are_not_made(two: list[str], tmp_path: Path) -> None:
    for words in ([two[0], str(tmp_path / "none.db")], ["--pinned", str(tmp_path / "none.db"), two[0]]):
        assert main(["compare", *words]) == 66
    assert not (tmp_path / "none.db").exists()


def test_a_socket_is_meant_from_here_on(
    two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", two[0], "unix:none"]) == 69
    assert f"unix:{tmp_path.resolve()}/none does not answer" in capsys.readouterr().err
