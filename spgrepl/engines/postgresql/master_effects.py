"""What an SPG server did beside a statement of its log: its triggers, its rules, and the values that it sets.

The log does not have it, and this server does not do it. So a statement that has such a company is not run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from spgrepl.engines.postgresql.statement_meanings import Refused, depends_on_zone, inserted_into
from spgrepl.postgresql.tables import CASELESS, GENERATED, ON_UPDATE, ROUNDED, Table, TableBook
from spgrepl.text.sqltext import Token, TokenKind

_EVERY = ("INSERT", "UPDATE", "DELETE")
_TEXTS = frozenset({"text", "varchar", "bpchar", "name"})
_ORDERS = frozenset({"<", ">", "<=", ">="})
_EXTREMES = frozenset({"MIN", "MAX", "GREATEST", "LEAST"})
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


def read_tables(tokens: list[Token]) -> set[str]:
    """The tables that a statement reads, as far as they stand after FROM, JOIN and USING."""
    return {
        _name_at(tokens, at + 1)
        for at, token in enumerate(tokens)
        if token.upper in ("FROM", "JOIN", "USING") and at + 1 < len(tokens) and tokens[at + 1].name is not None
    }


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
    changed = list(changed_tables(tokens))
    for name, event in changed:
        table = tables(name)
        if table is None:
            continue
        if event in table.master:
            left_out(name, table.master[event])
        if event != "INSERT":
            cascades |= table.cascades
        if event in ("INSERT", "UPDATE"):
            _refuse_set(tokens, table, event)
    for name in {name for name, _ in changed} | read_tables(tokens):
        found = tables(name)
        if found is not None:
            _refuse_caseless(tokens, found)
    return cascades


def refuse_zone(tokens: list[Token], tables: Callable[[str], Table | None], zone: str) -> None:
    """Look whether a statement may mean another moment at the master, a session of which has set a time zone.

    Raises:
        Refused: It may.
    """
    for name, _ in changed_tables(tokens):
        table = tables(name)
        zoned = table is not None and any(one.type.base == "timestamptz" for one in table.columns.values())
        if zoned and depends_on_zone(tokens):
            raise Refused(
                f"a session of the master has set its time zone to {zone}, and what moment a time of {name} "
                f"without a zone is there cannot be told"
            )


def refuse_order(tokens: list[Token], tables: Callable[[str], Table | None]) -> None:
    """Look whether a statement orders texts, which an SPG server does by their bytes.

    Raises:
        Refused: It does.
    """
    ordered = set(_ordered(tokens))
    if not ordered:
        return
    for name in {name for name, _ in changed_tables(tokens)} | read_tables(tokens):
        table = tables(name)
        for column in table.columns.values() if table is not None else ():
            if column.name in ordered and column.type.base in _TEXTS:
                raise Refused(
                    f"the texts of {name}.{column.name} are ordered by their bytes at the master, and here by the "
                    f"collation of the database: make it with LOCALE 'C'"
                )


def _ordered(tokens: list[Token]) -> Iterator[str]:
    """The names beside what orders values."""
    in_list = False
    for at, token in enumerate(tokens):
        word = _word(tokens, at)
        if token.text in _ORDERS or word == "BETWEEN":
            before = at - 1 - (_word(tokens, at - 1) == "NOT")
            after = at + 1 + 2 * (at + 2 < len(tokens) and tokens[at + 2].text == ".")
            sides = (tokens[one] for one in (before, after) if 0 <= one < len(tokens))
            yield from (_folded(one) for one in sides if one.name is not None)
        elif word in _EXTREMES and at + 2 < len(tokens):
            yield from (_folded(one) for one in tokens[at + 2 : at + 5] if one.name is not None)
        in_list = (in_list and token.text != ")" and word != "LIMIT") or (word == "BY")
        if in_list and token.name is not None:
            yield _folded(token)


def _refuse_caseless(tokens: list[Token], table: Table) -> None:
    """Columns that compare without case at the master: where they are compared other rows may be found here."""
    compared = False
    for token in tokens:
        compared = compared or token.upper in ("WHERE", "ON", "USING", "FROM", "ORDER", "GROUP")
        column = table.columns.get(_folded(token)) if compared and token.name is not None else None
        if column is not None and CASELESS in column.master:
            raise Refused(
                f"the column {column.name} of {table.name} ignores case at the master, and does not here: "
                f"name rows by something else"
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
