"""The code that a process of ``twistd`` ends with."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.errors import EXIT_CONFIGURATION, SpgReplError
from spgrepl.text.log_words import for_log


class ExitCode:
    """The code that the process ends with. twistd itself ends with 0, whatever made its reactor stop.

    Made before anything else that wants to do its part at the end of the process, and so called after all of it.
    """

    def __init__(self) -> None:
        self.code = 0
        atexit.register(self._leave)

    def _leave(self) -> None:
        if self.code:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self.code)


def end_process(failure: Failure, exit_code: ExitCode, reactor: Any) -> None:
    """Let the process end because its one role cannot go on."""
    error = failure.value
    exit_code.code = error.exit_code if isinstance(error, SpgReplError) else EXIT_CONFIGURATION
    Logger("spgrepl").critical("giving up, exit code {code}: {error}", code=exit_code.code, error=for_log(error))
    reactor.callWhenRunning(reactor.stop)
