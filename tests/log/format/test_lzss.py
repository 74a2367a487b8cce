"""LZSS: equal to a literal reading of the format, and safe against any stream."""

from __future__ import annotations

import random
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import CompressionError
from spgrepl.log.format.lzss import compress, decompress
from tests.log.samples import LONG_SQL

LIMIT = 1 << 20

ASCII_PARTS = st.sampled_from(
    [b"INSERT INTO t VALUES (", b"1", b"2, ", b"'name'", b")", b"aaaaaaaaa", b"ab", b"\0"]
)
texts = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([97, 98]), max_size=200).map(bytes),
    st.lists(ASCII_PARTS, max_size=40).map(b"".join),
)


def reference_match(data: bytes, at: int) -> tuple[int, int]:
    """Read literally: of all sources, oldest first, the first one whose run is the longest."""
    best_length, best_source = 0, 0
    for source in range(max(0, at - 4095), at):
        length = 0
        while length < 18 and at + length < len(data) and data[source + length] == data[at + length]:
            length += 1
        if length > best_length:
            best_length, best_source = length, source
        if length == 18:
            break
    return best_length, at - best_source


def reference_compress(data: bytes) -> bytes:
    """The greedy encoder of the format, token by token, as slow as it is plain."""
    tokens: list[tuple[bool, bytes]] = []
    at = 0
    while at < len(data):
        length, distance = reference_match(data, at)
        if length >= 3:
            tokens.append((False, struct.pack("<H", distance << 4 | (length - 3))))
            at += length
        else:
            tokens.append((True, data[at : at + 1]))
            at += 1
    out = struct.pack("<I", len(data))
    for group in (tokens[first : first + 8] for first in range(0, len(tokens), 8)):
        out += bytes((sum(1 << bit for bit, (literal, _) in enumerate(group) if literal),))
        out += b"".join(encoded for _, encoded in group)
    return out


def reference_decompress(stream: bytes) -> bytes:
    """The decoder of the format, byte by byte, for whole and right streams."""
    (size,) = struct.unpack_from("<I", stream)
    out = bytearray()
    at = 4
    while len(out) < size:
        flags = stream[at]
        at += 1
        for bit in range(8):
            if len(out) == size:
                break
            if flags >> bit & 1:
                out.append(stream[at])
                at += 1
            else:
                token = stream[at] | stream[at + 1] << 8
                at += 2
                for _ in range((token & 15) + 3):
                    out.append(out[-(token >> 4)])
    return bytes(out)


@given(texts)
def test_output_is_that_of_the_literal_encoder(data: bytes) -> None:
    stream = compress(data)
    assert stream == reference_compress(data)
    assert decompress(stream, LIMIT) == data
    assert reference_decompress(stream) == data


def test_output_is_that_of_the_literal_encoder_where_matches_abound() -> None:
    source = random.Random(1)
    for size in (10, 30, 100, 300):
        for alphabet in (b"ab", b"aaab", b"abc"):
            data = bytes(source.choices(alphabet, k=size))
            assert compress(data) == reference_compress(data)


@given(st.integers(4060, 4110), st.binary(min_size=3, max_size=20), st.binary(max_size=4))
def test_distance_ends_at_4095(gap: int, run: bytes, tail: bytes) -> None:
    data = run + b"\xee" * (gap - len(run)) + run + tail
    stream = compress(data)
    assert stream == reference_compress(data)
    assert decompress(stream, LIMIT) == data


def tokens_of(stream: bytes) -> list[bytes | tuple[int, int]]:
    """The tokens of a whole stream: a literal byte, or (distance, length)."""
    found: list[bytes | tuple[int, int]] = []
    at = 4
    while at < len(stream):
        flags = stream[at]
        at += 1
        for bit in range(8):
            if at == len(stream):
                break
            if flags >> bit & 1:
                found.append(stream[at : at + 1])
                at += 1
            else:
                (token,) = struct.unpack_from("<H", stream, at)
                found.append((token >> 4, (token & 15) + 3))
                at += 2
    return found


def test_the_farthest_match_and_the_one_too_far() -> None:
    run = b"<needle>"
    near = run + b"." * (4095 - len(run)) + run
    far = run + b"." * (4096 - len(run)) + run
    assert tokens_of(compress(near))[-1] == (4095, len(run))
    assert tokens_of(compress(far))[-8:] == [bytes((byte,)) for byte in run]
    assert decompress(compress(near), LIMIT) == near
    assert decompress(compress(far), LIMIT) == far


def test_the_oldest_of_equally_long_matches_is_taken() -> None:
    assert tokens_of(compress(b"abc1abc2abc")) == [b"a", b"b", b"c", b"1", (4, 3), b"2", (8, 3)]


