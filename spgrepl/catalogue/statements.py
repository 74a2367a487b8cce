"""The statements that replication itself understands (PROTOCOL section 5)."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable

import attrs

from spgrepl.base.results import Position
from spgrepl.errors import UsageError
from spgrepl.log.transactions.words import StatementKind, statement_kind
from spgrepl.log.wal_level import Level
from spgrepl.text.words import (
    END,
    RESERVED,
    ControlSyntaxError,
    StatementReader,
    fold_name,
    shorten,
    table_name,
)

__all__ = [
    "CatalogChange",
    "CatalogLook",
    "ControlStatement",
    "ControlSyntaxError",
    "CreatePublication",
    "CreateSubscription",
    "DropPublication",
    "DropSubscription",
    "Scope",
    "ServerOrder",
    "ServerStatement",
    "SetWalLevel",
    "ShowPublications",
    "ShowSubscriptions",
    "ShowWalLevel",
    "SkipRecord",
    "WaitForPosition",
    "fold_name",
    "is_control",
    "parse_catalog_change",
    "parse_control",
]


class Scope(enum.Enum):
    """Which tables a publication takes."""

    ALL = "all"
    ONLY = "only"
    EXCEPT = "except"


@attrs.frozen
class CreatePublication:
    """``CREATE PUBLICATION``.

    Attributes:
        name: The publication's name, folded as PostgreSQL does.
        scope: Which tables it takes.
        tables: The tables of the list, in its order; empty for `Scope.ALL`.
    """

    name: str
    scope: Scope
    tables: tuple[str, ...] = ()


@attrs.frozen
class CreateSubscription:
    """``CREATE SUBSCRIPTION``: its name, connection string and publications."""

    name: str
    connection: str
    publications: tuple[str, ...]


@attrs.frozen
class DropPublication:
    """``DROP PUBLICATION``.

    Attributes:
        name: The publication's name.
        missing_ok: Whether IF EXISTS was said.
    """

    name: str
    missing_ok: bool = False


@attrs.frozen
class DropSubscription:
    """``DROP SUBSCRIPTION``.

    Attributes:
        name: The subscription's name.
        missing_ok: Whether IF EXISTS was said.
    """

    name: str
    missing_ok: bool = False


@attrs.frozen
class ShowPublications:
    """``SHOW PUBLICATIONS``."""


@attrs.frozen
class ShowSubscriptions:
    """``SHOW SUBSCRIPTIONS``."""


@attrs.frozen
class ShowWalLevel:
    """``SHOW effective_wal_level``."""


@attrs.frozen
class SetWalLevel:
    """``SET effective_wal_level``: to which level."""

    level: Level


@attrs.frozen
class WaitForPosition:
    """``WAIT FOR WAL POSITION``.

    Attributes:
        position: The position to wait for, in bytes; a `Position` where the statement names its history.
        timeout: The longest wait in seconds; None waits for ever.
    """

    position: int
    timeout: float | None = None


@attrs.frozen
class SkipRecord:
    """``ALTER SUBSCRIPTION … SKIP``: leaves one record out that a subscription has stopped at.

    Attributes:
        name: The subscription.
        position: Where the record starts in the master's log, in bytes.
        crc: Its CRC-32, so that no other record is meant.
    """

    name: str
    position: int
    crc: int


CatalogChange = CreatePublication | CreateSubscription | DropPublication | DropSubscription
"""A statement that changes the catalogue, and stands in the log."""

CatalogLook = ShowPublications | ShowSubscriptions
"""A statement that shows the catalogue."""

ServerStatement = ShowWalLevel | SetWalLevel | WaitForPosition | SkipRecord
"""A statement that speaks to a running server, and is not logged."""

ServerOrder = SetWalLevel | SkipRecord
"""A statement that has a running server do something."""

ControlStatement = CatalogChange | CatalogLook | ServerStatement

_CRC = re.compile(r"[0-9a-fA-F]{1,8}")


# The same first look as `statement_kind` takes, at text.
_OPENERS = re.compile(r"(?>[ \t\n\f\r\ufeff;]*)(?:[/-]|CRE|DRO|ALT|SHO|SET|WAI)", re.IGNORECASE)


def may_be_control(sql: str) -> bool:
    """Whether a text begins like what may be a statement of PROTOCOL section 5: a first look, quick and rough."""
    return _OPENERS.match(sql) is not None


def is_control(sql: str) -> bool:
    """Whether a text begins like a statement of PROTOCOL section 5."""
    if not may_be_control(sql):
        return False
    # What is not valid Unicode is refused later, by whoever would execute it.
    return statement_kind(sql.encode("utf-8", "surrogatepass")) is StatementKind.CONTROL


def parse_control(sql: str) -> ControlStatement:
    """Read a statement of PROTOCOL section 5.

    Args:
        sql: One statement; semicolons and comments may stand around it.

    Raises:
        ControlSyntaxError: It is not of that section's form.
    """
    reader = StatementReader(sql)
    word = reader.word(*_FORMS)
    reader.what = word
    statement = _FORMS[word](reader)
    reader.end()
    return statement


def parse_catalog_change(sql: str) -> CatalogChange | None:
    """Read a statement that changes the catalogue of publications and subscriptions.

    Args:
        sql: One of PROTOCOL section 5's statements.

    Returns:
        The change, or None for those that change nothing (SHOW, SET, WAIT FOR, whatever they say, and ALTER
        SUBSCRIPTION … SKIP).

    Raises:
        ControlSyntaxError: A CREATE, DROP or ALTER that is not of that section's form.
    """
    if StatementReader(sql).at("SHOW", "SET", "WAIT"):
        return None
    statement = parse_control(sql)
    return statement if isinstance(statement, CatalogChange) else None


# -- each form --------------------------------------------------------------------------------------------------


def _create(reader: StatementReader) -> CatalogChange:
    kind = reader.word("PUBLICATION", "SUBSCRIPTION")
    reader.what = f"CREATE {kind}"
    name = _new_name(reader, f"the {kind.lower()}'s name")
    reader.what = f"{reader.what} {shorten(name)}"
    return _publication(reader, name) if kind == "PUBLICATION" else _subscription(reader, name)


def _publication(reader: StatementReader, name: str) -> CreatePublication:
    if not reader.skip("FOR"):
        if not reader.done():
            raise reader.unexpected(f"FOR or {END}")
        return CreatePublication(name, Scope.ALL)
    word = reader.word("ALL", "TABLE", "TABLES", expected="ALL TABLES or TABLE")
    if word == "ALL":
        reader.word("TABLES")
    if word != "TABLE" and reader.skip("IN"):
        return _in_schema(reader, name)
    if word != "ALL":
        return CreatePublication(name, Scope.ONLY, _list(reader, "tables", "TABLE", _table))
    if not reader.skip("EXCEPT"):
        return CreatePublication(name, Scope.ALL)
    return CreatePublication(name, Scope.EXCEPT, _list(reader, "tables", "EXCEPT", _table))


def _in_schema(reader: StatementReader, name: str) -> CreatePublication:
    """``FOR TABLES IN SCHEMA public``, as SPG has it from 7.39 on: all tables are in that schema."""
    reader.word("SCHEMA")
    schemas = _list(reader, "schemas", "SCHEMA", _new_name)
    if schemas != ("public",):
        raise ControlSyntaxError(
            f"{reader.what}: only the schema public is known, which means all tables; found {', '.join(schemas)}"
        )
    return CreatePublication(name, Scope.ALL)


def _subscription(reader: StatementReader, name: str) -> CreateSubscription:
    reader.word("CONNECTION", expected="CONNECTION 'host=… port=…'")
    connection = reader.string("a connection string in single quotes, such as 'host=… port=…'")
    reader.word("PUBLICATION")
    return CreateSubscription(name, connection, _list(reader, "publications", "PUBLICATION", _new_name))


def _drop(reader: StatementReader) -> CatalogChange:
    kind = reader.word("PUBLICATION", "SUBSCRIPTION")
    reader.what = f"DROP {kind}"
    expected = f"the {kind.lower()}'s name"
    make = DropPublication if kind == "PUBLICATION" else DropSubscription
    if not reader.skip("IF"):
        return make(_new_name(reader, expected))
    # PostgreSQL does not reserve IF: it may be the name itself.
    if reader.skip("EXISTS"):
        return make(_new_name(reader, expected), missing_ok=True)
    return make("if")


def _alter(reader: StatementReader) -> ControlStatement:
    kind = reader.word("PUBLICATION", "SUBSCRIPTION")
    if kind == "SUBSCRIPTION" and not reader.done():
        name = reader.name("the subscription's name")
        if reader.skip("SKIP"):
            return _skip(reader, name)
    raise ControlSyntaxError(f"ALTER {kind} is not understood: drop it, and create it again as it should be")


def _skip(reader: StatementReader, name: str) -> SkipRecord:
    """PostgreSQL's form, whose option is ``lsn``; a CRC is named too, because other logs have records there."""
    reader.what = f"ALTER SUBSCRIPTION {shorten(name)} SKIP"
    for word in ("(", "POSITION", "="):
        reader.word(word, expected="(position = NUMBER, crc = 'HEX')")
    position = reader.number("a position, a number of bytes from 0 on", below=2**64)
    for word in (",", "CRC", "="):
        reader.word(word, expected=", crc = 'HEX'")
    expected = "the record's CRC in single quotes, eight hex digits as the error names it"
    found = reader.found()
    crc = reader.string(expected)
    if _CRC.fullmatch(crc) is None:
        raise ControlSyntaxError(f"{reader.what}: expected {expected}, found {found}")
    reader.word(")")
    return SkipRecord(name, position, int(crc, 16))


