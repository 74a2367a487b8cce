"""``spgrepl skip``: one record, by position and CRC, at the follower that has stopped; more in `test_failover`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spgrepl.cli import main, skip
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import StatementFailed
from tests.failover.test_failover import copy_of_statements


@pytest.fixture
def copy(tmp_path: Path) -> DatabasePaths:
    return copy_of_statements(tmp_path / "copy")[0]


def test_the_record_is_named_as_its_error_names_it(
    copy: DatabasePaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ordered: list[str] = []
    monkeypatch.setattr(skip, "execute_at_server", lambda sql, *_: ordered.append(sql))
    assert main(["skip", "--db", str(copy.database), "1234", "0000ABCD"]) == 0
    assert ordered == ["SKIP RECORD AT 1234 CRC 0000abcd"]
    assert "the record at position 1234 CRC 0000abcd is skipped" in capsys.readouterr().out


def test_what_the_follower_refuses_is_said(
    copy: DatabasePaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(sql: str, *_: Any) -> None:
        raise StatementFailed("it has not stopped", sql)

    monkeypatch.setattr(skip, "execute_at_server", refuse)
    assert main(["skip", "--db", str(copy.database), "5", "ab"]) != 0
    assert "it has not stopped" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["-5", "ab"], ["5", "xyz"], ["5", "123456789"], ["5"], ["x", "ab"], ["5", ""]])
def test_what_names_no_record(copy: DatabasePaths, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["skip", "--db", str(copy.database), "--", *words])
    assert caught.value.code == 64
    assert capsys.readouterr().err
