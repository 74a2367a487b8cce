"""Why a statement of a log is not run."""

from __future__ import annotations


class StatementStopped(Exception):
    """A statement that is not run, because its effect here would differ, or could; the message says why.

    It is a `StatementRefused` by the time it leaves the engine.
    """


class NotUnderstood(StatementStopped):
    """The statement has a form that is not read here."""


class TypeUnknown(StatementStopped):
    """The type that SPG has for a column is not known."""

    def __init__(self, column: str) -> None:
        super().__init__(f"the type that SPG has for the column {column} is not known: declare it by SPG's name")


class NotDeterministic(StatementStopped):
    """The statement has a value that every replica computes for itself.

    Attributes:
        what: What has such a value: ``now()``, ``SERIAL``.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(reason)
        self.what = what
