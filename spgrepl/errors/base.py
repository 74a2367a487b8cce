"""The two families of errors, and the exit codes of commands.

Two families say who has to act: `LocalError` means that this side was misused, misconfigured or has damaged
files; `PeerError` means that bytes from elsewhere (a connection, a log, a snapshot) broke the rules. Each class
carries the `sysexits` code with which a command ends when the error reaches its top.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_USAGE = 64
EXIT_DATA = 65
EXIT_NO_INPUT = 66
EXIT_UNAVAILABLE = 69
EXIT_TRY_AGAIN = 75
EXIT_OTHER_HISTORY = 76
EXIT_REFUSED = 77
EXIT_CONFIGURATION = 78


class SpgReplError(Exception):
    """The base of all errors of this package.

    The message says what was found, where (file, peer or position), what was expected and what to do.
    """

    exit_code: ClassVar[int] = EXIT_DATA


class LocalError(SpgReplError):
    """This side was misused or misconfigured, or its own files are damaged."""


class PeerError(SpgReplError):
    """Bytes that came from elsewhere broke the rules of the protocol or of a file format."""
