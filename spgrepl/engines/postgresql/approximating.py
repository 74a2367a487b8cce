"""Statements of an SPG server's log whose values every replica computes for itself, with values that come near.

The time is the master's, as the record or its last STATUS says it. A number that the master counts is the greatest
of its column and 1. What is random is this server's.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from spgrepl.engines.postgresql.statement_meanings import Refused
from spgrepl.postgresql.names import quoted
from spgrepl.postgresql.tables import DEFAULT, Table, TableBook, TableColumn
from spgrepl.spgsql.language.lexing import Token, TokenKind, lex
from spgrepl.spgsql.language.stops import StatementStopped

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_WORDS = {
    "current_timestamp": "timestamptz",
    "localtimestamp": "timestamp",
    "current_date": "date",
    "current_time": "timetz",
    "localtime": "time",
}
_CALLS = frozenset({"now", "clock_timestamp", "statement_timestamp", "transaction_timestamp"})
_TIMES = frozenset({"timestamp", "timestamptz", "date", "time", "timetz"})
RANDOM: Mapping[str, str] = {
    "random": "random",
    "gen_random_uuid": "gen_random_uuid",
    "uuid_generate_v4": "gen_random_uuid",
    "uuidv4": "gen_random_uuid",
}
"""Functions whose value is this server's own, and what it calls them."""

_INTEGERS = re.compile(r"smallint|integer|bigint|numeric(?:\(\d+,0\))?")


@attrs.frozen
class Approximation:
    """A statement that can be run.

    Attributes:
        text: The statement.
        what: What of it has another value than at the master: pairs of table and what.
    """

    text: str
    what: tuple[tuple[str, str], ...]


def approximated(connection: Any, tables: TableBook, text: str, now: Callable[[], int]) -> Approximation:
    """Put values that come near in the place of those that every replica computes for itself.

    Args:
        connection: The server, for the greatest numbers.
        tables: Its tables.
        text: One statement that changes rows.
        now: Says what time it was at the master, in microseconds since the epoch.

    Raises:
        Refused: That cannot be done.
    """
    try:
        tokens = lex(text)
    except StatementStopped as error:
        raise Refused(str(error)) from error
    return _Rewriting(connection, tables, text, tokens, now).run()


