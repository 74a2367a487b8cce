"""LZSS compiled and in Python: the same bytes, and the same streams refused."""

from __future__ import annotations

import random
import sys
import threading
import tracemalloc
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import CompressionError
from spgrepl.log.format.lzss import compress, decompress, python_compress, python_decompress
from spgrepl.log.format.lzss_stream import LzssExpander
from tests.compiled.kit import core, needs_core
from tests.log.samples import LONG_SQL, cut, places

pytestmark = needs_core

words = st.sampled_from([b"INSERT INTO t VALUES (", b"1", b"2, ", b"'name'", b")", b"aaaaaaaaa", b"ab", b"\0"])
contents = st.one_of(
    st.binary(max_size=300),
    st.text("ab", max_size=3000).map(str.encode),
    st.lists(words, max_size=400).map(b"".join),
    st.builds(lambda size, seed: random.Random(seed).randbytes(30) * size, st.integers(0, 400), st.integers(0, 9)),
    # What is near is found again, what is 4,096 bytes away is not.
    st.builds(
        lambda run, gap: run + b"\xee" * gap + run, st.binary(min_size=3, max_size=20), st.integers(4070, 4110)
    ),
)
streams = st.one_of(
    st.binary(max_size=120),
    st.builds(lambda size, data: size.to_bytes(4, "little") + data, st.integers(0, 300), st.binary(max_size=120)),
    st.builds(
        lambda data, at, byte: (s := python_compress(data))[: at % len(s)] + bytes((byte,)) + s[at % len(s) + 1 :],
        contents,
        st.integers(0, 10_000),
        st.integers(0, 255),
    ),
    st.builds(
        lambda data, at: (s := python_compress(data))[: at % (len(s) + 1)], contents, st.integers(0, 10_000)
    ),
)


@given(contents)
def test_the_same_stream(data: bytes) -> None:
    assert core().lzss_compress(data) == python_compress(data) == compress(data)


def test_the_same_stream_of_many_bytes() -> None:
    source = random.Random(7)
    texts = [b"(%d,'%x',%f)," % (n, source.getrandbits(40), source.random()) for n in range(6000)]
    for data in (
        b"".join(texts),
        source.randbytes(70_000),
        bytes(source.choices(b"ab", k=30_000)),
        bytes(100_000),
    ):
        stream = python_compress(data)
        assert core().lzss_compress(data) == stream
        assert core().lzss_decompress(stream, len(data)) == data


@given(streams, st.sampled_from([50, 5000]))
def test_the_same_streams_are_refused(stream: bytes, limit: int) -> None:
    expected, why = expanded(python_decompress, stream, limit)
    assert core().lzss_decompress(stream, limit) == expected
    assert expanded(decompress, stream, limit) == (expected, why)


def expanded(way: Callable[[bytes, int], bytes], stream: bytes, limit: int) -> tuple[bytes | None, str]:
    """What comes out, or why nothing does."""
    try:
        return way(stream, limit), ""
    except CompressionError as error:
        return None, str(error)


def outcome(length: int, pieces: list[bytes], compiled: bool) -> tuple[list[bytes], str]:
    """What comes out of each piece, and the error that ends it."""
    expander = LzssExpander(length, core() if compiled else None)
    out: list[bytes] = []
    try:
        out += map(expander.feed, pieces)
        out.append(expander.finish())
    except CompressionError as error:
        return out, str(error)
    return out, ""


@given(streams, places)
def test_the_same_in_pieces(stream: bytes, where: list[int]) -> None:
    length = int.from_bytes(stream[:4], "little")
    for pieces in ([stream], cut(stream, where)):
        assert outcome(length, pieces, True) == outcome(length, pieces, False)


@given(contents, st.integers(1, 200))
def test_the_same_in_pieces_of_every_size(data: bytes, size: int) -> None:
    stream = python_compress(data)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert outcome(len(data), pieces, True) == outcome(len(data), pieces, False)


def test_a_stated_length_is_not_allocated() -> None:
    claim = (2**32 - 1).to_bytes(4, "little") + b"\xff" * 900
    tracemalloc.start()
    try:
        assert core().lzss_decompress(claim, 2**32) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 16


def test_places_outside_are_not_looked_at() -> None:
    window = bytearray(b"before")
    for at in (-1, 5, sys.maxsize):
        assert core().lzss_expand(b"data", at, 1000, window) == at
    assert core().lzss_expand(b"\xff" * 100, 0, -1, window) == 0
    assert window == b"before"


def test_other_threads_run_meanwhile() -> None:
    """The lock is given up: a thread counts while another one compresses."""
    data = random.Random(3).choices(b"ab", k=400_000)
    ready, done = threading.Event(), threading.Event()
    counted = [0]

    def count() -> None:
        ready.set()
        while not done.is_set():
            counted[0] += 1

    other = threading.Thread(target=count)
    other.start()
    ready.wait()
    before = counted[0]
    core().lzss_compress(bytes(data))
    after = counted[0]
    done.set()
    other.join()
    assert after - before > 1000


def test_long_statements_shrink() -> None:
    assert len(core().lzss_compress(LONG_SQL) or LONG_SQL) < len(LONG_SQL) / 2
