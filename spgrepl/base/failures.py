"""Failures that nobody foresaw, and how they are told."""

from __future__ import annotations

from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.errors import ServiceStopped, SpgReplError


def named_error(failure: Failure, log: Logger) -> SpgReplError:
    """The error of a failure; one that nobody foresaw is logged whole, and named by a `ServiceStopped`."""
    if isinstance(failure.value, SpgReplError):
        return failure.value
    log.failure("unexpected error", failure)
    return ServiceStopped(f"unexpected error: {failure.getErrorMessage()}")
