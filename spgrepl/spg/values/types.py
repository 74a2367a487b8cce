"""What a type tag means: its name, its parameters, how SQLite declares it, and how its bodies are read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import attrs

from spgrepl.spg.values import bodies, clock, texts
from spgrepl.spg.values.bodies import Decode, UnknownTagInBody
from spgrepl.spg.values.cursor import LONG_BYTES_FROM, Cursor

LSN_TAG, REAL_TAG = 66, 68

INTEGER_TAGS = frozenset((1, 2, 7))
"""INT, BIGINT and SMALLINT: a table that is frozen has an index on a column of these."""

_RANGES = ("INT4RANGE", "INT8RANGE", "NUMRANGE", "TSRANGE", "TSTZRANGE", "DATERANGE")


@attrs.frozen
class SpgType:
    """The type of a column.

    Attributes:
        tag: Its tag.
        parameters: Its parameters, in the order of the file.
    """

    tag: int
    parameters: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """The type as SQL has it."""
        return _KINDS[self.tag].label(*self.parameters)

    @property
    def declared(self) -> str:
        """The type that a column of SQLite is declared with."""
        return _KINDS[self.tag].declared

    @property
    def is_integer(self) -> bool:
        """Whether a column of this type can be the key of cold rows."""
        return self.tag in INTEGER_TAGS

    def body(self, version: int) -> Body:
        """How its values are read.

        Args:
            version: The FILE_VERSION, or the codec version of a segment.
        """
        return _KINDS[self.tag].body(version, *self.parameters)


@attrs.frozen
class Body:
    """How the values of a column are read. Exactly one of `form` and `decode` is given, or `text` is true.

    Attributes:
        form: What `struct` calls it, for what always has the same length.
        convert: Makes a value of what `struct` returns; None where that is the value.
        decode: Reads what has no set length.
        text: A plain text.
    """

    form: str = ""
    convert: Callable[[Any], Any] | None = None
    decode: Decode | None = None
    text: bool = False

    def decoder(self, version: int) -> Decode:
        """The body as a decoder by itself."""
        if self.text:
            return bodies.text_decoder(version)
        return self.decode or bodies.fixed_decoder(self.form, self.convert)


@attrs.frozen
class _Kind:
    """A line of the table below.

    Attributes:
        label: Its name, from its parameters.
        body: Its body, from the version and its parameters.
        declared: The type in SQLite.
        parameters: What `struct` calls its parameters.
    """

    label: Callable[..., str]
    body: Callable[..., Body]
    declared: str = "TEXT"
    parameters: str = ""


def read_type(cursor: Cursor) -> SpgType:
    """Read a type tag with its parameters.

    Raises:
        UnknownSpgTag: It is not known.
    """
    offset = cursor.offset
    tag = cursor.u8()
    kind = _KINDS.get(tag)
    if kind is None:
        raise cursor.unknown("the type tag", tag, offset)
    form = struct.Struct("<" + kind.parameters)
    found = SpgType(tag, form.unpack(cursor.take(form.size)))
    try:
        found.body(cursor.version)
    except UnknownTagInBody as error:
        raise cursor.unknown(f"{error}, in the type tag", tag, offset) from None
    return found


# -- tagged values --------------------------------------------------------------------------------------------


def tagged_decoder(version: int) -> Decode:
    """A decoder of values that say what they are: defaults of columns, bounds of ranges."""
    found = _TAGGED.get(version)
    if found is None:
        found = _TAGGED[version] = _make_tagged(version)
    return found


_TAGGED: dict[int, Decode] = {}

_OF_TYPE = dict(
    zip(
        (*range(1, 13), *range(14, 25), *range(26, 30), 67, 30, 31, 32),
        (1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 14, 15, *range(18, 29), *range(30, 34), 67, 34, 35, 68),
        strict=True,
    )
)
"""Tags of values, and the type whose body follows."""

_RANGE_VALUE = 25
_BIG_VALUES = {33: False, 34: True}


def _make_tagged(version: int) -> Decode:
    decoders: dict[int, Decode] = {}

    def decode(buf: bytes, at: int) -> tuple[Any, int]:
        tag = buf[at]
        if tag == 0:
            return None, at + 1
        read = decoders.get(tag)
        if read is None:
            read = decoders[tag] = make(tag)
        return read(buf, at + 1)

    def make(tag: int) -> Decode:
        if tag in _OF_TYPE:
            kind = _KINDS[_OF_TYPE[tag]]
            return kind.body(version, *[0] * len(kind.parameters)).decoder(version)
        if tag == _RANGE_VALUE:
            return texts.tagged_range_decoder(_bound_decoder(decode))
        if tag in _BIG_VALUES:
            return bodies.big_numeric_decoder(_BIG_VALUES[tag])
        raise UnknownTagInBody(f"the value tag {tag}")

    return decode


def _bound_decoder(tagged: Decode) -> Decode:
    """A decoder of the bounds of ranges."""

    def decode(buf: bytes, at: int) -> tuple[Any, int]:
        # A range as the bound of a range would nest without end.
        if buf[at] == _RANGE_VALUE:
            raise UnknownTagInBody("a range as the bound of a range")
        return tagged(buf, at)

    return decode


# -- the table ------------------------------------------------------------------------------------------------


def _label(name: str) -> Callable[..., str]:
    return lambda *numbers: f"{name}({','.join(map(str, numbers))})" if numbers else name


def _always(body: Body) -> Callable[..., Body]:
    return lambda _version, *_parameters: body


def _by_version(make: Callable[[int], Decode]) -> Callable[..., Body]:
    return lambda version, *_parameters: Body(decode=make(version))


def _fixed(name: str, form: str, convert: Callable[[Any], Any] | None = None, declared: str = "TEXT") -> _Kind:
    return _Kind(_label(name), _always(Body(form, convert)), declared)


def _decoded(name: str, decode: Decode, parameters: str = "") -> _Kind:
    return _Kind(_label(name), _always(Body(decode=decode)), parameters=parameters)


def _text(name: str, parameters: str = "") -> _Kind:
    return _Kind(_label(name), _always(Body(text=True)), parameters=parameters)


def _array(name: str, element: Decode) -> _Kind:
    return _decoded(f"{name}[]", bodies.elements_decoder(element))


def _fixed_array(name: str, form: str, convert: Callable[[Any], Any] | None = None) -> _Kind:
    return _array(name, bodies.fixed_decoder(form, convert))


def _text_array(name: str) -> _Kind:
    def make(version: int) -> Decode:
        return bodies.elements_decoder(bodies.text_decoder(version, LONG_BYTES_FROM))

    return _Kind(_label(f"{name}[]"), _by_version(make))


def _range(version: int, kind: int) -> Body:
    return Body(decode=texts.range_decoder(_bound_decoder(tagged_decoder(version)), kind))


def _multirange(version: int, kind: int) -> Body:
    return Body(decode=texts.multirange_decoder(_bound_decoder(tagged_decoder(version)), kind))


def _hex_array(version: int) -> Decode:
    read = bodies.bytes_decoder(version)

    def element(buf: bytes, at: int) -> tuple[str, int]:
        value, at = read(buf, at)
        return value.hex(), at

    return bodies.elements_decoder(element)


def _numeric(version: int, *_parameters: int) -> Body:
    return Body(decode=bodies.numeric_decoder(version))


_KINDS: dict[int, _Kind] = {
    1: _fixed("INT", "i", declared="INTEGER"),
    2: _fixed("BIGINT", "q", declared="INTEGER"),
    3: _fixed("FLOAT", "d", texts.finite, "REAL"),
    4: _text("TEXT"),
    5: _fixed("BOOL", "B", lambda byte: int(byte != 0), "BOOLEAN"),
    6: _decoded("VECTOR", bodies.run_decoder("I", "f", texts.finite), "I"),
    7: _fixed("SMALLINT", "h", declared="INTEGER"),
    8: _text("VARCHAR", "I"),
    9: _text("CHAR", "I"),
    10: _Kind(_label("NUMERIC"), _numeric, parameters="BB"),
    11: _fixed("DATE", "i", clock.date_text),
    12: _fixed("TIMESTAMP", "q", clock.timestamp_text),
    13: _text("JSON"),
    14: _Kind(
        lambda n: f"VECTOR({n}) USING SQ8",
        _always(Body(decode=texts.sq8_vector(bodies.json_text))),
        parameters="I",
    ),
    15: _Kind(
        lambda n: f"VECTOR({n}) USING HALF",
        _always(Body(decode=bodies.run_decoder("I", "e", texts.finite))),
        parameters="I",
    ),
    16: _text("JSONB"),
    17: _fixed("TIMESTAMPTZ", "q", clock.timestamptz_text),
    18: _Kind(_label("BYTEA"), _by_version(bodies.bytes_decoder), "BLOB"),
    19: _text_array("TEXT"),
    20: _fixed_array("INT", "i"),
    21: _fixed_array("BIGINT", "q"),
    22: _Kind(_label("TSVECTOR"), _by_version(texts.tsvector_decoder)),
    23: _Kind(_label("TSQUERY"), _by_version(texts.tsquery_decoder)),
    24: _fixed("UUID", "16s", texts.uuid_text),
    25: _fixed("TIME", "q", clock.time_text),
    26: _fixed("YEAR", "H", texts.year_text),
    27: _fixed("TIMETZ", "12s", clock.timetz_text),
    28: _fixed("MONEY", "q", texts.money_text),
    29: _Kind(lambda kind: _RANGES[kind], _range, parameters="B"),
    30: _decoded("HSTORE", bodies.hstore),
    31: _decoded("INT[][]", bodies.grid_decoder(bodies.fixed_decoder("i"))),
    32: _decoded("BIGINT[][]", bodies.grid_decoder(bodies.fixed_decoder("q"))),
    33: _decoded("TEXT[][]", bodies.grid_decoder(bodies.long_text)),
    34: _fixed("INTERVAL", "16s", clock.interval_text),
    35: _fixed_array("INTERVAL", "16s", clock.interval_text),
    36: _fixed_array("BOOL", "B", bool),
    37: _fixed_array("SMALLINT", "h"),
    38: _fixed_array("FLOAT", "d", texts.finite),
    39: _decoded("NUMERIC[]", bodies.elements_decoder(bodies.plain_numeric, bodies.wide_numeric)),
    40: _fixed_array("DATE", "i", clock.date_text),
    41: _fixed_array("TIMESTAMP", "q", clock.timestamp_text),
    42: _fixed_array("TIMESTAMPTZ", "q", clock.timestamptz_text),
    43: _fixed_array("UUID", "16s", texts.uuid_text),
    44: _text_array("JSON"),
    45: _text_array("JSONB"),
    46: _Kind(_label("BYTEA[]"), _by_version(_hex_array)),
    47: _text_array("VARCHAR"),
    48: _text_array("CHAR"),
    49: _Kind(lambda kind: _RANGES[kind].replace("RANGE", "MULTIRANGE"), _multirange, parameters="B"),
    50: _decoded("POINT", texts.shape_decoder("(%s,%s)")),
    51: _decoded("LSEG", texts.shape_decoder("[(%s,%s),(%s,%s)]")),
    52: _decoded("PATH", texts.path),
    53: _decoded("BOX", texts.shape_decoder("(%s,%s),(%s,%s)")),
    54: _decoded("POLYGON", texts.polygon),
    55: _decoded("LINE", texts.shape_decoder("{%s,%s,%s}")),
    56: _decoded("CIRCLE", texts.shape_decoder("<(%s,%s),%s>")),
    57: _fixed("INET", "18s", texts.network_text),
    58: _fixed("CIDR", "18s", texts.network_text),
    59: _fixed("MACADDR", "6s", texts.hardware_text),
    60: _fixed("MACADDR8", "8s", texts.hardware_text),
    61: _decoded("BIT", texts.bits),
    62: _decoded("BIT VARYING", texts.bits),
    63: _text("XML"),
    64: _fixed('"char"', "1s", texts.char_text),
    65: _fixed_array("MONEY", "q", texts.money_text),
    66: _fixed("PG_LSN", "Q", texts.lsn_text),
    67: _decoded("BOOL[][]", bodies.grid_decoder(None)),
    68: _fixed("REAL", "f", texts.finite, "REAL"),
    69: _Kind(_label("NUMERIC"), _numeric, parameters="Hh"),
    70: _decoded("BIT", texts.bits, "I"),
    71: _decoded("BIT VARYING", texts.bits, "I"),
    72: _text("NAME"),
    73: _fixed("XID", "q", declared="INTEGER"),
    74: _fixed("XID8", "q", declared="INTEGER"),
    75: _fixed("OID", "q", declared="INTEGER"),
    76: _fixed_array("OID", "q"),
    77: _decoded("INT2VECTOR", bodies.run_decoder("H", "h")),
    78: _decoded("OIDVECTOR", bodies.run_decoder("H", "I")),
    79: _fixed_array("REAL", "f", texts.finite),
    80: _fixed_array("TIME", "q", clock.time_text),
    81: _fixed_array("TIMETZ", "12s", clock.timetz_text),
    82: _fixed_array("INET", "18s", texts.network_text),
    83: _text_array("XML"),
}
TYPE_TAGS = frozenset(_KINDS)
"""All tags that are known."""
