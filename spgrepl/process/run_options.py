"""``twistd spgrepl run``: the roles that a file names."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from twisted.python import usage

from spgrepl.process.configuration import load_configuration
from spgrepl.process.service import ProcessService
from spgrepl.server.plain_usage import PlainUsage


class RunOptions(PlainUsage):
    """The options of ``twistd spgrepl run``."""

    synopsis = "twistd [options] spgrepl run --config FILE"
    longdesc = "Runs the masters, followers and subscribers that a TOML file names. SIGHUP reads it again."
    optParameters = [["config", "c", None, "The file; `spgrepl config check FILE` says what is wrong with it."]]

    def parseArgs(self, *words: str) -> None:
        """Refuse words that belong to no option."""
        if words:
            raise usage.UsageError(f"{' '.join(words)!r} belongs to no option")

    def postOptions(self) -> None:
        """Refuse to run without a file."""
        if not self["config"]:
            raise usage.UsageError("--config is missing")

    def role(self, reactor: Any) -> ProcessService:
        """Make the service.

        Raises:
            ConfigurationError: The file has a mistake; the message names file, line and field.
        """
        file = Path(self["config"]).absolute()
        return ProcessService(reactor, load_configuration(file), partial(load_configuration, file))
