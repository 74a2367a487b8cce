"""Making a copy a primary's database: what is refused changes nothing, what is dropped is told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import attrs
import pytest

from spgrepl.base.histories import History
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import ConfigurationError, LocalFilesDamaged, PromotionRefused
from spgrepl.failover.promotion import promote_copy, role_of
from spgrepl.interfaces.engine import ReplayState, TransactionNotes
from spgrepl.log.format.records import encode_statement, encode_v2
from spgrepl.log.reader import iterate_records
from spgrepl.pairs.turns import read_turn
from spgrepl.sqlite import state as sqlite_state
from tests.failover.test_failover import copy_of_statements, rows_in

ROW = encode_statement(b"INSERT INTO t VALUES (1)")
OPEN = encode_v2(b"BEGIN") + encode_v2(b"INSERT INTO t VALUES (2)")


def changed(paths: DatabasePaths, change: Callable[[ReplayState], ReplayState]) -> None:
    """Change the state of a copy."""
    with closing(apsw.Connection(str(paths.database))) as connection:
        stored = sqlite_state.read_state(connection)
        assert stored is not None
        sqlite_state.write_state(connection, stored.role, change(stored.replay))


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if "-shm" not in path.name}


def test_its_log_goes_on_where_the_copys_ends(tmp_path: Path) -> None:
    paths, _ = copy_of_statements(tmp_path / "copy", ROW)
    assert role_of(paths) == sqlite_state.ROLE_FOLLOWER
    changed(paths, lambda state: attrs.evolve(state, histories=(History("a" * 32, 0),)))
    promoted = promote_copy(paths)
    assert role_of(paths) == sqlite_state.ROLE_PRIMARY
    *before, last = [sql for batch in iterate_records(paths.wal) for sql in batch.sql]
    assert before == [b"INSERT INTO t VALUES (1)"]
    assert last is not None
    turn = read_turn(last)
    assert turn is not None
    assert turn.id == promoted.position.history
    assert int(promoted.position) == paths.wal.stat().st_size
    assert [(one.history, int(one)) for one in promoted.before] == [("a" * 32, 1000 + len(ROW))]  # as that counts
    assert promoted.lines() == [
        f"history {promoted.position.history} begins",
        f"history {'a' * 32} ends at position {1000 + len(ROW)}",
    ]


def test_the_beginning_of_a_transaction_is_put_aside_and_told(tmp_path: Path) -> None:
    paths, position = copy_of_statements(tmp_path / "copy", ROW)
    with open(paths.wal, "ab") as log:
        log.write(OPEN[:-3])
    dropped = promote_copy(paths).dropped
    assert dropped is not None
    assert (dropped.position, dropped.length, dropped.records) == (position, len(OPEN) - 3, 1)
    assert dropped.kept.read_bytes() == OPEN[:-3]
    assert str(dropped).startswith(f"what was open at position {position} was dropped: 1 record")
    assert rows_in(paths) == [1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: attrs.evolve(state, notes=TransactionNotes(alone_to=9000)), "inside of open transactions"),
        (lambda state: ReplayState(0, 0, pair=state.pair), "waits for a fresh snapshot"),
        (lambda state: attrs.evolve(state, diverged="it is another one"), "it is another one"),
    ],
)
def test_what_is_refused_changes_nothing(tmp_path: Path, change: Any, message: str) -> None:
    paths, _ = copy_of_statements(tmp_path / "copy")
    changed(paths, change)
    before = files_in(tmp_path / "copy")
    with pytest.raises(PromotionRefused, match=message):
        promote_copy(paths)
    assert files_in(tmp_path / "copy").keys() - before.keys() <= {paths.database.name + "-wal"}
    assert role_of(paths) == sqlite_state.ROLE_FOLLOWER


def test_a_copy_of_another_history_is_promoted_by_force(tmp_path: Path) -> None:
    paths, _ = copy_of_statements(tmp_path / "copy", ROW)
    changed(paths, lambda state: attrs.evolve(state, diverged="it is another one"))
    promote_copy(paths, forced=True)
    assert role_of(paths) == sqlite_state.ROLE_PRIMARY


def test_where_transactions_cannot_be_ended_nothing_is_put_aside_either(tmp_path: Path) -> None:
    records = [OPEN, OPEN, encode_v2(b"COMMIT"), encode_statement(b"INSERT INTO t VALUES (3)")]
    paths, _ = copy_of_statements(tmp_path / "copy", *records)
    with open(paths.wal, "ab") as log:
        log.write(OPEN[:-3])
    for _ in range(2):
        with pytest.raises(PromotionRefused, match="while transactions are open"):
            promote_copy(paths)
        assert not [path for path in paths.wal.parent.iterdir() if "dropped" in path.name]


def test_what_is_no_copy_is_named(tmp_path: Path) -> None:
    paths = DatabasePaths.of(tmp_path / "a.db")
    assert role_of(paths) is None
    with pytest.raises(ConfigurationError, match="holds no copy"):
        promote_copy(paths)
    assert list(tmp_path.iterdir()) == []
    paths.database.write_bytes(b"x" * 4096)
    with pytest.raises(LocalFilesDamaged, match="is not a SQLite database"):
        role_of(paths)
