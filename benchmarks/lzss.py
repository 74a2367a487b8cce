"""LZSS both ways, over SQL as a script has it; the yardstick is the reference in Python."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from benchmarks.figures import Figure
from benchmarks.servers import BenchmarkFailed
from spgrepl.log.format.lzss import compress, decompress, python_compress, python_decompress

ROUNDS = 5
_MIB = 1024 * 1024
_SQL = b"".join(
    b"INSERT INTO items(id,name,amount,note)VALUES(%d,'name %d',%d.%03d,'%s');\n"
    % (n, n * 7919 % 100_003, n * 31 % 997, n * 17 % 1000, (b"alpha", b"beta", b"gamma")[n % 3])
    for n in range(110_000)
)[: 8 * _MIB]


def measure() -> list[Figure]:
    """Both ways, in turns with the reference, which gets a part of the text."""
    part = _SQL[: _MIB // 4]
    stream, short = compress(_SQL), python_compress(part)
    if compress(part) != short or decompress(stream, len(_SQL)) != _SQL:
        raise BenchmarkFailed("the streams are not the same")
    expand = _rates(lambda: decompress(stream, len(_SQL)), lambda: python_decompress(short, len(part)), len(part))
    write = _rates(lambda: compress(_SQL), lambda: python_compress(part), len(part))
    return [
        _figure("LZSS: expanding 8 MiB of SQL", expand, "value >= 100"),
        _figure("LZSS: compressing 8 MiB of SQL", write, "value >= 20"),
    ]


def _rates(ours: Callable[[], bytes], theirs: Callable[[], bytes], size: int) -> list[tuple[float, float]]:
    return [(len(_SQL) / _MIB / _seconds(ours), size / _MIB / _seconds(theirs)) for _ in range(ROUNDS)]


def _seconds(call: Callable[[], bytes]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _figure(name: str, rates: list[tuple[float, float]], target: str) -> Figure:
    value, yard = (statistics.median(column) for column in zip(*rates, strict=True))
    return Figure(
        name=name,
        value=round(value, 1),
        unit="MiB/s",
        yardstick="the reference in Python",
        yardstick_value=round(yard, 2),
        ratio=round(value / yard, 1),
        target=target,
        samples=[round(rate, 1) for rate, _ in rates],
        yardstick_samples=[round(rate, 2) for _, rate in rates],
        note="Bytes of SQL, of a text of 8 MiB; the reference has a quarter of a MiB of it.",
    )
