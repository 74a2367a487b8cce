"""Options of ``twistd`` whose help can be read on every terminal, and whose version is ours."""

from __future__ import annotations

from twisted.python import usage

import twisted
from spgrepl._version import __version__
from spgrepl.text.terminal import make_output_tolerant, plain


class PlainUsage(usage.Options):
    """Options that print their help in ASCII where standard output takes nothing else."""

    synopsis = ""

    def __init__(self) -> None:
        # What twistd prints, its log among it, may name files and SQL.
        make_output_tolerant()
        super().__init__()  # type: ignore[no-untyped-call]

    def getSynopsis(self) -> str:
        """The line that shows how the options are used; Twisted would put those of all parents before it."""
        return f"Usage: {self.synopsis}"

    def opt_version(self) -> None:
        """Print the version of spgrepl, and of the Twisted that it runs in."""
        print(f"spgrepl {__version__} (Twisted {twisted.__version__})")
        raise SystemExit(0)

    def __str__(self) -> str:
        return plain(super().__str__())
