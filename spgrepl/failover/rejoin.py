"""Making a follower's copy of what was a primary's database, or another primary's copy. Blocking."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

import apsw
import attrs

from spgrepl.base.histories import History
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import ConfigurationError, DifferentHistory, EngineFailed, LocalFilesDamaged
from spgrepl.failover.common import Shared, longest_shared
from spgrepl.failover.lost import Lost, list_lost
from spgrepl.interfaces.engine import Fence, ReplayState
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.log.writer import LogWriter
from spgrepl.pairs.fence import MARK_SPAN, crc_of_range
from spgrepl.pairs.pair import Becoming, LogBond, Pair, read_pair, write_pair
from spgrepl.pairs.texts import Owner
from spgrepl.primary.writing.repair import copy_aside, last_aside, locked, move_aside
from spgrepl.primary.writing.writer import DatabaseWriter
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.row_mark import rows_begin, rows_move
from spgrepl.sqlite.session import plain_connection
from spgrepl.sqlite.state import ROLE_FOLLOWER, ROLE_PRIMARY, StoredState


@attrs.frozen
class NewPrimary:
    """What the server says of itself that is to be followed.

    Attributes:
        histories: Whose positions its log's are.
        length: The length of its log.
    """

    histories: tuple[History, ...]
    length: int


@attrs.frozen
class Rejoined:
    """What `rejoin` did.

    Attributes:
        position: Where the copy goes on, as the new primary counts; None where it begins with a fresh snapshot.
        lost: What was here and is not shared; None where all is, or nothing can be said.
        log: Where the old log is now.
        reason: Why it begins with a fresh snapshot although all that is here is shared; or, where an earlier call
            was stopped before its end, what that had to say. None where nothing is.
    """

    position: int | None
    lost: Lost | None
    log: Path | None
    reason: str | None = None


def rejoin(
    paths: DatabasePaths, primary: NewPrimary, *, resnapshot: bool = False, max_record: int = DEFAULT_MAX_RECORD
) -> Rejoined:
    """Let a database follow a primary, which was promoted meanwhile.

    Args:
        paths: The database of an old primary or of another follower, and its log; no server has them open.
        primary: What is to be followed.
        resnapshot: Whether to begin with a fresh snapshot where no history is shared.
        max_record: The most bytes of SQL or payload that a record may have.

    Raises:
        ConfigurationError: There is no such database.
        DifferentHistory: No history is shared. Nothing was changed.
        DatabaseLocked: A process uses the files.
        LocalFilesDamaged: They do not belong together, or a record is broken.
        EngineFailed: The disk refuses.
    """
    _bring_to_agreement(paths, max_record)
    try:
        with locked(paths, "becomes a follower") as log, contextlib.closing(_open(paths)) as connection:
            stored = sqlite_state.read_state(connection)
            if stored is None:
                raise ConfigurationError(f"{paths.database} is not the database of a primary or a follower")
            bond = LogBond(paths, Owner.PRIMARY if stored.role == ROLE_PRIMARY else Owner.COPY)
            becoming = bond.becoming(stored.replay)
            if becoming is not None:
                aside = _put_aside(paths, Pair(becoming.id, paths.database))
                position = None if _waits_for_snapshot(stored) else stored.replay.position
                return Rejoined(position, None, aside, becoming.told or None)
            bond.judge(stored.replay)
            if _waits_for_snapshot(stored):
                return Rejoined(None, None, None)
            if _follows_already(stored, primary):
                return Rejoined(stored.replay.position, None, None)
            shared = longest_shared(_held(stored), stored.replay.position, primary.histories, primary.length)
            if shared is None and not resnapshot:
                raise DifferentHistory(_unlike(paths, stored, primary))
            return _convert(paths, log, connection, stored, shared, primary, max_record)
    except (OSError, apsw.Error) as error:
        raise EngineFailed(f"{paths.database} cannot be made a follower's copy: {error}") from error


def _bring_to_agreement(paths: DatabasePaths, max_record: int) -> None:
    """Let an old primary's database have all that is in its log, as at each of its starts."""
    if not paths.database.exists():
        raise ConfigurationError(f"there is no database {paths.database}")
    with contextlib.closing(_open(paths)) as connection:
        try:
            stored = sqlite_state.read_state(connection)
        except apsw.Error as error:
            raise LocalFilesDamaged(f"{paths.database} cannot be used as a SQLite database: {error}") from error
    if stored is not None and stored.role == ROLE_PRIMARY:
        writer = DatabaseWriter(paths, max_record)
        try:
            writer.open()
        finally:
            writer.close()


def _open(paths: DatabasePaths) -> apsw.Connection:
    return plain_connection(paths.database)


