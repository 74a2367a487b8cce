"""What settings say of an engine, the engine keeps to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from spgrepl.disk.files import DatabasePaths
from spgrepl.disk.limits import ReplicaLimits
from spgrepl.engines.archive import ArchiveEngine
from spgrepl.engines.counting import CountingEngine
from spgrepl.errors import StatementRefused
from spgrepl.interfaces.engine import ReplayState
from spgrepl.server.role_settings import FollowerSettings, make_engine
from tests.replica.following.copies import database_bytes
from tests.sqlite.test_time_limit import ENDLESS


def settings_in(folder: Path, **more: Any) -> FollowerSettings:
    master: Any = None
    return FollowerSettings(DatabasePaths.of(folder / "copy.db"), master, **more)


def test_a_statement_may_run_as_long_as_the_limits_say(tmp_path: Path) -> None:
    engine = make_engine(settings_in(tmp_path, replica=ReplicaLimits(statement_seconds=0.1)))
    snapshot = tmp_path / "snapshot"
    snapshot.write_bytes(database_bytes(tmp_path, "CREATE TABLE t (i)"))
    assert engine.open() is None
    engine.install_snapshot(snapshot, ReplayState(0, 0))
    engine.begin()
    with pytest.raises(StatementRefused, match=r"it ran for 0.1 s"):
        engine.execute([ENDLESS], {})
    engine.rollback()
    engine.close()


def test_engines_by_name_and_one_of_your_own(tmp_path: Path) -> None:
    assert isinstance(make_engine(settings_in(tmp_path, engine="archive")), ArchiveEngine)
    counting = make_engine(settings_in(tmp_path, engine="counting"))
    assert isinstance(counting, CountingEngine)
    assert make_engine(settings_in(tmp_path, engine=counting)) is counting


def test_what_is_secret_of_an_engine_is_not_shown(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, engine="postgresql://me:hunter2@host/db")
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(attrs.evolve(settings, master_name="m"))


def test_a_servers_statements_may_run_as_long_too(tmp_path: Path) -> None:
    limits = ReplicaLimits(statement_seconds=4.5)
    engine = make_engine(settings_in(tmp_path, engine="postgresql://host/database", replica=limits))
    assert engine._seconds == 4.5  # type: ignore[attr-defined]