def _show(reader: StatementReader) -> ControlStatement:
    shown: dict[str, ControlStatement] = {
        "PUBLICATIONS": ShowPublications(),
        "SUBSCRIPTIONS": ShowSubscriptions(),
        "EFFECTIVE_WAL_LEVEL": ShowWalLevel(),
    }
    return shown[reader.word(*shown, expected="PUBLICATIONS, SUBSCRIPTIONS or effective_wal_level")]


def _set(reader: StatementReader) -> SetWalLevel:
    reader.word("EFFECTIVE_WAL_LEVEL", expected="effective_wal_level")
    reader.what = "SET effective_wal_level"
    reader.word("=", "TO")
    expected = "'replica' or 'logical'"
    found = reader.found()
    try:
        return SetWalLevel(Level.parse(reader.value(expected)))
    except UsageError:
        raise ControlSyntaxError(f"{reader.what}: expected {expected}, found {found}") from None


def _wait(reader: StatementReader) -> WaitForPosition:
    for word in ("FOR", "WAL", "POSITION"):
        reader.word(word)
    reader.what = "WAIT FOR WAL POSITION"
    position = _position(reader, "a position, a number of bytes from 0 on")
    if not reader.skip("WITH"):
        return WaitForPosition(position)
    reader.word("TIMEOUT")
    return WaitForPosition(position, reader.number("a number of milliseconds from 0 on", below=2**53) / 1000)


