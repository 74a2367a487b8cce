"""What an SPG server did beside a statement of its log: its triggers, its rules, and the values that it sets.

The log does not have it, and this server does not do it. So a statement that has such a company is not run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from spgrepl.engines.postgresql.statement_meanings import Refused, find_moment, inserted_into
from spgrepl.postgresql.reading.rules import Reading
from spgrepl.postgresql.tables import (
    CASELESS,
    DEFAULT,
    GENERATED,
    LABELLED,
    ON_UPDATE,
    OTHERWISE,
    ROUNDED,
    TABLE_KINDS,
    YEAR,
    Choice,
    Table,
    TableBook,
    TableColumn,
)
from spgrepl.postgresql.triggers import in_the_way, with_keys
from spgrepl.spg.ddl import ON_CONFLICT, ON_TARGET
from spgrepl.text.sqltext import Token, TokenKind, significant_tokens

_WHOLE_ROW = 0
_SELECT = "SELECT"
_EVERY = ("INSERT", "UPDATE", "DELETE")
_ORDERS = frozenset({"<", ">", "<=", ">="})
_PLAIN_WORDS = frozenset(
    "INSERT INTO VALUES UPDATE ONLY SET DELETE FROM WHERE AND OR NOT IN IS NULL TRUE FALSE TRUNCATE TABLE".split()
)
_NO_TABLE = frozenset({"SET", "OF", "NOWAIT", "SKIP", "NOTHING"})


def changed_tables(tokens: list[Token]) -> Iterator[tuple[str, str]]:
    """The tables whose rows a statement changes, each with INSERT, UPDATE, DELETE or TRUNCATE.

    Args:
        tokens: The tokens of a statement, without blanks and comments. What it changes in a WITH counts, too.
    """
    target = ""
    for at, token in enumerate(tokens):
        word = token.upper if token.kind is TokenKind.WORD else ""
        before, after = _word(tokens, at - 1), _word(tokens, at + 1)
        if word == "INTO" and before in ("INSERT", "MERGE"):
            target = _name_at(tokens, at + 1)
            yield from ((target, event) for event in (_EVERY if before == "MERGE" else ("INSERT",)))
        elif word == "UPDATE" and before == "DO":
            yield target, "UPDATE"
        elif word == "UPDATE" and before not in ("FOR", "ON", "KEY", "THEN") and after not in _NO_TABLE:
            yield _name_at(tokens, at + 1), "UPDATE"
        elif word == "FROM" and before == "DELETE":
            yield _name_at(tokens, at + 1), "DELETE"
        elif word == "TRUNCATE" and at == 0:
            yield from ((name, "TRUNCATE") for name in _listed(tokens))


def _conflicts(tokens: list[Token]) -> Iterator[tuple[str, str]]:
    """The tables into which rows are inserted with a word on those that are there, each with which."""
    target = ""
    for at in range(len(tokens)):
        if _word(tokens, at) == "INTO" and _word(tokens, at - 1) == "INSERT":
            target = _name_at(tokens, at + 1)
        elif _word(tokens, at) == "ON" and _word(tokens, at + 1) == "CONFLICT":
            named = at + 2 < len(tokens) and tokens[at + 2].text == "("
            yield target, ON_TARGET if named else ON_CONFLICT


def _word(tokens: list[Token], at: int) -> str:
    return tokens[at].upper if 0 <= at < len(tokens) and tokens[at].kind is TokenKind.WORD else ""


def _name_at(tokens: list[Token], at: int) -> str:
    at += _word(tokens, at) == "ONLY"
    while at + 2 < len(tokens) and tokens[at + 1].text == ".":
        at += 2
    return _folded(tokens[at]) if at < len(tokens) else ""


def _listed(tokens: list[Token]) -> Iterator[str]:
    """The tables of a TRUNCATE."""
    at = 1 + (_word(tokens, 1) == "TABLE")
    while at < len(tokens):
        yield _name_at(tokens, at)
        while at < len(tokens) and tokens[at].text != ",":
            at += 1
        at += 1


def _folded(token: Token) -> str:
    name = token.name or token.text
    return name if token.text.startswith('"') else name.lower()


def judge_effects(
    tokens: list[Token], tables: Callable[[str], Table | None], left_out: Callable[[str, str], Any]
) -> bool:
    """Look what the master did beside a statement.

    Args:
        tokens: The statement.
        tables: Looks a table up.
        left_out: Called with the table and what else happened there, where that may be left out.

    Returns:
        Whether foreign keys may change rows of other tables with it.

    Raises:
        Refused: It set values that are not in the statement, or `left_out` says so.
    """
    cascades = False
    changed = [*changed_tables(tokens), *_conflicts(tokens)]
    for name, event in changed:
        table = tables(name)
        if table is None:
            continue
        if event in table.master:
            left_out(name, table.master[event])
        if event not in ("INSERT", ON_CONFLICT, ON_TARGET):
            cascades |= table.cascades
        if event in ("INSERT", "UPDATE"):
            _refuse_set(tokens, table, event)
    return cascades


def judge_reading(
    reading: Reading, tokens: list[Token], tables: Callable[[str], Table | None], may_be_own: Collection[str]
) -> list[Table]:
    """Look whether a statement may mean something else here, as the server has read it.

    Args:
        reading: What it depends on.
        tokens: The statement.
        tables: Looks a table up.
        may_be_own: Functions whose value may be this server's own.

    Returns:
        The tables under the view through which it changes rows.

    Raises:
        Refused: It may.
    """
    own = sorted(reading.random - set(may_be_own))
    if own:
        raise Refused(f"{own[0]}() has another value here than it had on the master")
    for reason in reading.stops:
        raise Refused(reason)
    for named, read in _named_tables(reading, tables):
        for column in named.columns.values():
            if OTHERWISE in column.master and {column.number, _WHOLE_ROW} & read:
                raise Refused(_otherwise(named, column))
            if LABELLED in column.master and reading.orders and {column.number, _WHOLE_ROW} & read:
                raise Refused(
                    f"the column {column.name} of {named.name} is an {column.master[LABELLED]} at the master, "
                    f"which has an order of its own, and text here: which comes first is not known here"
                )
        if _SELECT in named.master and named.oid in reading.read:
            raise Refused(named.master[_SELECT])
        if reading.collates:
            _refuse_caseless(reading, named)
    if not reading.views:
        return []
    through = sorted({name for name, _ in changed_tables(tokens)} & reading.views)
    underlying = [table for name in reading.tables.values() if through and (table := tables(name)) is not None]
    for table in underlying:
        if table.master or any(_has_own_value(one) for one in table.columns.values()):
            raise Refused(
                f"rows of {table.name} are changed through the view {through[0]}, and values of it are set beside "
                f"that at the master: name the table"
            )
    return underlying


def _named_tables(
    reading: Reading, tables: Callable[[str], Table | None]
) -> Iterator[tuple[Table, frozenset[int]]]:
    """The tables that a statement names and that are known, each with the numbers of the columns that it reads."""
    for oid, name in reading.tables.items():
        table = tables(name)
        if table is not None and table.oid == oid:
            yield table, reading.read.get(oid, frozenset())


def choices_of(
    reading: Reading, tokens: list[Token], tables: Callable[[str], Table | None]
) -> dict[tuple[int, int], Choice]:
    """The columns that a statement names, or gives values, and whose values are some among others at the master.

    Args:
        reading: What it depends on.
        tokens: The statement.
        tables: Looks a table up.
    """
    given = {name for name, event in changed_tables(tokens) if event in ("INSERT", "UPDATE")}
    found = {}
    for table, read in _named_tables(reading, tables):
        for column in table.columns.values():
            choice = column.choice(table.name)
            if choice is not None and (reading.tables[table.oid] in given or {column.number, _WHOLE_ROW} & read):
                found[table.oid, column.number] = choice
    return found


def _otherwise(table: Table, column: TableColumn) -> str:
    return (
        f"the column {column.name} of {table.name} is a {column.master[OTHERWISE]} at the master, and "
        f"{column.type.sql} here: what a statement means by it is something else"
    )


def _refuse_caseless(reading: Reading, table: Table) -> None:
    """Columns that compare without case at the master: where they are compared other rows may be found here."""
    read = reading.read.get(table.oid, frozenset())
    for column in table.columns.values():
        if CASELESS not in column.master:
            continue
        if {column.number, _WHOLE_ROW} & read or table.oid in reading.any_conflict:
            raise Refused(
                f"the column {column.name} of {table.name} ignores case at the master, and does not here: "
                f"name rows by something else"
            )


def _has_own_value(column: TableColumn) -> bool:
    default = significant_tokens(column.default or "")
    return bool(column.master or column.identity or find_moment(default) is not None)


def refuse_unless_plain(tokens: list[Token], tables: Callable[[str], Table | None]) -> None:
    """Let only statements through that mean the same on every server, where it does not show how it reads them.

    Raises:
        Refused: It is another one.
    """
    target = next((name for name, _ in changed_tables(tokens)), "")
    table = tables(target) if target else None
    plain = table is not None and table.kind in TABLE_KINDS
    known = {target, *(table.columns if table is not None else ())}
    for at, token in enumerate(tokens):
        follows = tokens[at + 1].text if at + 1 < len(tokens) else ""
        is_name = token.name is not None and token.upper not in _PLAIN_WORDS and follows != "."
        called = follows == "(" and not (_word(tokens, at - 1) == "INTO" or tokens[at - 1].text == ".")
        plain = plain and token.text not in _ORDERS and not (is_name and (called or _folded(token) not in known))
    if not plain or (
        table is not None and any({CASELESS, LABELLED, YEAR} & {*one.master} for one in table.columns.values())
    ):
        raise Refused(
            "this server does not show how it reads a statement, as PostgreSQL 14 and later do, or its database "
            "is not in UTF8: whether it means the same here cannot be told"
        )


def _refuse_set(tokens: list[Token], table: Table, event: str) -> None:
    for column in table.columns.values():
        if GENERATED in column.master:
            raise Refused(
                f"the column {column.name} of {table.name} is GENERATED: its values are computed by the master"
            )
        if ROUNDED in column.master and (_sets(tokens, column.name) or _inserts(tokens, column.name)):
            raise Refused(
                f"the column {column.name} of {table.name} is a {column.master[ROUNDED]}, which rounds its "
                f"numbers in a way that this server does not know"
            )
        if OTHERWISE in column.master and (_sets(tokens, column.name) or _inserts(tokens, column.name)):
            raise Refused(_otherwise(table, column))
        if event == "UPDATE" and ON_UPDATE in column.master and not _sets(tokens, column.name):
            raise Refused(
                f"the column {column.name} of {table.name} is set by the master at every UPDATE "
                f"({column.master[ON_UPDATE]}): write its value"
            )


def _inserts(tokens: list[Token], column: str) -> bool:
    """Whether a statement may insert a value into a column."""
    inserted = inserted_into(tokens)
    return tokens[0].upper != "UPDATE" and (inserted is None or inserted[1] is None or column in inserted[1])


def _sets(tokens: list[Token], column: str) -> bool:
    """Whether a statement gives a column a value by SET."""
    inside = False
    for at, token in enumerate(tokens):
        inside = (inside or token.upper == "SET") and token.upper not in ("WHERE", "FROM", "RETURNING")
        follows = tokens[at + 1].text if at + 1 < len(tokens) else ""
        if inside and follows in ("=", ",", ")") and _folded(token) == column:
            return True
    return False


def refuse_acting(
    tokens: list[Token], tables: Callable[[str], Table | None], underlying: Iterable[Table], own: bool
) -> None:
    """Look whether triggers and rules of others would act on what a statement changes.

    Args:
        tokens: The statement.
        tables: Looks a table up.
        underlying: The tables under the view through which it changes rows.
        own: Whether the tables are somebody's own, whose triggers rest unless foreign keys have to act.

    Raises:
        Refused: They would.
    """
    by_table: dict[str, set[str]] = {}
    for name, event in changed_tables(tokens):
        by_table.setdefault(name, set()).add(event)
    every: set[str] = set().union(*by_table.values())
    found = [(tables(name), events) for name, events in by_table.items()]
    for table, events in [*found, *((one, every) for one in underlying)]:
        acting = table.acting if table is not None else ()
        reason = with_keys(acting, events) if own else in_the_way(acting, False, events)
        if reason is not None:
            raise Refused(reason)


def refuse_defaults(tokens: list[Token], tables: TableBook, connection: Any) -> None:
    """A column that is given no value gets its default: that must be the same as on the master.

    Raises:
        Refused: It is not, or may not be.
    """
    for table, name in left_to_default(tokens, tables, connection):
        column = table.columns[name]
        default = column.master.get(DEFAULT) or column.default or ""
        if DEFAULT in column.master or column.identity or find_moment(significant_tokens(default)) is not None:
            raise Refused(
                f"the column {name} of {table.name} has a default that has another value here than it had on "
                f"the master ({default or 'identity'}), and is given none"
            )


def left_to_default(tokens: list[Token], tables: TableBook, connection: Any) -> Iterator[tuple[Table, str]]:
    """The columns that an INSERT gives no value, with their tables; all of a query's that does not name them."""
    inserted = inserted_into(tokens)
    table = None if inserted is None else tables.get(connection, inserted[0])
    if inserted is None or table is None:
        return
    _, named, count = inserted
    for place, name in enumerate(table.columns):
        given = name in named if named is not None else place < count
        if not given:
            yield table, name
