"""Logs for machines: ``twistd --logger spgrepl.process.logs.json_log``."""

from __future__ import annotations

import sys

from twisted.logger import ILogObserver, jsonFileLogObserver


def json_log() -> ILogObserver:
    """Write each event as Twisted has it in JSON, on standard output, one a line.

    `twisted.logger.eventsFromJSONLogFile` reads them back.
    """
    observer: ILogObserver = jsonFileLogObserver(sys.stdout, recordSeparator="")
    return observer
