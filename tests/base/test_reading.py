"""Files read at once where the page cache has them, else in a thread."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from spgrepl.base import reading
from spgrepl.base.reading import FileReader
from tests.master.kit import Threads


class ReaderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_bytes(b"0123456789")
        self.threads = Threads()
        self.handle = os.open(self.path, os.O_RDONLY)
        self.reader = FileReader(self.handle, "the file", self.threads)
        self.addCleanup(self.reader.close)

    def is_open(self) -> bool:
        return os.path.exists(f"/proc/self/fd/{self.handle}")

    def test_later(self) -> None:
        assert self.successResultOf(self.reader.read_later(2, 3, room=2)) == b"\0\x00234"

    def test_now_or_later(self) -> None:
        found = self.reader.read_now(2, 3, room=2)
        assert found in (None, b"\0\x00234")

    def test_never_a_part(self) -> None:
        assert self.reader.read_now(8, 5) is None

    def test_system_without_such_reads(self) -> None:
        self.patch(reading, "_NOWAIT", 0)
        assert self.reader.read_now(2, 3) is None

    def test_file_system_without_such_reads(self) -> None:
        """As on tmpfs, which refuses the flag."""

        def refuse(*_: Any) -> int:
            raise OSError(95, "Operation not supported")

        self.patch(os, "preadv", refuse)
        assert self.reader.read_now(2, 3) is None

    def test_disk_that_fails(self) -> None:
        def fail(*_: Any) -> int:
            raise OSError(5, "Input/output error")

        self.patch(os, "preadv", fail)
        with pytest.raises(OSError, match="Input/output"):
            self.reader.read_now(2, 3)
        self.failureResultOf(self.reader.read_later(2, 3), OSError)

    def test_closed_when_the_last_read_is_done(self) -> None:
        self.threads.hold()
        reading = self.reader.read_later(0, 10)
        self.reader.close()
        assert self.is_open()
        self.threads.release()
        assert self.successResultOf(reading) == b"0123456789"
        assert not self.is_open()
        self.reader.close()
