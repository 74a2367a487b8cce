"""Making a follower's copy a primary's database. Blocking; no server has the files open."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from zlib import crc32

import apsw
import attrs

from spgrepl.base.histories import History, shifted
from spgrepl.base.results import Position
from spgrepl.disk.files import DatabasePaths, sync_folder
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import ConfigurationError, EngineFailed, LocalFilesDamaged, PromotionRefused, RecordError
from spgrepl.interfaces.engine import Fence, ReplayState
from spgrepl.log.format.records import DEFAULT_MAX_RECORD, encode_v2
from spgrepl.log.reader import iterate_records
from spgrepl.log.transactions.walk import TransactionWalk
from spgrepl.pairs.pair import read_pair, write_pair
from spgrepl.pairs.turns import Turn, read_turn
from spgrepl.primary.parts.settings import DRAINED, is_drained, store_setting
from spgrepl.replica.following.local_files import LocalFiles
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.row_mark import rows_begin, rows_move
from spgrepl.sqlite.session import plain_connection
from spgrepl.text.quantities import number_of

_SHOWN = 80
_ROLLBACK = b"ROLLBACK"


@attrs.frozen
class Dropped:
    """What stood in a log after the position that its copy had come to: the beginning of a transaction, at most.

    Attributes:
        position: Where it began.
        length: How many bytes it has.
        records: How many whole records.
        first: The first of its statements that is more than BEGIN, cut short; empty where there is none.
        kept: Where its bytes are now.
    """

    position: int
    length: int
    records: int
    first: str
    kept: Path

    def __str__(self) -> str:
        first = f", first {self.first!r}" if self.first else ""
        return (
            f"what was open at position {self.position} was dropped: "
            f"{number_of(self.records, 'record')}{first}; its "
            f"{number_of(self.length, 'byte is', 'bytes are')} in {self.kept}"
        )


@attrs.frozen
class EndedTransactions:
    """Transactions of an SPG server that were open while others were committed, and that the promotion has ended.

    Attributes:
        position: Where the first of them began.
        transactions: How many were open.
        statements: How many of their statements waited, and never take effect.
    """

    position: int
    transactions: int
    statements: int

    def __str__(self) -> str:
        return (
            f"{number_of(self.transactions, 'transaction that was', 'transactions that were')} "
            f"open since position {self.position} "
            f"{'is' if self.transactions == 1 else 'are'} rolled back, "
            f"with the {number_of(self.statements, 'statement')} that waited for their end"
        )


@attrs.frozen
class Promoted:
    """What `promote_copy` did.

    Attributes:
        position: Where the new history stands, after the record that begins it.
        before: The histories that end here, each with the last of its positions that is shared.
        dropped: What was open at the end; None where nothing was.
        ended: What was open before that; None where nothing was.
    """

    position: Position
    before: tuple[Position, ...]
    dropped: Dropped | None
    ended: EndedTransactions | None = None

    def lines(self) -> list[str]:
        """What an operator is told."""
        said = [f"history {self.position.history} begins"]
        said += [f"history {one.history} ends at position {int(one)}" for one in self.before]
        return [*said, *(str(one) for one in (self.ended, self.dropped) if one is not None)]


def promote_copy(paths: DatabasePaths, *, forced: bool = False, max_record: int = DEFAULT_MAX_RECORD) -> Promoted:
    """Make a follower's copy a primary's database, whose log goes on where the copy's ends.

    Args:
        paths: The copy and its own log.
        forced: Whether to do so although a different history was found at its master.
        max_record: The most bytes of SQL or payload that a record may have.

    Raises:
        PromotionRefused: It is not a copy that can go on alone. Nothing was changed.
        ConfigurationError: It is not a follower's copy.
        DatabaseLocked: A process uses the files.
        LocalFilesDamaged: They do not belong together.
        EngineFailed: The disk refuses. It is a copy still.
    """
    if role_of(paths) is None:
        raise ConfigurationError(f"{paths.database} holds no copy: name the database of a follower")
    engine = SqliteEngine(paths.database)
    files = LocalFiles(paths, engine, max_record)
    try:
        state = files.open()
        assert state is not None  # it has a role
        _refuse(paths, engine, state, forced)
        open_ones = _open_transactions(paths, files, state)
        dropped = _put_aside(paths, files.kept, files.pair, state, max_record)
        return attrs.evolve(_promote(paths, files, engine, state, open_ones), dropped=dropped)
    except OSError as error:
        raise EngineFailed(f"{paths.database} cannot be promoted: {error}") from error
    except apsw.Error as error:
        raise EngineFailed(f"{paths.database} cannot be promoted: {error}") from error
    finally:
        engine.close()
        files.close()


def _refuse(paths: DatabasePaths, engine: SqliteEngine, state: ReplayState, forced: bool) -> None:
    if state.alone_to > state.position:
        raise PromotionRefused(
            f"{paths.database} holds rows up to position {state.alone_to}, and has read its master's log up to "
            f"{state.position} only: its snapshot was taken inside of open transactions. Promote another copy, or "
            f"let it follow up to there first"
        )
    if engine.cold_rows_pending():
        raise PromotionRefused(
            f"{paths.database} lacks rows whose cold segments have not come: it is not a whole database"
        )
    if state.position == 0 and state.base == 0 and state.fence is None and not state.histories:
        raise PromotionRefused(f"{paths.database} waits for a fresh snapshot: promote a copy that has one")
    if state.diverged is not None and not forced:
        raise PromotionRefused(f"{paths.database}: {state.diverged}. Promote it all the same with --force")


def _put_aside(
    paths: DatabasePaths, kept: Path | None, pair: str, state: ReplayState, max_record: int
) -> Dropped | None:
    """Keep what was cut off the log under a name that no later start removes."""
    if kept is None or _is_own_turn(kept, pair, max_record):
        return None
    number = 1
    while os.path.lexists(aside := paths.wal.with_name(f"{paths.wal.name}.dropped-{number}")):
        number += 1
    os.rename(kept, aside)
    sync_folder(aside.parent)
    records, first = 0, ""
    # What a crash has torn ends it; the file has all of it.
    with contextlib.suppress(RecordError):
        for batch in iterate_records(aside, 0, max_record):
            records += len(batch)
            texts = (sql.decode("utf-8", "replace") for sql in batch.sql if sql is not None)
            first = first or next((sql[:_SHOWN] for sql in texts if not sql.upper().startswith("BEGIN")), "")
    return Dropped(state.position, aside.stat().st_size, records, first, aside)


def _is_own_turn(kept: Path, pair: str, max_record: int) -> bool:
    """Whether what was cut off is what an earlier promotion wrote, which was stopped before its end."""
    try:
        found = [sql for batch in iterate_records(kept, 0, max_record) for sql in batch.sql]
    except RecordError:
        return False
    turn = None if not found or found[-1] is None else read_turn(found[-1])
    return turn is not None and turn.id == pair and all(sql == _ROLLBACK for sql in found[:-1])


def _promote(
    paths: DatabasePaths,
    files: LocalFiles,
    engine: SqliteEngine,
    state: ReplayState,
    open_ones: EndedTransactions | None,
) -> Promoted:
    start = state.position - state.base
    rollbacks = b"" if open_ones is None else encode_v2(_ROLLBACK) * open_ones.transactions
    before = tuple(_ended(one, start) for one in shifted(state.histories, state.base))
    ending = tuple(
        (now.id, now.stop)
        for was, now in zip(state.histories, before, strict=True)
        if was.stop is None and now.stop is not None
    )
    record = Turn(files.pair, start + len(rollbacks), ending).encode()
    pair = read_pair(paths.pair)
    assert pair is not None  # `LocalFiles.open` has written it
    # Its log does not tell all of it: what came with the snapshot is in the database alone.
    write_pair(paths.pair, attrs.evolve(pair, from_empty=False, copied_by=None))
    engine.close()
    files.require_in_place()
    files.log.append(rollbacks + record)
    files.log.sync()
    position = start + len(rollbacks) + len(record)
    fence = Fence(start + len(rollbacks), crc32(record))
    promoted = ReplayState(position, 0, fence, files.pair, histories=before)
    with contextlib.closing(plain_connection(paths.database)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        sqlite_state.ensure_table(connection)
        begin = rows_begin(connection)
        if begin is not None:
            rows_move(connection, max(0, begin - state.base))
        if is_drained(connection):
            store_setting(connection, DRAINED, on=False)
        sqlite_state.write_state(connection, sqlite_state.ROLE_PRIMARY, promoted)
        connection.execute("COMMIT")
    for gone in (paths.applied_position, paths.left):
        gone.unlink(missing_ok=True)
    return Promoted(
        Position(position, history=files.pair),
        tuple(Position(stop, history=id_) for id_, stop in ending),
        None,
        open_ones,
    )


def _open_transactions(paths: DatabasePaths, files: LocalFiles, state: ReplayState) -> EndedTransactions | None:
    """The transactions that the log holds open before the position that the copy has come to."""
    opened_by = state.notes.opened_by
    if opened_by is None:
        return None
    walk = TransactionWalk()
    walk.resume(opened_by)
    for batch in files.read_log(state.base, opened_by, state.position):
        walk.walk(batch)
    group = walk.group
    if group is None:
        return None
    if group.dropped().differs:
        raise PromotionRefused(
            f"{paths.database} cannot be promoted while transactions are open: {group.describe()}. Promote "
            f"another copy, or wait until the follower takes them for dead"
        )
    return EndedTransactions(group.begin, group.open, group.held)


def _ended(one: History, start: int) -> History:
    """A history of a copy, where its log stops following that."""
    return one if one.stop is not None else attrs.evolve(one, stop=max(0, start + one.offset))


def role_of(paths: DatabasePaths) -> str | None:
    """Whether a database is a primary's or a follower's; None where it is neither.

    Raises:
        EngineFailed: It cannot be read.
        LocalFilesDamaged: Its state is damaged.
    """
    if not paths.database.exists():
        return None
    try:
        with contextlib.closing(plain_connection(paths.database, read_only=True)) as connection:
            stored = sqlite_state.read_state(connection)
    except apsw.NotADBError as error:
        raise LocalFilesDamaged(f"{paths.database} is not a SQLite database: {error}") from error
    except apsw.Error as error:
        raise EngineFailed(f"{paths.database} cannot be read: {error}") from error
    return None if stored is None else stored.role
