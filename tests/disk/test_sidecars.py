"""Small files beside a log, where the disk refuses and where a setting is wrong."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.disk.files import DatabasePaths
from spgrepl.disk.sidecars import load_cluster_id
from spgrepl.engines.counting import CountingEngine
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import EXIT_CONFIGURATION, EXIT_TRY_AGAIN, ConfigurationError, EngineFailed
from spgrepl.replica.following.replay import Replay


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Let the kernel refuse each byte that is written to a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_cluster_id_that_cannot_be_written_for_the_moment(tmp_path: Path) -> None:
    paths = DatabasePaths.of(tmp_path / "a.db")
    with pytest.raises(EngineFailed, match=r"cluster.id cannot be read or made: ") as refused, full_disk():
        load_cluster_id(paths)
    assert refused.value.exit_code == EXIT_TRY_AGAIN
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_id_without_a_folder_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file") as refused:
        load_cluster_id(DatabasePaths.of(tmp_path / "missing/a.db"))
    assert refused.value.exit_code == EXIT_CONFIGURATION


@pytest.mark.parametrize("kind", [SqliteEngine, CountingEngine])
def test_a_follower_whose_disk_refuses_while_it_opens_may_be_started_again(tmp_path: Path, kind: type) -> None:
    replay = Replay(kind(tmp_path / "a.db"), DatabasePaths.of(tmp_path / "a.db"))
    with pytest.raises(EngineFailed, match="File too large") as refused, full_disk():
        replay.open()
    assert refused.value.exit_code == EXIT_TRY_AGAIN
