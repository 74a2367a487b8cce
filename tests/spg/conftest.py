"""Cursors over bytes that the tests write."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from spgrepl.spg.values.cursor import Cursor

Made = Callable[..., Cursor]

_AT_ONCE = 32


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    """Makes a cursor over bytes; the last ones stay open."""
    handles: deque[int] = deque()

    def make(data: bytes, version: int = 47, start: int = 0) -> Cursor:
        if len(handles) >= _AT_ONCE:
            os.close(handles.popleft())
        handles.append(os.memfd_create("file"))
        os.write(handles[-1], data)
        return Cursor(handles[-1], "x.spg", start, len(data), version)

    yield make
    for handle in handles:
        os.close(handle)
