"""Errors of this side: its use, its settings, its files."""

from __future__ import annotations

import errno

from spgrepl.errors.base import (
    EXIT_CONFIGURATION,
    EXIT_NO_INPUT,
    EXIT_OTHER_HISTORY,
    EXIT_REFUSED,
    EXIT_TRY_AGAIN,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    LocalError,
)


class LimitReached(LocalError):
    """A master wants more of this machine than it may have: room on a disk, for a snapshot, for segments."""

    exit_code = EXIT_TRY_AGAIN


class UsageError(LocalError):
    """A command or a call was given arguments that do not fit."""

    exit_code = EXIT_USAGE


class ConfigurationError(LocalError):
    """A setting names something that does not exist or cannot work."""

    exit_code = EXIT_CONFIGURATION


class DatabaseMissing(LocalError):
    """A database that is to be read or changed is not there."""

    exit_code = EXIT_NO_INPUT


class TableMismatch(LocalError):
    """A published table is in the target already, and differs from the master's or holds rows."""

    exit_code = EXIT_CONFIGURATION


class SubscriptionGone(LocalError):
    """The subscription whose rows were to be written was dropped, or begun again under its name."""

    exit_code = EXIT_CONFIGURATION


class DatabaseLocked(LocalError):
    """Another process or object already writes this database."""

    exit_code = EXIT_TRY_AGAIN


class LocalFilesDamaged(LocalError):
    """The database, its log and its sidecars do not agree, or one of them is damaged."""


class OutcomeUnknown(LocalFilesDamaged):
    """A statement may be in the log or not: the disk refused both to write it and to take it back."""


class FileLost(LocalError):
    """A file that is in use was moved away, deleted, replaced or changed by another program."""


class EngineFailed(LocalError):
    """The engine cannot store anything at present: a full or failing disk, or somebody who holds its lock."""

    exit_code = EXIT_TRY_AGAIN


class SegmentNotStored(LocalError):
    """A cold segment cannot be stored at present: a full or failing disk."""

    exit_code = EXIT_TRY_AGAIN


class SegmentChanged(LocalError):
    """The file of a cold segment vanished, shrank or changed while it was sent."""


class StatementFailed(LocalError):
    """A statement that the caller asked for was refused by the database.

    Attributes:
        sql: The statement's text.
        number: Which one it was among those handed over, from 1.
        conflict: For a row of a subscription that does not find what it must find: the kind of conflict, as
            `StatementRefused` has it; None for all others.
    """

    def __init__(self, message: str, sql: str, number: int = 1, conflict: str | None = None) -> None:
        super().__init__(message)
        self.sql = sql
        self.number = number
        self.conflict = conflict


class LoggedNotApplied(LocalError):
    """A statement is in the log, durable, and not yet in the database; it will be, so it must not be repeated.

    Attributes:
        position: The position in the log after it.
    """

    exit_code = EXIT_TRY_AGAIN

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class Overloaded(LocalError):
    """More is waiting than may wait."""

    exit_code = EXIT_TRY_AGAIN


class TransactionExpired(LocalError):
    """A transaction was not ended within the time allowed. It was rolled back."""

    exit_code = EXIT_TRY_AGAIN


class DifferentHistory(LocalError):
    """A position is of a different history than the one that is held here, or of a part of it that was lost."""

    exit_code = EXIT_OTHER_HISTORY


class PromotionRefused(LocalError):
    """A copy is not made a primary, because something would be lost; `forced` overrides what may be overridden."""

    exit_code = EXIT_REFUSED


class WritesRefused(LocalError):
    """The primary was drained: nothing is written until that is undone."""

    exit_code = EXIT_REFUSED


class WaitTimeout(LocalError):
    """A position was not reached within the time allowed."""

    exit_code = EXIT_TRY_AGAIN


class ServiceStopped(LocalError):
    """The service was stopped before what was asked for came about."""

    exit_code = EXIT_UNAVAILABLE


_CANNOT_BE = frozenset(
    {
        errno.EACCES,
        errno.EINVAL,  # not a regular file, see `spgrepl.base.small_files`
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)
"""What the system says of a path that cannot be used until somebody changes it, or its permissions."""


def unusable_file(error: OSError, said: str) -> ConfigurationError | EngineFailed:
    """Tell a file that cannot be used until somebody changes something from a disk that refuses at present.

    Args:
        error: What the system said.
        said: What cannot be done, and where.

    Returns:
        The error to raise.
    """
    kind = ConfigurationError if error.errno in _CANNOT_BE else EngineFailed
    return kind(f"{said}: {error.strerror or error}")
