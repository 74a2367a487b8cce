"""What is said where a log and a database are not a pair: both are named, and the way on fits who owns them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.disk.files import DatabasePaths
from spgrepl.interfaces.engine import ReplayState
from spgrepl.log.file_kinds import what_it_looks_like
from spgrepl.pairs.texts import Owner, PairTexts

DATABASE, WAL = Path("/data/a b.db"), Path("/data/a b.wal")
STATE = ReplayState(1500, 1000)
TEXTS: dict[str, Callable[[PairTexts], str]] = {
    "missing_log": lambda texts: texts.missing_log(STATE),
    "short_log": lambda texts: texts.short_log(STATE, 20),
    "other_pair": lambda texts: texts.other_pair(Path("/data/c.db")),
    "empty": lambda texts: texts.empty_log_of_another(Path("/data/c.db")),
    "missing_database": lambda texts: texts.missing_database(20, None),
    "half": lambda texts: texts.half_turned(),
}


def texts(owner: Owner, wal: Path = WAL) -> PairTexts:
    return PairTexts(DatabasePaths(DATABASE, wal), owner)


@pytest.mark.parametrize("owner", Owner)
@pytest.mark.parametrize("which", TEXTS)
def test_both_files_are_named(which: str, owner: Owner) -> None:
    said = TEXTS[which](texts(owner))
    assert str(DATABASE) in said
    assert str(WAL) in said


@pytest.mark.parametrize(
    ("owner", "words", "not_words"),
    [
        (Owner.PRIMARY, "and all rows: spgrepl exec", "copy"),
        (Owner.COPY, "the whole copy: spgrepl exec", "and all rows"),
        (Owner.ARCHIVE, "begin a new copy under another --db", "--new-log"),
    ],
)
def test_the_way_on_without_the_log_is_the_owners(owner: Owner, words: str, not_words: str) -> None:
    for which in ("missing_log", "short_log"):
        said = TEXTS[which](texts(owner))
        assert words in said
        assert not_words not in said
    assert "up to position 500: the log was truncated" in TEXTS["short_log"](texts(owner))


@pytest.mark.parametrize(("from_empty", "rebuild"), [(None, True), (True, True), (False, False)])
def test_a_log_alone_makes_a_database_that_began_empty(from_empty: bool | None, rebuild: bool) -> None:
    assert ("--rebuild" in texts(Owner.PRIMARY).missing_database(20, from_empty)) == rebuild
    assert "--rebuild" not in texts(Owner.COPY).missing_database(20, from_empty)


@given(st.text("ab '\"$;/", min_size=1, max_size=8).filter(lambda name: name.strip("/.")))
def test_a_command_is_one_that_a_shell_reads_right(name: str) -> None:
    wal = Path("/data") / f"{name}x"
    said = texts(Owner.PRIMARY, wal).missing_log(STATE)
    found = re.search(r"spgrepl exec (.*) --new-log", said, re.DOTALL)
    assert found is not None
    assert shlex.split(found[1]) == ["--db", str(DATABASE), "--wal", str(wal)]
    assert " --wal " not in texts(Owner.PRIMARY).missing_log(STATE).partition("spgrepl exec")[2]


def test_a_file_of_another_kind_is_not_named_as_the_new_log(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"SQLite format 3\0" + bytes(100))
    kind = what_it_looks_like(tmp_path / "x")
    said = texts(Owner.PRIMARY).unlike_log(STATE, kind, 116)
    assert f"--wal {shlex.quote(str(DATABASE) + '.wal')} --new-log" in said
    assert "It is the log of /data/c.db" in texts(Owner.COPY).foreign_log(kind, 116, Path("/data/c.db"))
    assert "It is the log of" not in texts(Owner.COPY).foreign_log(kind, 116, DATABASE)
