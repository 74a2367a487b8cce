"""Tables of a TOML file as words of a command line, and where their fields stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import attrs

from spgrepl.errors import ConfigurationError
from spgrepl.server.plain_usage import PlainUsage

PATHS = frozenset({"db", "wal", "segment-dir", "tls-cert", "tls-key", "tls-ca", "access", "http-token-file"})
"""Options that name files: relative ones are meant from the folder of the configuration on."""

_TABLE = re.compile(r"\s*\[(\[?)\s*([A-Za-z0-9_-]+)(?:\s*\.\s*([A-Za-z0-9_-]+))?\s*\]?\]\s*(?:#.*)?")
_OPTION = re.compile(r"--([a-z][a-z-]*)")
_FIELD = re.compile(r"""\s*(["']?)([A-Za-z0-9_-]+)\1\s*=""")


@attrs.frozen
class Place:
    """Where something stands in a file.

    Attributes:
        file: The file.
        line: The line, from 1; None where it is not known.
        field: The field, with its table.
    """

    file: Path
    line: int | None
    field: str

    def __str__(self) -> str:
        line = "" if self.line is None else f":{self.line}"
        return f"{self.file}{line}: {self.field}"

    def error(self, what: str) -> ConfigurationError:
        """An error at this place."""
        return ConfigurationError(f"{self}: {what}")


class Lines:
    """Finds the lines of tables and fields in the text of a TOML file, for messages.

    Args:
        file: The file.
        text: Its text, which is TOML.
    """

    def __init__(self, file: Path, text: str) -> None:
        self._file = file
        self._tables: dict[tuple[str, int], int] = {}
        self._fields: dict[tuple[str, int, str], int] = {}
        table, count = "", 0
        counts: dict[str, int] = {}
        for number, line in enumerate(text.split("\n"), start=1):
            found = _TABLE.fullmatch(line.rstrip("\r"))
            if found is not None:
                table = (
                    found[2] if found[3] is None else self.inner(found[2], counts.get(found[2], 0) - 1, found[3])
                )
                count = counts.get(table, 0)
                counts[table] = count + 1
                self._tables[table, count] = number
            elif (named := _FIELD.match(line)) is not None:
                self._fields.setdefault((table, count, named[2]), number)

    @staticmethod
    def inner(name: str, number: int, field: str) -> str:
        """What the tables in a field of a table are known by here."""
        return f"{name}.{field}#{number}"

    def table(self, name: str, number: int = 0, label: str = "") -> Place:
        """Where a table begins; of several with this name, the one with a number from 0."""
        shown = f"[{_shown(name)}]" if not label else f"[{_shown(name)}] {label}"
        return Place(self._file, self._tables.get((name, number)), shown)

    def field(self, name: str, number: int, field: str) -> Place:
        """Where a field of a table stands, or the table where it has none of that name."""
        line = self._fields.get((name, number, field)) or self._tables.get((name, number))
        return Place(self._file, line, f"[{_shown(name)}] {field}")


def _shown(name: str) -> str:
    return name.partition("#")[0]


@attrs.frozen
class TablePlace(Place):
    """Where a table begins. An error that names an option names that field's place instead.

    Attributes:
        lines: Where the fields stand.
        table: The table's name.
        number: Which one of that name it is, from 0.
    """

    lines: Lines | None = attrs.field(default=None, eq=False, repr=False)
    table: str = ""
    number: int = 0

    @classmethod
    def of(cls, lines: Lines, table: str, number: int, label: str) -> TablePlace:
        """The place of a table."""
        place = lines.table(table, number, label)
        return cls(place.file, place.line, place.field, lines, table, number)

    def error(self, what: str) -> ConfigurationError:
        """See `Place`."""
        found = _OPTION.search(what)
        if found is None or self.lines is None:
            return ConfigurationError(f"{self}: {what}")
        return ConfigurationError(f"{self.lines.field(self.table, self.number, found[1])}: {what}")


def option_names(options: PlainUsage) -> dict[str, str]:
    """The options that may stand in a file: ``value``, ``flag``, or ``list`` for one that may be repeated."""
    found: dict[str, str] = {}
    for name in options.longOpt:
        plain = name.removesuffix("=")
        if plain in ("help", "version"):
            continue
        repeated = hasattr(options, f"opt_{plain.replace('-', '_')}") and name.endswith("=")
        found[plain] = "list" if repeated else "value" if name.endswith("=") else "flag"
    return found


def as_words(options: PlainUsage, table: Mapping[str, Any], lines: Lines, name: str, number: int) -> list[str]:
    """A table as the words of a command line.

    Args:
        options: The options of its role.
        table: The table.
        lines: Where its fields stand.
        name: The table's name.
        number: Which one of that name it is, from 0.

    Raises:
        ConfigurationError: A field is unknown, or its value of the wrong kind; the message names the place.
    """
    known = option_names(options)
    words: list[str] = []
    for field, value in table.items():
        place = lines.field(name, number, field)
        kind = known.get(field)
        if kind is None:
            meant = "".join(f" (is {one} meant?)" for one in get_close_matches(field, known, 1))
            there = ", ".join(sorted(known))
            raise place.error(f"there is no such option of a {name}{meant}; there are {there}")
        words += _words_of(field, value, kind, place)
    return words


def _words_of(field: str, value: Any, kind: str, place: Place) -> list[str]:
    if kind == "flag":
        if not isinstance(value, bool):
            raise place.error(f"expected true or false, found {value!r}")
        return [f"--{field}"] if value else []
    if kind == "list":
        values = value if isinstance(value, list) else [value]
        return [f"--{field}={_text(one, place)}" for one in values]
    text = _text(value, place)
    if field in PATHS and not Path(text).is_absolute():
        text = str(place.file.absolute().parent / text)
    return [f"--{field}={text}"]


def _text(value: Any, place: Place) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise place.error(f"expected a text or a number, found {value!r}")
    return str(value)
