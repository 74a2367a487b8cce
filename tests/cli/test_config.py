"""``spgrepl config check``."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.cli import main

GOOD = """[[follower]]
name = "one"
db = "one.db"
master = "127.0.0.1:7433"

[[follower]]
name = "two"
db = "two.db"
master = "127.0.0.1:7433"
"""


def check(tmp_path: Path, text: str | bytes) -> tuple[int, Path]:
    path = tmp_path / "a.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return main(["config", "check", str(path)]), path


def test_its_roles_are_listed_and_nothing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, path = check(tmp_path, GOOD)
    assert code == 0
    assert capsys.readouterr().out.splitlines() == [
        "follower one, line 1",
        "follower two, line 6",
        f"{path} is good: 2 roles",
    ]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace('two"', 'one"'), "a.toml:"),
        (GOOD.replace("master = ", "masters = ", 1), "a.toml:4: [follower] masters: there is no such option"),
        (GOOD + "http = 99999999\n", "a.toml:10: [follower] http"),
        (GOOD + "[unknown]\n", "a.toml"),
        ("", "a.toml"),
        ("[[follower]\n", "a.toml"),
        (b"\xff\xfe", "a.toml"),
    ],
)
def test_a_mistake_is_named_by_its_place(
    tmp_path: Path, text: str | bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = check(tmp_path, text)
    out, err = capsys.readouterr()
    assert (code, out) == (78, "")
    assert said in err


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", str(tmp_path / "none.toml")]) != 0
    assert "none.toml" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["config"])
    assert caught.value.code == 64
