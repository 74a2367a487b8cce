"""LZSS streams in pieces: the same as in one, in constant memory."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import CompressionError
from spgrepl.log.format.lzss import compress, decompress
from spgrepl.log.format.lzss_stream import LzssExpander
from tests.log.samples import cut, places


def expand(length: int, pieces: list[bytes]) -> bytes:
    expander = LzssExpander(length)
    return b"".join([*map(expander.feed, pieces), expander.finish()])


samples = st.one_of(
    st.binary(max_size=400),
    st.text("ab", max_size=3000).map(str.encode),
    st.builds(lambda size, seed: random.Random(seed).randbytes(30) * size, st.integers(0, 400), st.integers(0, 9)),
)


@given(samples, places)
def test_any_pieces(data: bytes, where: list[int]) -> None:
    stream = compress(data)
    assert expand(len(data), [stream]) == data
    assert expand(len(data), cut(stream, where)) == data


@given(st.binary(max_size=80), st.integers(0, 200))
def test_any_bytes_as_the_whole_decoder_says(data: bytes, length: int) -> None:
    stream = length.to_bytes(4, "little") + data
    try:
        expected = decompress(stream, 1000)
    except CompressionError:
        with pytest.raises(CompressionError):
            expand(length, cut(stream, [5, 9, 40]))
        return
    try:
        found = expand(length, cut(stream, [5, 9, 40]))
    except CompressionError as error:
        # The other one skips what follows.
        if "followed by" not in str(error):
            raise
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("length", "stream", "words"),
    [
        (5, b"\5\0", "no room for its length"),
        (5, b"\6\0\0\0", "6 bytes stands where 5"),
        (5, compress(b"abcde") + b"!", "followed by 1 more"),
        (5, compress(b"abcde")[:-1], "ends after 4 of 5"),
        (5, b"\5\0\0\0\0\x10\0", "from 1 byte back, where 0"),
        (2, b"\2\0\0\0\x01a\x10\0", "produces more than the 2"),
    ],
)
def test_damage_is_named(length: int, stream: bytes, words: str) -> None:
    with pytest.raises(CompressionError, match=words):
        expand(length, [stream])


def test_memory_is_constant() -> None:
    expander = LzssExpander(2**31)
    expander.feed((2**31).to_bytes(4, "little") + b"\xff" + b"a" * 8)
    # 17 bytes, which say 144 times what was before.
    group = b"\0" + b"\x1f\0" * 8
    piece, count = group * 200, 0
    tracemalloc.start()
    try:
        for _ in range(20):
            count += len(expander.feed(piece))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count > 500_000
    assert peak < 300_000
