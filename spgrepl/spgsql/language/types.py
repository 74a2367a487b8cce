"""SPG's types by the names that SQL has for them, and by what kind of value they hold."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from spgrepl.spg.values.types import TYPE_TAGS, SpgType
from spgrepl.spgsql.language.grammar import ExpressionReader
from spgrepl.spgsql.language.lexing import Dialect, lex
from spgrepl.spgsql.language.nodes import TypeName
from spgrepl.spgsql.language.stops import StatementStopped


class Family(enum.Enum):
    """What values of a type are to an expression."""

    INTEGER = "integer"
    FLOAT = "float"
    REAL = "real"
    NUMERIC = "numeric"
    BOOL = "bool"
    TEXT = "text"
    CHAR = "char"
    BYTEA = "bytea"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    TIME = "time"
    TIMETZ = "timetz"
    INTERVAL = "interval"
    UUID = "uuid"
    JSON = "json"
    VECTOR = "vector"
    ARRAY = "array"
    MONEY = "money"
    YEAR = "year"
    NETWORK = "network"
    BITS = "bits"
    OTHER = "other"


INT, BIGINT, FLOAT, TEXT, BOOL, SMALLINT = (SpgType(tag) for tag in (1, 2, 3, 4, 5, 7))
DATE, TIMESTAMP, TIMESTAMPTZ, TIME, TIMETZ, INTERVAL = (SpgType(tag) for tag in (11, 12, 17, 25, 27, 34))
JSON, JSONB, BYTEA, UUID = (SpgType(tag) for tag in (13, 16, 18, 24))
NUMERIC = SpgType(10, (0, 0))
"""NUMERIC without precision and scale."""

VARCHAR_TAG, NAME_TAG, NAME_BYTES = 8, 72, 63
"""Texts whose length is limited, and how many bytes a NAME may have."""

_FAMILIES: Mapping[Family, tuple[int, ...]] = {
    Family.INTEGER: (1, 2, 7, 73, 74, 75),
    Family.FLOAT: (3,),
    Family.REAL: (68,),
    Family.NUMERIC: (10, 69),
    Family.BOOL: (5,),
    Family.TEXT: (4, 8, 72, 63),
    Family.CHAR: (9,),
    Family.BYTEA: (18,),
    Family.DATE: (11,),
    Family.TIMESTAMP: (12,),
    Family.TIMESTAMPTZ: (17,),
    Family.TIME: (25,),
    Family.TIMETZ: (27,),
    Family.INTERVAL: (34,),
    Family.UUID: (24,),
    Family.JSON: (13, 16),
    Family.VECTOR: (6, 15),
    Family.MONEY: (28,),
    Family.YEAR: (26,),
    Family.NETWORK: (57, 58, 59, 60),
    Family.BITS: (61, 62, 70, 71),
}
_ELEMENTS: Mapping[int, SpgType] = {
    19: TEXT,
    20: INT,
    21: BIGINT,
    36: BOOL,
    37: SMALLINT,
    38: FLOAT,
    39: NUMERIC,
    40: DATE,
    41: TIMESTAMP,
    42: TIMESTAMPTZ,
    43: UUID,
    44: JSON,
    45: JSONB,
    46: BYTEA,
    47: TEXT,
    79: SpgType(68),
    80: TIME,
    81: TIMETZ,
    35: INTERVAL,
    65: SpgType(28),
    76: SpgType(75),
    82: SpgType(57),
    83: SpgType(63),
}
_GRIDS: Mapping[int, SpgType] = {31: INT, 32: BIGINT, 33: TEXT, 67: BOOL}
_FAMILY_OF: dict[int, Family] = {tag: family for family, tags in _FAMILIES.items() for tag in tags}
_FAMILY_OF |= dict.fromkeys((*_ELEMENTS, *_GRIDS), Family.ARRAY)

INTEGER_RANGES = {1: 31, 2: 63, 7: 15}
"""How many bits an integer has besides its sign."""


def family_of(kind: SpgType) -> Family:
    """What values of a type are to an expression."""
    return _FAMILY_OF.get(kind.tag, Family.OTHER)


def element_of(kind: SpgType) -> tuple[SpgType, int]:
    """The type of the elements of an array, and how many dimensions it has."""
    if kind.tag in _GRIDS:
        return _GRIDS[kind.tag], 2
    return _ELEMENTS[kind.tag], 1


_NAMES: Mapping[str, int] = {
    **dict.fromkeys(("int", "integer", "int4"), 1),
    **dict.fromkeys(("bigint", "int8"), 2),
    **dict.fromkeys(("smallint", "int2"), 7),
    **dict.fromkeys(("float", "double precision", "float8"), 3),
    **dict.fromkeys(("real", "float4"), 68),
    **dict.fromkeys(("bool", "boolean"), 5),
    **dict.fromkeys(("text", "citext"), 4),
    **dict.fromkeys(("varchar", "character varying"), 8),
    **dict.fromkeys(("char", "character", "bpchar"), 9),
    **dict.fromkeys(("numeric", "decimal", "dec"), 10),
    **dict.fromkeys(("bit varying", "varbit"), 62),
    **dict.fromkeys(("timestamptz", "timestamp with time zone"), 17),
    "date": 11,
    "timestamp": 12,
    "time": 25,
    "timetz": 27,
    "interval": 34,
    "json": 13,
    "jsonb": 16,
    "bytea": 18,
    "uuid": 24,
    "vector": 6,
    "money": 28,
    "xml": 63,
    "inet": 57,
    "cidr": 58,
    "macaddr": 59,
    "macaddr8": 60,
    "name": 72,
    "oid": 75,
    "xid": 73,
    "xid8": 74,
    "hstore": 30,
    "tsvector": 22,
    "tsquery": 23,
    "bit": 61,
    "pg_lsn": 66,
    "point": 50,
    "lseg": 51,
    "path": 52,
    "box": 53,
    "polygon": 54,
    "line": 55,
    "circle": 56,
    "year": 26,
    "int2vector": 77,
    "oidvector": 78,
}
_MYSQL_NAMES: Mapping[str, int] = {
    "blob": 18,
    "tinyblob": 18,
    "mediumblob": 18,
    "longblob": 18,
    "double": 3,
    "tinytext": 4,
    "mediumtext": 4,
    "longtext": 4,
    "datetime": 12,
}
_RANGES = ("int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange")
SERIALS: Mapping[str, SpgType] = {
    **dict.fromkeys(("serial", "serial4"), INT),
    **dict.fromkeys(("bigserial", "serial8"), BIGINT),
    **dict.fromkeys(("smallserial", "serial2"), SMALLINT),
}
"""Types that number the rows by themselves."""

_ARRAYS = {element.tag: tag for tag, element in reversed([*_ELEMENTS.items()])} | {8: 47, 9: 48}
_GRID_OF = {element.tag: tag for tag, element in _GRIDS.items()}
_REAL_FROM = 76
_LONGEST = 10_485_760
_USING = {"half": 15, "sq8": 14, "": 6}


def type_of(
    name: TypeName, dialect: Dialect = Dialect.POSTGRESQL, file_version: int | None = None
) -> SpgType | None:
    """SPG's type of a name; None where SPG has none of that name, as for an enum.

    Args:
        name: The name.
        dialect: Whose name it is.
        file_version: The FILE_VERSION that the server writes, where that is known.

    Raises:
        StatementStopped: Which type it is cannot be told.
    """
    scalar = _scalar(name, dialect, file_version)
    if scalar is None or not name.dimensions:
        return scalar
    arrays = _ARRAYS if name.dimensions == 1 else _GRID_OF if name.dimensions == 2 else {}
    tag = arrays.get(scalar.tag)
    if tag is None:
        raise StatementStopped(f"how SPG stores {scalar.label}{'[]' * name.dimensions} is not known here")
    return SpgType(tag)


def _scalar(name: TypeName, dialect: Dialect, file_version: int | None) -> SpgType | None:
    word, numbers = name.name, name.parameters
    if word in _RANGES:
        return SpgType(29, (_RANGES.index(word),))
    if word.endswith("multirange") and word.replace("multirange", "range") in _RANGES:
        return SpgType(49, (_RANGES.index(word.replace("multirange", "range")),))
    tag = _NAMES.get(word)
    if tag is None and dialect is Dialect.MYSQL:
        tag = _MYSQL_NAMES.get(word)
    if dialect is Dialect.MYSQL and (tag in (1, 2, 7) or word in ("time", "timestamp", "datetime", "year")):
        numbers = ()  # how wide a number is shown, and how many digits a time has, which literals bring themselves
    if tag is None:
        return None
    if tag == 68 and file_version is not None and file_version < _REAL_FROM:
        raise StatementStopped(
            "whether a server of this version stores REAL in four bytes or in eight is not known"
        )
    if word == "float" and numbers:
        raise StatementStopped("which type FLOAT with a precision is at this server is not known here")
    return _with_numbers(tag, word, numbers, name.using)


def _with_numbers(tag: int, word: str, numbers: tuple[int, ...], using: str) -> SpgType:
    if tag == 10:
        return _numeric(numbers)
    if tag in (8, 9):
        if len(numbers) > 1:
            raise StatementStopped(f"{word} takes one number")
        if numbers and not 1 <= numbers[0] <= _LONGEST:
            raise StatementStopped(f"{word.upper()}({numbers[0]}) is beyond what PostgreSQL takes")
        if tag == 8 and not numbers:
            return TEXT
        return SpgType(tag, numbers or (1,))
    if tag == 6:
        if len(numbers) != 1:
            raise StatementStopped("a VECTOR without its length is not known here")
        return SpgType(_USING[using], numbers)
    if tag in (61, 62) and len(numbers) == 1:
        return SpgType(70 if tag == 61 else 71, numbers)
    if tag == 61:
        return SpgType(70, (1,))
    if numbers:
        raise StatementStopped(
            f"what {word}({', '.join(map(str, numbers))}) means at this server is not known here"
        )
    assert tag in TYPE_TAGS
    return SpgType(tag)


def _numeric(numbers: tuple[int, ...]) -> SpgType:
    if not numbers:
        return NUMERIC
    precision, scale = numbers[0], numbers[1] if len(numbers) > 1 else 0
    if not 1 <= precision <= 1000 or not -1000 <= scale <= 1000 or len(numbers) > 2:
        raise StatementStopped(f"NUMERIC{numbers} is beyond what PostgreSQL takes")
    return SpgType(10 if precision < 256 and 0 <= scale < 256 else 69, (precision, scale))


def declared_type(text: str) -> SpgType | None:
    """SPG's type of a column that was declared in SQLite by SPG's name; None for any other."""
    if not text.strip():
        return None
    try:
        reader = ExpressionReader(lex(text))
        name = reader.type_name()
        reader.expect_end()
        return SERIALS.get(name.name) or type_of(name)
    except StatementStopped:
        return None
