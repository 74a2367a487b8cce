"""The publication and subscription statements that stand in a log (PROTOCOL section 5)."""

from __future__ import annotations

import enum
import re

import attrs


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
    """``DROP PUBLICATION``, with or without IF EXISTS."""

    name: str


@attrs.frozen
class DropSubscription:
    """``DROP SUBSCRIPTION``, with or without IF EXISTS."""

    name: str


CatalogChange = CreatePublication | CreateSubscription | DropPublication | DropSubscription

# Possessive throughout: no text makes a search try what it has tried.
_GAP = r"(?>\s++|--[^\n]*+(?:\n|\Z)|/\*(?>(?:[^*]++|\*(?!/))*)\*/)"
_NAME = r'(?>"(?>(?:[^"]++|"")+)"|[^\W\d][\w$]*+)'
_QUALIFIED = rf"{_NAME}(?:(?>{_GAP}*)\.(?>{_GAP}*){_NAME})?"
_LIST = rf"{_QUALIFIED}(?:(?>{_GAP}*),(?>{_GAP}*){_QUALIFIED})*"
_FLAGS = re.IGNORECASE | re.DOTALL

_CREATE_PUBLICATION = re.compile(
    rf"CREATE(?>{_GAP}+)PUBLICATION(?>{_GAP}+)(?P<name>{_NAME})(?:(?>{_GAP}+)FOR(?>{_GAP}+)(?:"
    rf"ALL(?>{_GAP}+)TABLES(?:(?>{_GAP}+)EXCEPT(?>{_GAP}+)(?P<but>{_LIST}))?|TABLES?(?>{_GAP}+)(?P<only>{_LIST})))?",
    _FLAGS,
)
_CREATE_SUBSCRIPTION = re.compile(
    rf"CREATE(?>{_GAP}+)SUBSCRIPTION(?>{_GAP}+)(?P<name>{_NAME})(?>{_GAP}+)CONNECTION(?>{_GAP}*)(?P<connection>'(?>(?:[^']++|'')*)')"
    rf"(?>{_GAP}*)PUBLICATION(?>{_GAP}+)(?P<publications>{_LIST})",
    _FLAGS,
)
_DROP = re.compile(
    rf"DROP(?>{_GAP}+)(?P<what>PUBLICATION|SUBSCRIPTION)(?>{_GAP}+)(?:IF(?>{_GAP}+)EXISTS(?>{_GAP}+))?(?P<name>{_NAME})",
    _FLAGS,
)
_LIST_ITEM = re.compile(rf"(?:({_NAME})(?>{_GAP}*)\.(?>{_GAP}*))?({_NAME})", _FLAGS)
_CATALOG_WORDS = re.compile(rf"(?:CREATE|DROP|ALTER){_GAP}", _FLAGS)
_LEADING_GAP = re.compile(rf"(?>(?:{_GAP}|;)*)", _FLAGS)
_TRAILING_GAP = re.compile(rf"(?>(?:{_GAP}|;)*)\Z", _FLAGS)


def fold_name(name: str) -> str:
    """Read an identifier as PostgreSQL does: unquoted ones fold to lower case, quoted ones stay."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def parse_catalog_change(sql: str) -> CatalogChange | None:
    """Read a statement that changes the catalogue of publications and subscriptions.

    Args:
        sql: One of PROTOCOL section 5's statements.

    Returns:
        The change, or None for those that change nothing (SHOW, SET, WAIT FOR).

    Raises:
        ValueError: A CREATE, DROP or ALTER that is not of that section's form.
    """
    start = _LEADING_GAP.match(sql)
    text = sql[start.end() if start else 0 :]
    if _CATALOG_WORDS.match(text) is None:
        return None
    for pattern in (_CREATE_PUBLICATION, _CREATE_SUBSCRIPTION, _DROP):
        found = pattern.match(text)
        if found is not None and _TRAILING_GAP.match(text, found.end()):
            return _change(found)
    raise ValueError(f"not a publication or subscription statement that is known: {sql[:200]!r}")


def _change(found: re.Match[str]) -> CatalogChange:
    fields = found.groupdict()
    name = fold_name(fields["name"])
    if "what" in fields:
        return DropPublication(name) if fields["what"].upper() == "PUBLICATION" else DropSubscription(name)
    if "connection" in fields:
        connection = fields["connection"][1:-1].replace("''", "'")
        return CreateSubscription(name, connection, _names(fields["publications"]))
    if fields["only"] is not None:
        return CreatePublication(name, Scope.ONLY, _names(fields["only"]))
    if fields["but"] is not None:
        return CreatePublication(name, Scope.EXCEPT, _names(fields["but"]))
    return CreatePublication(name, Scope.ALL)


def _names(text: str) -> tuple[str, ...]:
    """The names of a list. ``public.t`` and ``t`` are one table."""
    names = []
    for schema, name in _LIST_ITEM.findall(text):
        plain = not schema or fold_name(schema) == "public"
        names.append(fold_name(name) if plain else f"{fold_name(schema)}.{fold_name(name)}")
    return tuple(names)
