"""Records every statement that SQLite runs in a process whose path begins with this folder.

Python imports a module of this name at its start. Each line of the recording is a JSON list: the database, the
number of the connection, and the statement as SQLite ran it, with its parameters as literals.
"""

import _sqlite3
import itertools
import json
import os
import sqlite3
import sqlite3.dbapi2

_numbers = itertools.count()
_connect = sqlite3.connect
_recording = open(  # noqa: SIM115  (it is open for as long as the process runs)
    os.path.join(os.environ["SPGREPL_RECORDING"], f"{os.getpid()}.jsonl"), "a", encoding="utf-8"
)


def _identity(database, number):
    """A name for the database that a connection opens: connections to one file share it."""
    name = os.fsdecode(database)
    if not name or "memory" in name:
        return f"memory {os.getpid()} {number}"
    return os.path.abspath(name)


def _recorded_connect(database, *args, **keywords):
    """Connect as sqlite3.connect does, and note what runs."""
    arguments = list(args)
    base = keywords.pop("factory", None) or (arguments.pop(5) if len(arguments) > 5 else sqlite3.Connection)
    number = next(_numbers)
    identity = _identity(database, number)

    def note(sql):
        # SQLite tells what triggers do as comments.
        if not sql.startswith("--"):
            _recording.write(json.dumps([identity, number, sql]) + "\n")
            _recording.flush()

    class Recorded(base):
        def set_trace_callback(self, callback):
            def both(sql):
                note(sql)
                if callback is not None:
                    callback(sql)

            super().set_trace_callback(both)

    connection = _connect(database, *arguments, factory=Recorded, **keywords)
    connection.set_trace_callback(None)
    return connection


sqlite3.connect = sqlite3.dbapi2.connect = _sqlite3.connect = _recorded_connect