class _Rewriting:
    """One statement. Changes are places in its text, and what stands there instead."""

    def __init__(
        self, connection: Any, tables: TableBook, text: str, tokens: list[Token], now: Callable[[], int]
    ) -> None:
        self._connection = connection
        self._text = text
        self._tokens = tokens
        self._now = now
        self._edits: list[tuple[int, int, str]] = []
        self._what: dict[str, None] = {}
        self._numbers: dict[str, int] = {}
        self._name, self._after = self._target()
        self._table = tables.get(connection, self._name) if self._name else None

    def run(self) -> Approximation:
        if self._words(0, "insert") and self._table is not None:
            self._insert(self._table)
        self._moments()
        self._defaults()
        parts, at = [], 0
        for start, end, new in sorted(self._edits):
            if start >= at:
                parts += [self._text[at:start], new]
                at = end
        changed = "".join(parts) + self._text[at:]
        return Approximation(changed, tuple((self._name, what) for what in self._what))

    # -- reading ----------------------------------------------------------------------------------------------

    def _words(self, at: int, *words: str) -> bool:
        found = self._tokens[at : at + len(words)]
        return [one.text for one in found if one.kind is TokenKind.WORD] == list(words)

    def _is(self, at: int, operator: str) -> bool:
        if not 0 <= at < len(self._tokens):
            return False
        return self._tokens[at].kind is TokenKind.OPERATOR and self._tokens[at].text == operator

    def _target(self) -> tuple[str, int]:
        """The table that is changed, and the index after its name; "" where that is not plain."""
        at = next((n for words in _HEADS if (n := len(words)) and self._words(0, *words)), 0)
        if not at:
            return "", 0
        at += self._words(at, "only")
        while self._is(at + 1, "."):
            at += 2
        return self._tokens[at].text, at + 1

    def _closing(self, at: int) -> int:
        depth = 0
        for index in range(at, len(self._tokens)):
            depth += self._is(index, "(") or self._is(index, "[")
            depth -= self._is(index, ")") or self._is(index, "]")
            if depth == 0:
                return index
        raise Refused("a parenthesis does not end")

    def _elements(self, at: int) -> list[tuple[int, int]]:
        """The elements of a row, each by the index of its first token and that after its last."""
        end, depth, found, start = self._closing(at), 0, [], at + 1
        for index in range(at, end + 1):
            depth += self._is(index, "(") or self._is(index, "[")
            depth -= self._is(index, ")") or self._is(index, "]")
            if index == end or (depth == 1 and self._is(index, ",")):
                found.append((start, index))
                start = index + 1
        return [one for one in found if one[0] < one[1]]

    # -- what stands in the statement -------------------------------------------------------------------------

    def _moments(self) -> None:
        for at, token in enumerate(self._tokens):
            if token.kind is TokenKind.WORD and not self._is(at - 1, "."):
                self._moment(at, token)
            elif token.kind is TokenKind.STRING and token.text.strip().lower() == "now":
                before = self._tokens[at - 1].text if at else ""
                if self._is(at + 1, "::") or before in _TIMES:
                    self._edits.append((token.at, token.end, f"'{self._time('timestamptz')}'"))
                    self._what["'now'"] = None

    def _moment(self, at: int, token: Token) -> None:
        called = self._is(at + 1, "(")
        if token.text in _WORDS:
            kind, end = _WORDS[token.text], token.end
            if called and self._is(at + 3, ")"):
                end, kind = self._tokens[at + 3].end, f"{kind}({self._tokens[at + 2].text})"
            self._edits.append((token.at, end, f"'{self._time(_WORDS[token.text])}'::{kind}"))
            self._what[token.text.upper()] = None
        elif called and self._is(at + 2, ")") and token.text in _CALLS:
            new = f"'{self._time('timestamptz')}'::timestamptz"
            self._edits.append((token.at, self._tokens[at + 2].end, new))
            self._what[f"{token.text}()"] = None
        elif called and token.text in RANDOM:
            self._edits.append((token.at, token.end, RANDOM[token.text]))
            self._what[f"{token.text}()"] = None

    def _defaults(self) -> None:
        """``SET c = DEFAULT``."""
        for at, token in enumerate(self._tokens):
            is_default = token.kind is TokenKind.WORD and token.text == "default" and self._is(at - 1, "=")
            column = self._table and is_default and self._table.columns.get(self._tokens[at - 2].text)
            if column and _counts(column):
                raise Refused(f"DEFAULT of {self._name}.{column.name} is a number that the master counts")
            if column:
                self._edits.append((token.at, token.end, self._value(column)))

    def _time(self, kind: str) -> str:
        moment = _EPOCH + dt.timedelta(microseconds=self._now())
        if kind == "date":
            return moment.strftime("%Y-%m-%d")
        text = moment.strftime(
            "%H:%M:%S.%f" if kind.startswith("time") and "stamp" not in kind else "%Y-%m-%d %H:%M:%S.%f"
        )
        return text + "+00" if kind in ("timestamptz", "timetz") else text

    # -- INSERT -----------------------------------------------------------------------------------------------

    def _insert(self, table: Table) -> None:
        at, listed = self._after, -1
        if self._words(at, "as"):
            at += 2
        if self._is(at, "(") and not any(self._words(at + 1, one) for one in ("select", "with", "values")):
            listed, at = at, self._closing(at) + 1
        overriding = self._words(at, "overriding")
        at += 3 * overriding
        if self._words(at, "default", "values"):
            self._default_row(table, at)
            return
        rows: list[list[tuple[int, int]]] = []
        start = at
        if self._words(at, "values"):
            at += 1
            while self._is(at, "("):
                rows.append(self._elements(at))
                at = self._closing(at) + 1
                at += self._is(at, ",")
        columns = self._columns(table, listed, rows)
        left = [one for one in table.columns.values() if one.name not in columns and _moves(one)]
        if left and not rows:
            raise Refused(
                f"{', '.join(one.name for one in left)} of {table.name} is given no value, and what the master "
                f"gave to the rows of a query is not approximated"
            )
        self._rows(columns, left, rows)
        if left:
            self._name_columns(columns, left, listed)
        always = any(one.identity == "a" for one in left)
        if always and not overriding:
            self._edits.append((self._tokens[start].at, self._tokens[start].at, "OVERRIDING SYSTEM VALUE "))

    def _columns(
        self, table: Table, listed: int, rows: list[list[tuple[int, int]]]
    ) -> dict[str, TableColumn | None]:
        """The columns that are given values, in order."""
        if listed >= 0:
            names = [self._tokens[start].text for start, _ in self._elements(listed)]
            return {name: table.columns.get(name) for name in names}
        count = len(rows[0]) if rows else len(table.columns)
        return dict(list(table.columns.items())[:count])

    def _rows(
        self, columns: Mapping[str, TableColumn | None], left: list[TableColumn], rows: list[list[tuple[int, int]]]
    ) -> None:
        for row in rows:
            for column, (start, stop) in zip(columns.values(), row, strict=False):
                if column is not None and self._stands_for_value(column, start, stop):
                    new = self._value(column, counted=self._tokens[start].text == "nextval")
                    self._edits.append((self._tokens[start].at, self._tokens[stop - 1].end, new))
            if left and row:
                end = self._tokens[row[-1][1] - 1].end
                self._edits.append((end, end, "".join(f", {self._value(one)}" for one in left)))

    def _stands_for_value(self, column: TableColumn, start: int, stop: int) -> bool:
        """Whether an element is DEFAULT, or ``nextval('…')`` with or without a cast."""
        if stop - start == 1:
            return self._words(start, "default") and (_moves(column) or _default(column) is not None)
        return self._words(start, "nextval") and self._is(start + 1, "(") and self._is(start + 3, ")")

    def _name_columns(self, columns: Mapping[str, object], left: list[TableColumn], listed: int) -> None:
        more = [quoted(one.name) for one in left]
        if listed >= 0:
            at = self._tokens[self._closing(listed)].at
            self._edits.append((at, at, "".join(f", {one}" for one in more)))
        else:
            end = self._tokens[self._after + (1 if self._words(self._after, "as") else -1)].end
            self._edits.append((end, end, f" ({', '.join([*map(quoted, columns), *more])})"))

    def _default_row(self, table: Table, at: int) -> None:
        left = [one for one in table.columns.values() if _moves(one)]
        if left:
            names, values = ", ".join(quoted(one.name) for one in left), ", ".join(map(self._value, left))
            over = "OVERRIDING SYSTEM VALUE " if any(one.identity == "a" for one in left) else ""
            start, end = self._tokens[at].at, self._tokens[at + 1].end
            self._edits.append((start, end, f"({names}) {over}VALUES ({values})"))

    def _value(self, column: TableColumn, counted: bool = False) -> str:
        """What stands for the default of a column."""
        if counted or _counts(column):
            return self._next_number(column, "nextval()" if counted else _counter(column))
        inner = approximated_default(_default(column) or "NULL", self._now)
        self._what.update(dict.fromkeys(inner[1]))
        return inner[0]

    def _next_number(self, column: TableColumn, what: str) -> str:
        if _INTEGERS.fullmatch(column.type.sql) is None:
            raise Refused(f"{what} in the column {column.name} of the type {column.type.sql} is not approximated")
        name = column.name
        if name not in self._numbers:
            query = f"SELECT coalesce(max({quoted(name)}), 0) FROM {quoted(self._name)}"
            self._numbers[name] = int(self._connection.execute(query).fetchone()[0])
        self._numbers[name] += 1
        self._what[what] = None
        return str(self._numbers[name])