def test_a_longer_match_further_on_is_taken() -> None:
    assert tokens_of(compress(b"abc1abcd2abcd"))[-2:] == [b"2", (5, 4)]


def test_a_copy_may_overlap_what_it_writes() -> None:
    assert tokens_of(compress(b"a" * 20)) == [b"a", (1, 18), b"a"]
    assert decompress(compress(b"a" * 20), LIMIT) == b"a" * 20


@pytest.mark.parametrize("distance", [1, 2, 3, 5, 17])
def test_overlapping_copies_of_every_kind(distance: int) -> None:
    run = bytes(range(distance))
    for length in range(3, 19):
        stream = struct.pack("<I", distance + length) + reference_compress(run)[4:]
        # The literals fill `distance` flag bits; the copy is the next token, in this group or a new one.
        body = bytearray(stream)
        if distance % 8 == 0:
            body.append(0)
        body += struct.pack("<H", distance << 4 | length - 3)
        assert decompress(bytes(body), LIMIT) == (run * 20)[: distance + length]


def test_nothing_compresses_to_its_length() -> None:
    assert compress(b"") == bytes(4)
    assert decompress(bytes(4), LIMIT) == b""


def test_sql_shrinks() -> None:
    stream = compress(LONG_SQL)
    assert len(stream) < len(LONG_SQL) / 2
    assert decompress(stream, len(LONG_SQL)) == LONG_SQL


def test_big_inputs_survive() -> None:
    source = random.Random(4)
    words = [source.randbytes(source.randrange(1, 30)) for _ in range(200)]
    data = b"".join(source.choice(words) for _ in range(20_000))
    assert decompress(compress(data), len(data)) == data


def test_what_is_near_is_found_behind_however_much() -> None:
    # So many runs that the writer forgets the old ones, somewhere in the last 4,000 bytes of the noise.
    noise = random.Random(5).randbytes(69_000)
    found = tokens_of(compress(noise + noise[-4000:]))
    assert found[-222:-1] == [(4000, 18)] * 221
    assert sum(isinstance(token, tuple) for token in found[:-223]) < 100


@pytest.mark.parametrize("kept", range(4))
def test_a_stream_without_its_length(kept: int) -> None:
    with pytest.raises(CompressionError, match=f"of {kept} bytes? has no room for its length"):
        decompress(bytes(kept), LIMIT)


def test_every_shorter_stream_is_an_error() -> None:
    stream = compress(LONG_SQL)
    for kept in range(4, len(stream)):
        with pytest.raises(CompressionError, match=rf"ends after \d+ of {len(LONG_SQL)} bytes"):
            decompress(stream[:kept], LIMIT)


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        (b"\x00" + struct.pack("<H", 0 << 4), "from 0 bytes back"),
        (b"\x00" + struct.pack("<H", 1 << 4), "from 1 byte back, where 0 have been produced"),
        (b"\x03ab" + struct.pack("<H", 3 << 4), "from 3 bytes back, where 2 have been produced"),
        (b"\x01a" + struct.pack("<H", 0 << 4 | 9), "from 0 bytes back, where 1"),
        (b"\x01a" + struct.pack("<H", 1 << 4 | 15), "more than the 10 bytes that it states"),
    ],
)
def test_copies_that_cannot_be(tokens: bytes, reason: str) -> None:
    with pytest.raises(CompressionError, match=reason):
        decompress(struct.pack("<I", 10) + tokens + bytes(40), LIMIT)


def test_bytes_behind_the_end_are_passed_over() -> None:
    assert decompress(compress(LONG_SQL) + b"more", LIMIT) == LONG_SQL
    assert decompress(struct.pack("<I", 3) + b"\xffabc" + b"behind", LIMIT) == b"abc"


def test_a_stated_length_above_the_limit_is_refused_unread() -> None:
    assert decompress(compress(b"x" * 100), 100) == b"x" * 100
    with pytest.raises(CompressionError, match="states 100 bytes, the limit is 99"):
        decompress(compress(b"x" * 100), 99)


def test_a_stated_length_is_never_allocated() -> None:
    claim = struct.pack("<I", 0xFFFFFFFF) + b"\xff" + b"8 bytes." + b"\x01a"
    tracemalloc.start()
    try:
        with pytest.raises(CompressionError, match="ends after 9 of 4294967295 bytes"):
            decompress(claim, 0xFFFFFFFF)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 16


@given(st.one_of(st.binary(max_size=100), st.binary(max_size=60).map(lambda b: struct.pack("<I", 40) + b)))
def test_any_bytes_expand_within_the_limit_or_raise(stream: bytes) -> None:
    try:
        data = decompress(stream, 5000)
    except CompressionError:
        return
    assert len(data) == struct.unpack_from("<I", stream)[0] <= 5000
    assert data == reference_decompress(stream)
