"""What is said where a log and a database are not a pair: what each holds, and the way that keeps it."""

from __future__ import annotations

import enum
import shlex
from pathlib import Path

import attrs

from spgrepl.disk.files import DatabasePaths
from spgrepl.interfaces.engine import ReplayState
from spgrepl.log.file_kinds import FileKind
from spgrepl.text.quantities import number_of


class Owner(enum.Enum):
    """Whose a log is."""

    PRIMARY = "primary"
    """A primary's, whose statements begin there."""

    COPY = "copy"
    """A follower's, which has a copy of its master's."""

    ARCHIVE = "archive"
    """A follower's whose copy is not a database of SQLite, as that of an archive, which is its log."""


@attrs.frozen
class PairTexts:
    """Says what is wrong with a database and a log.

    Attributes:
        paths: The two.
        owner: Whose they are.
    """

    paths: DatabasePaths
    owner: Owner

    def foreign_log(self, kind: FileKind, length: int, owner: Path | None) -> str:
        """A log that holds something, beside a database that was not written beside it."""
        paths = self.paths
        whose = f" It is the log of {owner}." if owner is not None and owner != paths.database else ""
        return (
            f"{paths.wal} holds {number_of(length, 'byte')} and is {kind}; {paths.database} was not "
            f"written beside it.{whose} "
            f"Both stay as they are: name another log for this database, such as --wal {self._own_log()}"
        )

    def empty_log_of_another(self, owner: Path) -> str:
        """An empty log that another database has begun with."""
        return (
            f"{self.paths.wal} is the log of {owner}, and holds nothing yet; two databases cannot share a log: "
            "name "
            f"another log for {self.paths.database}, such as --wal {self._own_log()}"
        )

    def other_pair(self, owner: Path) -> str:
        """A log and a database of two pairs."""
        return (
            f"{self.paths.wal} is the log of {owner}, and {self.paths.database} was written beside a different "
            "one: "
            f"both stay as they are; name the database's own log with --wal"
        )

    def half_turned(self) -> str:
        """A database that has a new pair's id already, where the old log has not left its place."""
        return (
            f"{self.paths.database} follows a new primary, but `spgrepl follow` was stopped before the old log "
            f"{self.paths.wal} was put aside: nothing is lost; give the same command again, which does the rest"
        )

    def missing_database(self, length: int, from_empty: bool | None) -> str:
        """A log without its database."""
        paths = self.paths
        held = (
            f"{paths.wal} holds {number_of(length, 'byte')} of a log, but its database "
            f"{paths.database} is missing. "
        )
        if self.owner is not Owner.PRIMARY:
            return held + (
                f"Put the database back. To take a fresh copy instead, name another log, such as --wal "
                f"{self._own_log()}, or move this one away: a follower begins its log with its copy"
            )
        back = "Put the database back, or an older backup of it: what the log holds beyond it is applied. "
        if from_empty is False:
            return f"{held}{back}The log alone does not tell all rows: the database held some when it began"
        return f"{held}{back}Without any, make it from the log alone: spgrepl exec {self._named()} --rebuild"

    def missing_log(self, state: ReplayState) -> str:
        """A database without its log."""
        return (
            f"the log {self.paths.wal} is missing. {self.paths.database} holds all rows up to position "
            f"{state.position} of it. Put the log back, or name it with --wal. If it is lost, "
            f"{self._without_log()}"
        )

    def short_log(self, state: ReplayState, length: int) -> str:
        """A log that ends before its database's position."""
        return (
            f"{self.paths.wal} holds {number_of(length, 'byte')}, but {self.paths.database} holds "
            f"what stands in its log up to "
            f"position {state.position - state.base}: the log was truncated or replaced, or comes from an older "
            f"backup. The database is whole. Put the whole log back, or name it with --wal. If it is lost, "
            f"{self._without_log()}"
        )

    def unlike_log(self, state: ReplayState, kind: FileKind, length: int) -> str:
        """A log that is long enough and holds something else."""
        wal = self.paths.wal if kind.may_be_log else self._wal_of_its_own()
        return (
            f"{self.paths.wal} and {self.paths.database} do not belong together: the file holds "
            f"{number_of(length, 'byte')} "
            f"and is {kind}, but what stands in it before position {state.position - state.base} is not what the "
            f"database was written beside. Both stay as they are: name the database's own log with --wal. If that "
            f"is lost, {self._without_log(wal)}"
        )

    def _without_log(self, wal: Path | None = None) -> str:
        """How to go on without the log, and keep what there is."""
        if self.owner is Owner.ARCHIVE:
            return "begin a new copy under another --db: this one keeps what it has"
        if self.owner is Owner.COPY:
            return (
                f"go on with a new one, and the whole copy: spgrepl exec {self._named(wal)} --new-log (what has "
                "the "
                f"log's name now is kept beside it; the follower's own followers take a fresh snapshot)"
            )
        return (
            f"go on with a new one, and all rows: spgrepl exec {self._named(wal)} --new-log (what has the log's "
            "name "
            f"now is kept beside it; followers take a fresh snapshot)"
        )

    def _named(self, wal: Path | None = None) -> str:
        """The options that name the database and a log, for a shell; its present log by default."""
        database, wal = self.paths.database, wal or self.paths.wal
        named = "" if wal == database.with_suffix(".wal") else f" --wal {shlex.quote(str(wal))}"
        return f"--db {shlex.quote(str(database))}{named}"

    def _own_log(self) -> str:
        return shlex.quote(str(self._wal_of_its_own()))

    def _wal_of_its_own(self) -> Path:
        return self.paths.database.with_name(self.paths.database.name + ".wal")
