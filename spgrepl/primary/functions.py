"""SQL functions whose value a copy would not find again, and the net that catches every call of one.

Most such calls are written as literals before a statement runs (`spgrepl.primary.determinism`). What that cannot
see, because it stands in a trigger, a view or a column's default, or is only known at run time, is caught here:
on the writer's connection the functions are replaced by ones that refuse, and that answer as SQLite's own where
the answer is the same everywhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from spgrepl.sqltext import SqlValue
from spgrepl.wal.records import DEFAULT_MAX_RECORD

TIME_FUNCTIONS = {
    "date": (0,),
    "time": (0,),
    "datetime": (0,),
    "julianday": (0,),
    "unixepoch": (0,),
    "strftime": (1,),
    "timediff": (0, 1),
}
"""The functions of date and time, and which of their arguments are time values."""

CURRENT_WORDS = frozenset({"current_timestamp", "current_date", "current_time"})
"""Words that stand for the time without being called."""

RANDOM_FUNCTIONS = frozenset({"random", "randomblob"})

OUTCOME_FUNCTIONS = frozenset({"last_insert_rowid", "changes"})
"""Functions that tell the outcome of the statement before."""

_NOW = frozenset({"now", "subsec", "subsecond"})
_OF_ZONE = frozenset({"localtime", "utc"})

_OWN_TIME = "pass the time itself, as text such as '2026-01-31 12:00:00'"
_ADVICE = dict.fromkeys(CURRENT_WORDS, _OWN_TIME) | {
    "random": "make the number in your program and write it into the statement",
    "randomblob": "make the bytes in your program and write them into the statement, as x'…'",
    "last_insert_rowid": (
        "write it in a one-row INSERT … VALUES, an UPDATE or a DELETE that follows an INSERT in the same "
        "transaction, or write the row's number"
    ),
    "changes": "write it in a one-row INSERT … VALUES, an UPDATE or a DELETE that follows another statement in "
    "the same transaction, or write the number",
    "total_changes": "write the number itself",
    "sqlite_version": "write the version itself",
    "sqlite_source_id": "write the text itself",
    "load_extension": "a copy may not have that extension",
    "sqlite_compileoption_get": "write the value itself",
    "sqlite_compileoption_used": "write the value itself",
    "fts3_tokenizer": "a copy may not have that tokenizer",
}

_REFUSED_ARGUMENTS = {
    "random": 0,
    "randomblob": 1,
    "last_insert_rowid": 0,
    "changes": 0,
    "total_changes": 0,
    "sqlite_version": 0,
    "sqlite_source_id": 0,
    "current_timestamp": 0,
    "current_date": 0,
    "current_time": 0,
}

REFUSED_FUNCTIONS = frozenset(_ADVICE) - CURRENT_WORDS
"""All functions, but those of date and time, that have no place in a replicated statement."""


def explain(name: str) -> str:
    """Say why a function cannot be replicated, and what to write instead.

    Args:
        name: The function's name in small letters.
    """
    shown = name.upper() if name in CURRENT_WORDS else f"{name}()"
    if name in TIME_FUNCTIONS:
        return (
            f"{shown} of the present time, or in the local time zone, gives another value on a copy: "
            f"{_OWN_TIME}, or write 'now' and the zone as plain literals"
        )
    return f"{shown} gives another value on a copy: {_ADVICE[name]}"


def _as_c_string(value: SqlValue) -> str:
    """A function's argument as SQLite's C code reads it: bytes are text, and text ends at NUL."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.split("\0", 1)[0].lower() if isinstance(value, str) else ""


def tells_present_time(name: str, arguments: tuple[SqlValue, ...]) -> bool:
    """Whether a call of a time function depends on the clock or the time zone of the machine.

    Args:
        name: One of `TIME_FUNCTIONS`.
        arguments: The values that it is called with.
    """
    places = TIME_FUNCTIONS[name]
    if len(arguments) <= places[-1]:
        return True
    return any(
        _as_c_string(value) in (_NOW if index in places else _OF_ZONE) for index, value in enumerate(arguments)
    )


class Evaluator:
    """SQLite's own functions, on a connection that holds no data and from which nothing is replaced.

    Args:
        max_length: The most bytes that a value may have.
    """

    def __init__(self, max_length: int = DEFAULT_MAX_RECORD) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        # No value may be longer than a statement that holds it: randomblob(1000000000) is not even tried.
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max_length)

    def value(self, expression: str) -> SqlValue:
        """Evaluate a constant expression.

        Raises:
            sqlite3.Error: It is none.
        """
        found: SqlValue = self._connection.execute(f"SELECT {expression}").fetchone()[0]
        return found

    def call(self, name: str, arguments: tuple[SqlValue, ...]) -> SqlValue:
        """Call a function with values."""
        marks = ",".join("?" * len(arguments))
        found: SqlValue = self._connection.execute(f"SELECT {name}({marks})", arguments).fetchone()[0]
        return found

    def has(self, name: str) -> bool:
        """Whether this build of SQLite has a function."""
        query = "SELECT count(*) FROM pragma_function_list WHERE name = ?"
        return bool(self._connection.execute(query, (name,)).fetchone()[0])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class _Caught(Exception):
    """Raised inside SQLite to end the statement; `FunctionNet.caught` says what was called."""


class FunctionNet:
    """Replaces functions on a connection and remembers which one was called.

    Args:
        evaluator: Where the calls go whose answer is the same everywhere.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self.caught: str | None = None

    def install(self, connection: sqlite3.Connection) -> None:
        """Replace the functions on a connection."""
        for name, count in _REFUSED_ARGUMENTS.items():
            connection.create_function(name, count, self._refusal(name))
        for name in TIME_FUNCTIONS:
            if self._evaluator.has(name):
                # Deterministic, or they could no longer stand in an index or a generated column.
                connection.create_function(name, -1, self._time_function(name), deterministic=True)

    def take(self) -> str | None:
        """The name of the function that was refused since the last call, in small letters."""
        caught, self.caught = self.caught, None
        return caught

    def _refusal(self, name: str) -> Callable[..., SqlValue]:
        def refuse(*_arguments: SqlValue) -> SqlValue:
            self.caught = name
            raise _Caught

        return refuse

    def _time_function(self, name: str) -> Callable[..., SqlValue]:
        call, refuse = self._evaluator.call, self._refusal(name)

        def evaluate(*arguments: SqlValue) -> SqlValue:
            if tells_present_time(name, arguments):
                refuse()
            return call(name, arguments)

        return evaluate
