"""Which engine keeps the copy that a log belongs to."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.archive import ArchiveEngine
from spgrepl.engines.counting import CountingEngine
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import ConfigurationError, LocalFilesDamaged
from spgrepl.pairs.copied_by import engine_of_copy, refuse_copy_of_another_engine
from spgrepl.pairs.pair import Pair, read_pair, write_pair
from spgrepl.primary.writing.writer import DatabaseWriter
from tests.replica.following.copies import opened
from tests.wrong_files import looks


def pair_of(folder: Path, engine: str | None) -> DatabasePaths:
    """The files that a follower leaves, whose log is empty."""
    paths = DatabasePaths.of(folder / "copy.db")
    paths.wal.touch()
    write_pair(paths.pair, Pair("ab" * 16, paths.database, copied_by=engine))
    return paths


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("postgresql", "is the log of a copy in PostgreSQL"),
        ("archive", "is the log of an archive"),
        ("counting", "is the log of a copy whose statements are only counted"),
        ("mine", "is the log of a copy of the engine mine"),
    ],
)
def test_a_primary_makes_nothing_beside_the_log_of_another_engine(tmp_path: Path, engine: str, said: str) -> None:
    paths = pair_of(tmp_path, engine)
    before = looks(tmp_path)
    with pytest.raises(ConfigurationError, match=said):
        DatabaseWriter(paths).open()
    assert looks(tmp_path) == before
    refuse_copy_of_another_engine(paths, engine)


@pytest.mark.parametrize("engine", [None, "sqlite"])
def test_what_a_database_says_itself_is_left_to_it(tmp_path: Path, engine: str | None) -> None:
    paths = pair_of(tmp_path, engine)
    assert engine_of_copy(paths) == engine
    refuse_copy_of_another_engine(paths)
    refuse_copy_of_another_engine(paths, "archive")


def test_a_follower_says_who_it_is_and_takes_nothing_over(tmp_path: Path) -> None:
    with opened(tmp_path, ArchiveEngine) as copy:
        copy.install(b"some snapshot", 40)
    paths = DatabasePaths.of(tmp_path / "copy.db")
    assert engine_of_copy(paths) == "archive"
    before = looks(tmp_path)
    for engine in (SqliteEngine, CountingEngine):
        with pytest.raises(ConfigurationError, match="an archive"), opened(tmp_path, engine):
            pass
        assert looks(tmp_path) == before


@pytest.mark.parametrize("engine", [ArchiveEngine, CountingEngine])
def test_files_of_an_earlier_version_are_known_by_the_state_beside_them(tmp_path: Path, engine: type) -> None:
    with opened(tmp_path, engine) as copy:
        copy.install(b"some snapshot", 40)
    paths = DatabasePaths.of(tmp_path / "copy.db")
    pair = read_pair(paths.pair)
    assert pair is not None
    content = json.loads(paths.pair.read_text())
    del content["copied_by"]
    paths.pair.write_text(json.dumps(content))
    assert engine_of_copy(paths) == engine.name  # type: ignore[attr-defined]
    # Of another pair: the state is left over from a copy before.
    write_pair(paths.pair, attrs.evolve(pair, id="cd" * 16, copied_by=None))
    assert engine_of_copy(paths) is None


def test_what_is_damaged_tells_nothing(tmp_path: Path) -> None:
    paths = pair_of(tmp_path, None)
    for content in (b"{}", b"[1]", b"\xff"):
        paths.engine_state.write_bytes(content)
        assert engine_of_copy(paths) is None
    paths.pair.write_bytes(b"something else")
    assert engine_of_copy(paths) is None


def test_a_count_is_not_kept_beside_a_database_of_somebody(tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_bytes(b"something of somebody's")
    before = looks(tmp_path)
    with (
        pytest.raises(LocalFilesDamaged, match=r"copy\.db is there and was not made"),
        opened(tmp_path, CountingEngine),
    ):
        pass
    assert looks(tmp_path) == before
