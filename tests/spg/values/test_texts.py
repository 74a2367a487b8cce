"""Text search, ranges, networks, bits and shapes as texts: what is read of the text is what stood in the bytes."""

from __future__ import annotations

import ipaddress
import json
import math
import re
import struct
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.spg.values import texts
from spgrepl.spg.values.bodies import BadBody, Decode, Short, UnknownTagInBody, fixed_decoder, json_text
from spgrepl.spg.values.clock import timestamp_text
from tests.spg import writer as w

VERSION = 100
LETTERS = st.text("ab'\\ |&!", max_size=4)
LEAVES = st.tuples(st.just("word"), LETTERS, st.integers(0, 15))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.just("!"), inner), st.tuples(st.sampled_from(["&", "|", "<->", "<5>"]), inner, inner)
    ),
    max_leaves=6,
)
TOKENS = re.compile(r"\s*('(?:[^'\\]|''|\\\\)*'(?::[ABCD]+)?|<->|<\d+>|[&|!()])")
STRENGTH = {"|": 1, "&": 2, "<->": 3, "<5>": 3}


def written(tree: Any) -> bytes:
    if tree[0] == "word":
        return w.u8(0) + w.text(tree[1]) + w.u8(tree[2])
    if tree[0] == "!":
        return w.u8(3) + written(tree[1])
    head = {"&": w.u8(1), "|": w.u8(2), "<->": w.u8(4) + w.u16(1), "<5>": w.u8(4) + w.u16(5)}[tree[0]]
    return head + written(tree[1]) + written(tree[2])


def read(tokens: list[str], least: int = 0) -> Any:
    """A query of PostgreSQL: operators of the same strength are grouped from the left."""
    token = tokens.pop(0)
    if token == "(":
        left = read(tokens)
        assert tokens.pop(0) == ")"
    elif token == "!":
        left = ("!", read(tokens, 4))
    else:
        word, _, mask = token.rpartition("':")
        word = (word + "'") if word else token
        bits = sum(1 << "DCBA".index(letter) for letter in (mask if word != token else ""))
        left = ("word", word[1:-1].replace("''", "'").replace("\\\\", "\\"), bits)
    while tokens and tokens[0] in STRENGTH and STRENGTH[tokens[0]] > least:
        operator = tokens.pop(0)
        left = (operator, left, read(tokens, STRENGTH[operator]))
    return left


@settings(max_examples=30)
@given(TREES)
def test_a_query_is_grouped_as_it_was_stored(tree: Any) -> None:
    data = written(tree)
    found, end = texts.tsquery_decoder(VERSION)(data, 0)
    assert end == len(data)
    assert read(TOKENS.findall(found)) == tree


@settings(max_examples=30)
@given(st.lists(st.tuples(LETTERS, st.lists(st.integers(1, 16383), max_size=3), st.integers(0, 3)), max_size=3))
def test_words_and_their_places(words: list[tuple[str, list[int], int]]) -> None:
    data = w.list16(
        *(w.text(word) + w.list16(*map(w.u16, places)) + w.u8(weight) for word, places, weight in words)
    )
    found, end = texts.tsvector_decoder(VERSION)(data, 0)
    parts = re.findall(r"'((?:[^'\\]|''|\\\\)*)'(?::([\d,]*)([ABC]?))?", found)
    assert end == len(data)
    assert [
        (word.replace("''", "'").replace("\\\\", "\\"), [int(one) for one in places.split(",") if one], letter)
        for word, places, letter in parts
    ] == [(word, places, ["", "C", "B", "A"][weight]) for word, places, weight in words]


