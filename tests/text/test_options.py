"""What users type becomes numbers and endpoints, or an error that says what to write."""

from __future__ import annotations

import pytest

from spgrepl.errors import UsageError
from spgrepl.text import options
from spgrepl.wire.segment_chunks import MAX_CHUNK


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("64M", 64 * 2**20), ("1 GiB", 2**30), ("3kb", 3072), (" 5K ", 5120)]
)
def test_sizes(text: str, size: int) -> None:
    assert options.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5M", "M", "1T", "many"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size: write bytes above 0"):
        options.parse_size(text)


def test_chunk_sizes() -> None:
    assert options.parse_chunk("16M") == options.LARGEST_CHUNK == MAX_CHUNK
    with pytest.raises(UsageError, match="'17M' is more than a chunk may carry: 16M at most"):
        options.parse_chunk("17M")


@pytest.mark.parametrize(("text", "seconds"), [("60", 60.0), ("0.5", 0.5), ("1e3", 1000.0)])
def test_seconds(text: str, seconds: float) -> None:
    assert options.parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "soon"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        options.parse_seconds(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "²"])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(UsageError, match="is not a number from 1 on"):
        options.parse_count(text)


def test_positions_and_counts() -> None:
    assert options.parse_position("0") == 0
    assert options.parse_position(str(2**64 - 1)) == 2**64 - 1
    assert options.parse_count("7") == 7


@pytest.mark.parametrize("text", ["", "-1", str(2**64), "0x10", "٣"])
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(UsageError, match="is not a position"):
        options.parse_position(text)


@pytest.mark.parametrize("text", ["deadbeef", "0xDEADBEEF"])
def test_checksums(text: str) -> None:
    assert options.parse_crc(text) == 0xDEADBEEF


@pytest.mark.parametrize("text", ["", "0x", "123456789", "xyz", "-1"])
def test_what_is_no_checksum(text: str) -> None:
    with pytest.raises(UsageError, match="is not a CRC-32"):
        options.parse_crc(text)


@pytest.mark.parametrize("name", ["parse_position", "parse_size", "parse_seconds", "parse_count"])
def test_a_number_of_thousands_of_digits_is_refused_and_not_said_again(name: str) -> None:
    parse = getattr(options, name)
    for text in ("9" * 5000, "x" * 5000):
        with pytest.raises(UsageError) as caught:
            parse(text)
        assert len(str(caught.value)) < 300
