"""Starts the processes of a site, each forked from this one, which has imported everything already.

Each line on standard input is an order in JSON, and is answered with a number: ``{"words": …, "output": …}``
starts ``twistd`` with words, or the primary where the first word is ``primary``, and gives its process id;
``{"look": pid}`` gives its exit status, or -1 while it runs; ``{"reap": pid}`` waits for it. With ``"fault"`` the
calls of the process fail as `faults.c` says, which has to be loaded before this program.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import sys
from typing import Any, NoReturn

import apsw  # noqa: F401 - imported for the children
import sqlglot  # noqa: F401
from twisted.application.service import IServiceMaker
from twisted.internet import endpoints, threads  # noqa: F401
from twisted.plugin import getPlugins
from twisted.scripts import _twistd_unix, twistd  # noqa: F401

from spgrepl.server import role_options  # noqa: F401
from tests.end_to_end.site import writing_primary


def become(order: dict[str, Any]) -> NoReturn:
    """Be one of the site's processes."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for new, old in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(new, old)
    if order.get("fault"):
        folder, call, number, code, times, hits, counted_from = order["fault"]
        arm = ctypes.CDLL(None).fault_arm
        arm(folder.encode(), call, ctypes.c_long(number), code, times, hits.encode(), counted_from.encode())
    words = order["words"]
    if words[0] == "primary":
        writing_primary.main(*words[1:])
    else:
        sys.argv = ["twistd", "-n", "--pidfile=", "spgrepl", *words]
        twistd.run()
    atexit._run_exitfuncs()  # where servers that have failed set their exit code
    os._exit(0)


def main() -> None:
    """Do as ordered until standard input ends."""
    list(getPlugins(IServiceMaker))  # imports them, as each child would
    assert "twisted.internet.reactor" not in sys.modules, "each child makes a reactor of its own"
    for line in sys.stdin:
        order = json.loads(line)
        if "words" in order:
            answer = os.fork()
            if answer == 0:
                try:
                    become(order)
                except SystemExit as end:
                    sys.stdout.flush()
                    sys.stderr.flush()
                    os._exit(end.code if isinstance(end.code, int) else bool(end.code))
                except BaseException:  # noqa: BLE001 - whatever it is, it is printed and ends the child
                    sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
                    os._exit(1)
        else:
            done, status = os.waitpid(order.get("look") or order["reap"], os.WNOHANG if "look" in order else 0)
            answer = status if done else -1
        print(answer, flush=True)


if __name__ == "__main__":
    main()
