"""CRC-32C: the library and the table agree with what is written down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.spg.values.crc32c import crc32c, crc32c_by_table


@pytest.mark.parametrize("function", [crc32c, crc32c_by_table])
@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # RFC 3720, B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_known_checksums(function: object, data: bytes, crc: int) -> None:
    assert callable(function)
    assert function(data) == crc


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_it_goes_on(first: bytes, second: bytes) -> None:
    assert crc32c(second, crc32c(first)) == crc32c(first + second) == crc32c_by_table(first + second)
    assert crc32c_by_table(second, crc32c_by_table(first)) == crc32c(first + second)
