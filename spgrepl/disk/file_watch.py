"""Whether the files that are in use are still the ones that were opened, under their names.

A database that is moved away, deleted or replaced while somebody writes it goes on being written, where nobody
finds
it. Nothing tells the writer: so it looks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spgrepl.base.beat import Beat
from spgrepl.errors import FileLost
from spgrepl.text.role_log import RoleLogger

WATCH_INTERVAL = 0.5
"""Seconds between two looks."""


GOES_ON = "a server goes on then by itself, a program that writes opens its database again"
"""What happens when a file that was lost is back."""


class FileWatch:
    """Knows which files are in use, by device and inode. Its methods may be called from any thread.

    Args:
        paths: Names that are watched from when something first has them.
    """

    def __init__(self, *paths: Path) -> None:
        # By their names as text, which the system takes without a detour.
        self._expected: dict[str, tuple[int, int]] = {}
        self._awaited = paths

    def expect(self, *paths: Path) -> None:
        """Take what has these names now for what is in use; a name that nothing has is not watched."""
        expected = dict(self._expected)
        for path in paths:
            name = os.fspath(path)
            expected.pop(name, None)
            found = _identity(name)
            if found is not None:
                expected[name] = found
        self._expected = expected

    def forget(self) -> tuple[Path, ...]:
        """Nothing is in use any more; returns what was."""
        before, self._expected = self._expected, {}
        return tuple(map(Path, before))

    def _expect_awaited(self) -> None:
        if self._awaited and (new := [path for path in self._awaited if os.fspath(path) not in self._expected]):
            self.expect(*new)

    def require_in_place(self) -> None:
        """See that all files are where they were.

        Raises:
            FileLost: One was moved away, deleted or replaced; the message names it.
        """
        self._expect_awaited()
        for path, expected in self._expected.items():
            found = _identity(path)
            if found != expected:
                what = "was moved away or deleted" if found is None else "was replaced by another file"
                raise FileLost(
                    f"{path} {what} while it was in use; nothing more is written there. Put the file back as it "
                    f"was, with what lies beside it: {GOES_ON}"
                )


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class FileGuard:
    """Looks twice a second whether files are in place, and says so when one is not.

    Args:
        reactor: The reactor.
        watch: The files.
        lost: Called with the error when a file is not in place any more; None where nobody has to be told.
    """

    _log = RoleLogger()

    def __init__(self, reactor: Any, watch: FileWatch, lost: Callable[[FileLost], None] | None = None) -> None:
        self._watch = watch
        self._lost = lost
        self._error: FileLost | None = None
        self._beat = Beat(reactor, self.look, WATCH_INTERVAL)

    @property
    def error(self) -> FileLost | None:
        """What is not in place; None while all is."""
        return self._error

    def start(self) -> None:
        """Look from now on; nothing happens when that is so already."""
        if not self._beat.running:
            self._error = None
            self._beat.start()

    def stop(self) -> None:
        """Look no more."""
        self._beat.stop()

    def look(self) -> None:
        """Look now."""
        before, self._error = self._error, None
        try:
            self._watch.require_in_place()
        except FileLost as error:
            self._error = error
            if before is None:
                self._log.error("{error}", error=error)
                if self._lost is not None:
                    self._lost(error)
        else:
            if before is not None:
                self._log.info("the files are in place again")
