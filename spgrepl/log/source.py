"""The seam between a log and those who send it on."""

from __future__ import annotations

from zope.interface import Attribute, Interface

from spgrepl.errors import LogTruncated


class ILogListener(Interface):
    """Somebody who is told when a log grows."""

    def log_grew(length: int) -> None:
        """The log may now be read up to `length` bytes; called in the reactor's thread.

        Called as well, with any length, when the log becomes known.
        """

    def log_lost(reason: LogTruncated) -> None:
        """The log was truncated, replaced by another file, or has disappeared: what was read is not its start."""


class ILogSource(Interface):
    """A log that grows: a file that somebody writes, or a follower's own."""

    length = Attribute("How many bytes may be read; what lies beyond is not published yet.")

    known = Attribute(
        "Whether the source knows its log. While it does not, `length` is 0 and means nothing: nobody may be told "
        "that the log ends there."
    )

    def fileno() -> int:
        """The descriptor to read the published bytes from, with `os.pread`; good until the log is lost.

        Raises:
            ConfigurationError: There is no log file yet.
        """

    def add_listener(listener: ILogListener) -> None:
        """Tell somebody of growth and loss from now on."""

    def remove_listener(listener: ILogListener) -> None:
        """Tell them no more; nothing happens when they were not told before."""
