"""Whether another program writes a primary's database."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw

from spgrepl.primary.running.others import OthersWatch


def test_what_others_commit_is_noticed_and_its_own_is_not(tmp_path: Path) -> None:
    path = tmp_path / "main.db"
    with closing(apsw.Connection(str(path))) as ours, closing(apsw.Connection(str(path))) as theirs:
        ours.execute("CREATE TABLE t (a)")
        watch = OthersWatch(ours, path)
        watch.look()
        ours.execute("INSERT INTO t VALUES (1)")
        watch.look_where_idle()
        assert watch.warning is None
        theirs.execute("INSERT INTO t VALUES (2)")
        watch.look_where_idle()
        assert watch.warning is not None
        assert str(path) in watch.warning


def test_a_lock_of_others_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "main.db"
    with closing(apsw.Connection(str(path))) as ours, closing(apsw.Connection(str(path))) as theirs:
        ours.execute("CREATE TABLE t (a)")
        watch = OthersWatch(ours, path)
        watch.look()
        theirs.execute("BEGIN EXCLUSIVE; INSERT INTO t VALUES (1)")
        watch.look_where_idle()
        assert watch.warning is None
        theirs.execute("COMMIT")
        watch.look_where_idle()
        assert watch.warning is not None
