"""The CRC-32 of big files, with the fast library and without."""

from __future__ import annotations

import runpy
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.base import checksum


@given(st.binary(), st.binary())
def test_as_zlib_has_it(first: bytes, second: bytes) -> None:
    assert checksum.crc32(first) == zlib.crc32(first)
    assert checksum.crc32(memoryview(second), checksum.crc32(first)) == zlib.crc32(first + second)


def test_without_the_library_zlib_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    assert runpy.run_path(checksum.__file__)["crc32"] is zlib.crc32


def test_with_the_library_it_does_it() -> None:
    library = pytest.importorskip("isal.isal_zlib")
    assert checksum.crc32 is library.crc32