def _held(stored: StoredState) -> tuple[History, ...]:
    """The histories here, as the database counts."""
    return stored.served if stored.role == ROLE_PRIMARY else stored.replay.histories


def _waits_for_snapshot(stored: StoredState) -> bool:
    """Whether these files begin with a fresh snapshot already, as they do after a first `rejoin`."""
    replay = stored.replay
    return stored.role == ROLE_FOLLOWER and not (replay.position or replay.base or replay.histories)


def _follows_already(stored: StoredState, primary: NewPrimary) -> bool:
    """Whether these files are those of a follower of the new primary, which counts as that does."""
    position, known = stored.replay.position, stored.replay.histories
    now = [one for one in primary.histories if one.stop is None]
    return stored.role == ROLE_FOLLOWER and position <= primary.length and bool(now) and now[0] in known


def _unlike(paths: DatabasePaths, stored: StoredState, primary: NewPrimary) -> str:
    ours = ", ".join(one.id for one in _held(stored)) or "none that is known"
    theirs = ", ".join(one.id for one in primary.histories) or "none that is known"
    return (
        f"{paths.database} and the server share no history (here: {ours}; there: {theirs}): name the right "
        f"server, or throw these rows away for a fresh snapshot with --resnapshot"
    )


def _convert(
    paths: DatabasePaths,
    log: LogWriter,
    connection: apsw.Connection,
    stored: StoredState,
    shared: Shared | None,
    primary: NewPrimary,
    max_record: int,
) -> Rejoined:
    state, base = stored.replay, stored.replay.base
    lost: Lost | None = None
    going_on = None
    if shared is not None and shared.here < state.position:
        start, stop = max(0, shared.here - base), state.position - base
        lost = list_lost(paths.wal, start, stop, paths.wal.with_name(f"{paths.wal.name}.lost-{start}"), max_record)
    elif shared is not None:
        going_on = _going_on(log, state, shared, primary)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    sqlite_state.ensure_table(connection)
    if rows_begin(connection) is not None:
        rows_move(connection, 0 if going_on is None else going_on.position)
    # A pair of its own: until the old log has left its place, nobody takes it for the copy's. The file beside it
    # says so first, so that a call after a crash knows what is left to do.
    pair = Pair(secrets.token_hex(16), paths.database)
    reason = None
    if shared is not None and lost is None and going_on is None:
        reason = _why_not(state)
    old = read_pair(paths.pair) or Pair(state.pair or secrets.token_hex(16), paths.database)
    told = str(lost) if lost is not None else reason or ""
    write_pair(paths.pair, attrs.evolve(old, becoming=Becoming(pair.id, told)))
    sqlite_state.write_state(connection, ROLE_FOLLOWER, attrs.evolve(going_on or ReplayState(0, 0), pair=pair.id))
    connection.execute("COMMIT")
    aside = _put_aside(paths, pair)
    return Rejoined(None if going_on is None else going_on.position, lost, aside, reason)


def _put_aside(paths: DatabasePaths, pair: Pair) -> Path | None:
    """Let the old log leave its place, with what is beside it; returns where it is now, None where there was none.

    The file of the pair is the last: it says until then that there is something left to do.
    """
    aside = move_aside(paths.wal) or last_aside(paths.wal)
    for gone in (paths.applied_position, paths.left, paths.durable):
        gone.unlink(missing_ok=True)
    copy_aside(paths.pair)
    write_pair(paths.pair, pair)
    return aside


def _why_not(state: ReplayState) -> str:
    """Why a copy does not go on although it has nothing of its own."""
    if state.notes.opened_by is not None:
        return f"statements wait for the end of transactions that are open since position {state.notes.opened_by}"
    return "the new primary's log begins where this one ends, so nothing of the two can be compared"


def _going_on(log: LogWriter, state: ReplayState, shared: Shared, primary: NewPrimary) -> ReplayState | None:
    """The state of a copy that goes on without a snapshot; None where too little is there to be compared."""
    end = state.position - state.base
    span = min(MARK_SPAN, end, shared.there - 1)
    # What waits for the end of a transaction stands in the old log alone.
    waits = state.notes.opened_by is not None
    if waits or not log.is_open:
        return None
    if span >= 1:
        fence = Fence(shared.there - span, crc_of_range(log.fileno(), end - span, end))
    elif state.fence is not None and state.fence.start + shared.there - shared.here >= 1:
        # Nothing came after its snapshot, whose fence says of the same bytes what they are.
        fence = attrs.evolve(state.fence, start=state.fence.start + shared.there - shared.here)
    else:
        return None
    return ReplayState(shared.there, shared.there, fence, histories=primary.histories)