@pytest.mark.parametrize(
    ("flags", "bounds", "kind", "said"),
    [
        (0b00110, (1, 5), 0, "(1,5)"),
        (0b11110, (1, 5), 0, "[1,5]"),
        (0b01010, (1,), 0, "[1,)"),
        (0b00000, (), 0, "(,)"),
        (0b00001, (), 0, "empty"),
        (0b01010, (-(2**63) + 1,), 4, '["290309-12-21 19:59:05.224193+00 BC",)'),
        (0b01110, (0, 2**63 - 1), 4, '["1970-01-01 00:00:00+00",infinity)'),
    ],
)
def test_ranges(flags: int, bounds: tuple[int, ...], kind: int, said: str) -> None:
    tagged = fixed_decoder("q", timestamp_text if kind == 4 else None)
    data = w.u8(flags) + b"".join(map(w.i64, bounds))
    assert texts.range_decoder(tagged, kind)(data, 0) == (said, len(data))
    assert texts.tagged_range_decoder(tagged)(w.u8(kind) + data, 0)[0] == said
    assert texts.multirange_decoder(tagged, kind)(w.list16(data, data), 0)[0] == f"{{{said},{said}}}"
    with pytest.raises(UnknownTagInBody, match="the kind 6 of a range"):
        texts.tagged_range_decoder(tagged)(w.u8(6) + data, 0)


@settings(max_examples=30)
@given(st.ip_addresses(), st.integers(0, 255))
def test_networks(address: Any, bits: int) -> None:
    body = w.u8(address.version, bits) + address.packed.ljust(16, b"\0")
    if bits > address.max_prefixlen:
        with pytest.raises(BadBody, match=f"with {bits} bits"):
            texts.network_text(body)
    else:
        assert ipaddress.ip_interface(texts.network_text(body)) == ipaddress.ip_interface((address, bits))


@settings(max_examples=30)
@given(st.text("01", max_size=40), st.integers(-(2**63), 2**63 - 1), st.uuids(), st.integers(0, 2**64 - 1))
def test_bits_cents_and_identifiers(digits: str, cents: int, one: uuid.UUID, lsn: int) -> None:
    packed = bytes(int(digits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(digits), 8))
    assert texts.bits(w.u32(len(digits)) + packed, 0) == (digits, 4 + len(packed))
    assert Decimal(texts.money_text(cents)) * 100 == cents
    assert texts.uuid_text(one.bytes) == str(one)
    high, low = texts.lsn_text(lsn).split("/")
    assert int(high, 16) << 32 | int(low, 16) == lsn


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=4), st.booleans())
def test_shapes(points: list[tuple[float, float]], closed: bool) -> None:
    numbers = [number for point in points for number in point]
    data = w.u32(len(points)) + struct.pack(f"<{len(numbers)}d", *numbers)
    for found, edges in (
        (texts.polygon(data, 0)[0], "()"),
        (texts.path(w.u8(closed) + data, 0)[0], "()" if closed else "[]"),
    ):
        assert found[0] + found[-1] == edges
        again = [float(one) for one in re.findall(r"[^(),\[\]]+", found)]
        assert all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(again, numbers, strict=True))


@settings(max_examples=30)
@given(st.floats(-1e6, 1e6, width=32), st.floats(0, 1e6, width=32), st.binary(max_size=20))
def test_a_vector_of_bytes_lies_between_its_ends(least: float, width: float, data: bytes) -> None:
    most = struct.unpack("<f", struct.pack("<f", least + width))[0]
    found, end = texts.sq8_vector(json_text)(struct.pack("<Iff", len(data), least, most) + data, 0)
    numbers = json.loads(found)
    assert end == 12 + len(data)
    assert len(numbers) == len(data)
    room = 1e-6 * max(1, abs(least), abs(most))
    assert all(least - room <= number <= most + room for number in numbers)
    assert sorted(numbers) == [numbers[place] for place in sorted(range(len(data)), key=lambda at: data[at])]


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (texts.tsvector_decoder(VERSION), w.list16(w.text("ab") + w.list16(w.u16(7)) + w.u8(1))),
        (texts.tsquery_decoder(VERSION), written(("&", ("word", "a", 1), ("!", ("word", "b", 0))))),
        (texts.polygon, w.u32(2) + bytes(32)),
        (texts.bits, w.u32(9) + b"\xff\x80"),
        (texts.sq8_vector(json_text), struct.pack("<Iff", 2, 0, 1) + b"\0\xff"),
    ],
)
def test_what_ends_too_early_is_never_a_value(decode: Decode, data: bytes) -> None:
    decode(data, 0)
    for size in range(len(data)):
        with pytest.raises((Short, struct.error, IndexError)):
            decode(data[:size], 0)
