"""Whether another program writes a primary's database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import attrs
import pytest

from spgrepl.primary.running.others import OthersWatch


@attrs.frozen
class Watched:
    """A database with a table ``t``, two connections to it, and the watch of the first one."""

    path: Path
    ours: apsw.Connection
    theirs: apsw.Connection
    watch: OthersWatch


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    path = tmp_path / "main.db"
    with closing(apsw.Connection(str(path))) as ours, closing(apsw.Connection(str(path))) as theirs:
        ours.execute("CREATE TABLE t (a)")
        watch = OthersWatch(ours, path)
        watch.look()
        yield Watched(path, ours, theirs, watch)


def test_what_others_commit_is_noticed_and_its_own_is_not(watched: Watched) -> None:
    watched.ours.execute("INSERT INTO t VALUES (1)")
    watched.watch.look_where_idle()
    assert watched.watch.warning is None
    watched.theirs.execute("INSERT INTO t VALUES (2)")
    watched.watch.look_where_idle()
    assert watched.watch.warning is not None
    assert str(watched.path) in watched.watch.warning


def test_a_lock_of_others_is_not_waited_for(watched: Watched) -> None:
    watched.theirs.execute("BEGIN EXCLUSIVE; INSERT INTO t VALUES (1)")
    watched.watch.look_where_idle()
    assert watched.watch.warning is None
    watched.theirs.execute("COMMIT")
    watched.watch.look_where_idle()
    assert watched.watch.warning is not None
