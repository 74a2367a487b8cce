"""Runs ``twistd`` with the arguments of this program, once for each line on standard input.

Each run is a process of its own, forked from this one, which has imported everything already: so a campaign of
kills spends its time on what it is about.
"""

from __future__ import annotations

import os
import sys

import sqlglot  # noqa: F401 - imported for the children
from twisted.internet import endpoints, threads  # noqa: F401
from twisted.scripts import _twistd_unix, twistd  # noqa: F401


def main() -> None:
    assert "twisted.internet.reactor" not in sys.modules, "each child makes a reactor of its own"
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            sys.argv[0] = "twistd"
            twistd.run()
            os._exit(0)
        print("started", child, flush=True)
        _, status = os.waitpid(child, 0)
        print("ended", status, flush=True)


if __name__ == "__main__":
    main()
