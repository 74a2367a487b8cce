"""The pair: how a log and its database know each other from position 0 on.

A log begins with its first record, so it cannot say whose it is: the file ``<log>.pair`` beside it does. It
holds the
pair's id, which the database holds too, next to its position. With the position the database stores what stood
before it in the log (the fence), so that a pair whose file was lost, as in a backup, is known by its content.
What is
known by neither is not touched.

The file also lists what was cut off the log and kept beside it, until the next start at which nothing is cut.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import attrs

from spgrepl.base.small_files import read_regular
from spgrepl.disk.files import PRIVATE, DatabasePaths, create_private, replace_file, sync_folder
from spgrepl.errors import LocalFilesDamaged, RecordError
from spgrepl.interfaces.engine import ReplayState
from spgrepl.log.file_kinds import what_it_looks_like
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.log.reader import iterate_records
from spgrepl.log.writer import LogWriter
from spgrepl.pairs import texts
from spgrepl.pairs.fence import crc_of_range
from spgrepl.text.role_log import RoleLogger

_BLOCK = 1024 * 1024
_MARK = "spgrepl pair"


@attrs.frozen
class KeptTail:
    """What was cut off a log and is kept in a file beside it.

    Attributes:
        name: The file's name.
        length: Its length in bytes.
        crc: Its CRC-32.
    """

    name: str
    length: int
    crc: int


@attrs.frozen
class Becoming:
    """The pair that a database becomes a part of with a log of its own, once its old log has left its place.

    Attributes:
        id: That pair's id. Where the database has it already, the log that stands here is no longer its own.
        told: What is to be said of the old log, for people; empty where nothing is.
    """

    id: str
    told: str = ""


@attrs.frozen
class Pair:
    """What stands in the file beside a log.

    Attributes:
        id: The pair's id, which the database holds too.
        database: Where the database was when the file was written.
        from_empty: Whether the database was empty at position 0, so that the log alone tells all of it; None where
            that is unknown.
        kept: What was cut off the log and is kept.
        segments: Whether the folder of cold segments beside the database was made for it.
        becoming: What its database becomes; None where that stays.
        copied_by: The engine of the follower whose log it is; None for a primary's, and where an earlier version
            has written the file.
    """

    id: str
    database: Path
    from_empty: bool | None = None
    kept: tuple[KeptTail, ...] = ()
    segments: bool = False
    becoming: Becoming | None = None
    copied_by: str | None = None

    def is_of(self, database: Path) -> bool:
        """Whether it names a database, where that is now."""
        return os.path.abspath(self.database) == os.path.abspath(database)


def read_pair(path: Path) -> Pair | None:
    """Read the file beside a log; None where there is none.

    Raises:
        LocalFilesDamaged: It is something else, or damaged.
        OSError: It cannot be read.
    """
    try:
        found = json.loads(read_regular(path))
        if found["is"] != _MARK:
            raise ValueError("another kind of file")
        kept = tuple(KeptTail(str(one["name"]), int(one["length"]), int(one["crc"])) for one in found["kept"])
        empty = found["from_empty"]
        database = path.parent / found["database"]
        from_empty = None if empty is None else bool(empty)
        after = found.get("becoming")
        becoming = None if after is None else Becoming(str(after["id"]), str(after["told"]))
        engine = found.get("copied_by")
        copied_by = None if engine is None else str(engine)
        return Pair(str(found["id"]), database, from_empty, kept, bool(found.get("segments")), becoming, copied_by)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LocalFilesDamaged(
            f"{path} does not say which database the log belongs to ({error!r}): move it away; a log and a "
            "database "
            f"with rows know each other without it"
        ) from error


def write_pair(path: Path, pair: Pair) -> None:
    """Write the file beside a log, durably.

    Raises:
        OSError: The disk refuses.
    """
    # A database in the log's folder by its name alone: a folder that is moved or copied takes both along.
    beside = pair.database.parent == Path(os.path.abspath(path.parent))
    database = pair.database.name if beside else str(pair.database)
    content = {"is": _MARK, **attrs.asdict(pair), "database": database}
    replace_file(path, json.dumps(content).encode() + b"\n")


class LogBond:
    """Knows whether a log is the one of a database. Blocking; its owner holds the writer's lock.

    Args:
        paths: The database and its log.
        owner: Whose log it is, which decides what to do where it is lost.
        max_record: The most bytes of SQL or payload that a record may have.
        copied_by: The engine of the follower that the owner is; None for a primary.
    """

    _log = RoleLogger()

    def __init__(
        self,
        paths: DatabasePaths,
        owner: texts.Owner,
        max_record: int = DEFAULT_MAX_RECORD,
        copied_by: str | None = None,
    ) -> None:
        self._paths = paths
        self._copied_by = copied_by
        self._texts = texts.PairTexts(paths, owner)
        self._max_record = max_record
        self._found: Pair | None = None
        self._pair: Pair | None = None

    @property
    def id(self) -> str:
        """The pair's id, once `settle` has been called."""
        assert self._pair is not None
        return self._pair.id

    # -- judging ----------------------------------------------------------------------------------------------

    def judge(self, state: ReplayState | None) -> None:
        """Look whether the log is this database's. Nothing is changed.

        Args:
            state: What the database says of itself; None where it says nothing.

        Raises:
            LocalFilesDamaged: It is not, or nothing tells; the message says what each file holds, and what to do.
            OSError: A file cannot be read.
        """
        paths = self._paths
        if self.becoming(state) is not None:
            raise LocalFilesDamaged(self._texts.half_turned())
        length = _length_of(paths.wal)
        if state is None:
            self._judge_without_state(length)
        elif length is None:
            self._judge_missing_log(state)
        else:
            self._judge_log(state, length)

    def becoming(self, state: ReplayState | None) -> Becoming | None:
        """What the database has become although its old log stands here still; None where that is not so."""
        found = self._found = read_pair(self._paths.pair)
        after = None if found is None else found.becoming
        return after if after is not None and state is not None and state.pair == after.id else None

    def _judge_without_state(self, length: int | None) -> None:
        """The database is new, or was made by something else."""
        found, paths = self._found, self._paths
        if length:
            kind = what_it_looks_like(paths.wal)
            if paths.database.exists() or not kind.may_be_log or not (found is None or self._may_take_over(found)):
                raise LocalFilesDamaged(self._texts.foreign_log(kind, length, self._owner))
            from_empty = None if found is None else found.from_empty
            raise LocalFilesDamaged(self._texts.missing_database(length, from_empty))
        if found is not None and not self._may_take_over(found):
            raise LocalFilesDamaged(self._texts.empty_log_of_another(found.database))

    @property
    def _owner(self) -> Path | None:
        """The database that the file beside the log names."""
        return None if self._found is None else self._found.database

    def _may_take_over(self, found: Pair) -> bool:
        """Whether a log belongs to this database, or to one that is gone."""
        return self._is_here(found) or not found.database.exists()

    def _is_here(self, found: Pair) -> bool:
        return found.is_of(self._paths.database)

    def _is_known(self, state: ReplayState) -> bool:
        found = self._found
        if found is None:
            return False
        return found.id == state.pair if state.pair is not None else self._is_here(found)

    def _judge_missing_log(self, state: ReplayState) -> None:
        if state.position > state.base or (state.pair is not None and not self._is_known(state)):
            raise LocalFilesDamaged(self._texts.missing_log(state))

    def _judge_log(self, state: ReplayState, length: int) -> None:
        paths, found = self._paths, self._found
        held = state.position - state.base
        if length < held:
            raise LocalFilesDamaged(self._texts.short_log(state, length))
        if found is not None and state.pair is not None and found.id != state.pair:
            raise LocalFilesDamaged(self._texts.other_pair(found.database))
        if held:
            self._require_content(state, length)
        elif length:
            kind = what_it_looks_like(paths.wal)
            if not (self._is_known(state) and kind.may_be_log):
                raise LocalFilesDamaged(self._texts.foreign_log(kind, length, self._owner))

    def _require_content(self, state: ReplayState, length: int) -> None:
        """See that the log holds what the database was written beside."""
        wal, fence, held = self._paths.wal, state.fence, state.position - state.base
        if fence is None or fence.start < state.base:
            fits = self._ends_at(held)
        else:
            with open(wal, "rb") as file:
                fits = crc_of_range(file.fileno(), fence.start - state.base, held) == fence.crc
        if not fits:
            kind = what_it_looks_like(wal)
            raise LocalFilesDamaged(self._texts.unlike_log(state, kind, length))

    def _ends_at(self, held: int) -> bool:
        """Whether whole records fill the log up to a length."""
        end = 0
        try:
            for batch in iterate_records(self._paths.wal, 0, self._max_record, end=held):
                end = batch.end
        except RecordError:
            return False
        return end == held

    # -- settling ---------------------------------------------------------------------------------------------

    def settle(self, state: ReplayState | None, from_empty: bool | None = None) -> str:
        """Write down that log and database are a pair; `judge` has found nothing against it.

        Args:
            state: What the database says of itself.
            from_empty: Whether a database that says nothing yet is empty; None where that is unknown.

        Returns:
            The pair's id, for the database to store with its position.

        Raises:
            OSError: The disk refuses.
        """
        found = self._found
        known = None if state is None else state.pair
        here = found is not None and (state is not None or self._is_here(found))
        before = found if found is not None and here else Pair(secrets.token_hex(16), Path())
        self._pair = attrs.evolve(
            before,
            id=known or before.id,
            database=Path(os.path.abspath(self._paths.database)),
            from_empty=from_empty if state is None else before.from_empty,
            becoming=None,
            copied_by=self._copied_by,
        )
        if self._pair != found:
            write_pair(self._paths.pair, self._pair)
            self._found = self._pair
        return self._pair.id

    # -- tails ------------------------------------------------------------------------------------------------

    def keep_tail(self, log: int, start: int, length: int) -> Path:
        """Keep the end of a log in a file beside it, durably, before it is cut off.

        Args:
            log: The log's descriptor.
            start: Where the end begins, in bytes.
            length: The log's length in bytes.

        Returns:
            The file.

        Raises:
            OSError: The disk refuses.
        """
        path = self._tail_path(start)
        at = start
        with open(create_private(path), "wb") as file:
            while at < length and (piece := os.pread(log, min(_BLOCK, length - at), at)):
                file.write(piece)
                at += len(piece)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
        self._note_tail(path)
        return path

    def keep_all(self, log: LogWriter) -> Path:
        """Keep a whole log under another name, and put a new, empty one in its place.

        Raises:
            OSError: The disk refuses.
        """
        path = self._tail_path(0)
        try:
            log.replace(keep_as=path)
        except OSError:  # a file system without hard links
            path = self.keep_tail(log.fileno(), 0, log.length)
            log.cut(0)
            return path
        os.chmod(path, PRIVATE)
        self._note_tail(path)
        return path

    def _tail_path(self, start: int) -> Path:
        wal, number = self._paths.wal, 0
        while os.path.lexists(path := wal.with_name(f"{wal.name}.cut-{start}" + (f".{number}" if number else ""))):
            number += 1
        return path

    def _note_tail(self, path: Path) -> None:
        assert self._pair is not None
        with open(path, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            kept = KeptTail(path.name, length, crc_of_range(file.fileno(), 0, length))
        self._set_kept((*self._pair.kept, kept))

    def forget_tails(self) -> None:
        """Remove what was cut off before this start; one that somebody has changed since stays.

        Raises:
            OSError: The disk refuses.
        """
        assert self._pair is not None
        if not self._pair.kept:
            return
        for kept in self._pair.kept:
            path = self._paths.wal.with_name(kept.name)
            if _is_kept(path, kept):
                path.unlink()
                self._log.info("removed {path}, which was cut off the log at an earlier start", path=str(path))
        self._set_kept(())

    def _set_kept(self, kept: tuple[KeptTail, ...]) -> None:
        assert self._pair is not None
        self._pair = attrs.evolve(self._pair, kept=kept)
        write_pair(self._paths.pair, self._pair)


def _is_kept(path: Path, kept: KeptTail) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != kept.length:
        return False
    with open(path, "rb") as file:
        return crc_of_range(file.fileno(), 0, kept.length) == kept.crc


def _length_of(path: Path) -> int | None:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None