def _position(reader: StatementReader, expected: str) -> int:
    """A number, or a position with its history as `Position` writes it, in quotes or not."""
    unlike = reader.unexpected(expected)
    if reader.at_string():
        text = reader.string(expected)
    else:
        number, history = reader.number(expected, below=2**64), reader.parameter()
        if history is None:
            return number
        text = f"{number}{history}"
    try:
        return Position.parse(text)
    except UsageError as error:
        raise ControlSyntaxError(f"{unlike}: {error}") from error


_FORMS: dict[str, Callable[[StatementReader], ControlStatement]] = {
    "CREATE": _create,
    "DROP": _drop,
    "ALTER": _alter,
    "SHOW": _show,
    "SET": _set,
    "WAIT": _wait,
}


def _new_name(reader: StatementReader, expected: str) -> str:
    """A name without a schema."""
    if reader.at(*RESERVED):
        raise reader.unexpected(expected)
    return reader.name(expected)


def _table(reader: StatementReader, expected: str) -> str:
    """A table's name. ``public.t`` and ``t`` are one table; any other schema stays, with a dot."""
    name = _new_name(reader, expected)
    if not reader.skip("."):
        return name
    # After a dot every word is a name.
    return table_name([name, reader.name(expected)])


def _list(
    reader: StatementReader, what: str, behind: str, take: Callable[[StatementReader, str], str]
) -> tuple[str, ...]:
    """Names between commas, one at least."""
    if reader.done() or reader.at(","):
        raise ControlSyntaxError(
            f"{reader.what}: the list of {what} is empty: expected a name after {behind}, found {reader.found()}"
        )
    expected = f"the name of one of the {what}"
    names = [take(reader, expected)]
    while reader.skip(","):
        names.append(take(reader, expected))
    return tuple(names)