def approximated_default(sql: str, now: Callable[[], int]) -> tuple[str, tuple[str, ...]]:
    """A default, with the master's time in it; and what of it has another value than there."""
    rewriting = _Rewriting(None, TableBook(), sql, lex(sql), now)
    found = rewriting.run()
    return f"({found.text})", tuple(what for _, what in found.what)


def _counts(column: TableColumn) -> bool:
    """Whether a column's own value is a number that the master counts."""
    if column.identity or "nextval(" in (_default(column) or ""):
        return True
    plain = _default(column) is None and not column.generated and column.not_null
    return plain and column.type.sql in ("smallint", "integer", "bigint")


def _default(column: TableColumn) -> str | None:
    """The default at the master: that of this server, where it took it."""
    return column.master.get(DEFAULT) or column.default


def _counter(column: TableColumn) -> str:
    return "IDENTITY" if column.identity else "SERIAL"


def _moves(column: TableColumn) -> bool:
    """Whether a column that is given no value gets one that this server would compute in another way."""
    if column.generated:
        return False
    if _counts(column) or DEFAULT in column.master:
        return True
    words = re.findall(r"[a-z_]+", (column.default or "").lower())
    return any(one in _WORDS or one in _CALLS or one in RANDOM for one in words)


_HEADS = (("insert", "into"), ("update",), ("delete", "from"))
