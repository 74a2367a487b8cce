"""Failures that nobody foresaw, and how they are told."""

from __future__ import annotations

from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.errors import ServiceStopped, SpgReplError, unusable_file


def named_error(failure: Failure, log: Logger) -> SpgReplError:
    """The error of a failure; one that nobody foresaw is logged whole, and named by a `ServiceStopped`.

    What the system says of a file by its name needs no more words.
    """
    if isinstance(failure.value, SpgReplError):
        return failure.value
    if isinstance(failure.value, OSError) and failure.value.filename:
        return unusable_file(failure.value, f"{failure.value.filename} cannot be used")
    log.failure("unexpected error", failure)
    return ServiceStopped(f"unexpected error: {failure.getErrorMessage()}")
