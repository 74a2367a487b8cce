"""``spgrepl demo``: a master, a follower and a subscriber, two SIGKILLs, and equal databases."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults, inlineCallbacks
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from spgrepl.base.steady_clock import steady_clock
from spgrepl.cli import EXIT_INTERRUPTED, argument
from spgrepl.cli.parts.processes import ServerProcess
from spgrepl.cli.parts.table import Sample, Table
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import EXIT_UNAVAILABLE, ServiceStopped, SpgReplError
from spgrepl.primary import Primary
from spgrepl.server.status.client import ServerUnreachable, StatusAddress, ask
from spgrepl.sqlite.comparison import compare_databases
from spgrepl.text.options import parse_seconds
from spgrepl.text.quantities import number_of

_NAMES = ("master", "follower", "subscriber")
_COPIES = ("follower", "subscriber")
_WRITERS = 8
_START_TIMEOUT = 30.0
_CATCH_UP_TIMEOUT = 60.0
_DOWN = 1.5
_REFRESH = 0.25
_LONGEST_SOCKET = 80


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl demo``."""
    parser.description = (
        "Start a master, a follower and a subscriber in a temporary folder, write rows into two tables, of which "
        "the subscriber asked for one, kill both once, let them catch up, compare the databases, and clean up. "
        "Exit code 0: they are equal; 1: they are not."
    )
    parser.add_argument(
        "--seconds", type=argument(parse_seconds), default=8.0, metavar="S", help="how long to write (default 8)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl demo``."""
    from twisted.internet import reactor  # noqa: PLC0415 - a command has the process, and so its reactor

    table = Table(sys.stdout)
    folder = _make_folder()
    try:
        demo = Demo(reactor, folder, arguments.seconds, table)
        demo.run()
    finally:
        shutil.rmtree(folder)
    table.event("the processes have ended and the folder is removed")
    return demo.exit_code


class Demo:
    """The demonstration, from the first process to the end of the last.

    Args:
        reactor: The reactor, which is run.
        folder: Where all files go.
        seconds: How long to write.
        table: Where progress is shown.

    Attributes:
        exit_code: 0 after two equal databases, 1 after unequal ones; others where it did not get that far.
    """

    def __init__(self, reactor: Any, folder: Path, seconds: float, table: Table) -> None:
        self._reactor = reactor
        self._clock = steady_clock(reactor)
        self._seconds = seconds
        self._table = table
        self._folder = folder
        self._paths = {name: DatabasePaths.of(self._folder / f"{name}.db") for name in _NAMES}
        self._primary = Primary(reactor, self._paths["master"])
        listen = f"unix:{self._folder}/listen"
        where = {name: f"unix:{self._folder}/{name}.http" for name in _NAMES}
        self._http = {name: StatusAddress.parse(address) for name, address in where.items()}
        options = {
            "master": ["master", "--listen", listen, "--wal-level", "logical"],
            "follower": ["follower", "--master", listen],
            "subscriber": ["subscriber", "--master", listen, "--name", "demo", "--publication", "readings"],
        }
        self._servers = {
            name: ServerProcess(
                reactor,
                name,
                [*words, "--db", str(self._paths[name].database), "--http", where[name]],
                self._folder / f"{name}.log",
            )
            for name, words in options.items()
        }
        self._written = 0
        self._writing = False
        self._cleaning = False
        self._refresh = LoopingCall(self._show)
        self._refresh.clock = self._clock
        self._main: Deferred[None] | None = None
        self.exit_code = EXIT_INTERRUPTED

    def run(self) -> None:
        """Run the reactor until all is done and cleaned up, or until a signal stops it."""
        self._reactor.addSystemEventTrigger("before", "shutdown", self._clean_up)
        self._reactor.callWhenRunning(self._begin)
        self._reactor.run()

    def _begin(self) -> None:
        self._main = self._demonstrate()
        self._main.addErrback(self._failed)
        self._main.addBoth(self._stop)

    def _stop(self, _: object) -> None:
        if not self._cleaning:
            self._reactor.stop()

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        error = failure.value
        self.exit_code = error.exit_code if isinstance(error, SpgReplError) else EXIT_UNAVAILABLE
        if not isinstance(error, SpgReplError):
            failure.printTraceback(sys.stderr)
        self._table.event(f"the demonstration failed: {error}")
        for server in self._servers.values():
            self._table.event(f"the {server.name}'s last words:\n{server.last_words()}")

    # -- the course of events ---------------------------------------------------------------------------------

    @inlineCallbacks
    def _demonstrate(self) -> Any:
        self._table.event(f"a master, a follower and a subscriber start in {self._folder}")
        yield self._primary.open()
        yield self._primary.execute("CREATE TABLE journal (id INTEGER PRIMARY KEY, entry TEXT NOT NULL)")
        yield self._primary.execute(
            "CREATE TABLE readings (id INTEGER PRIMARY KEY, station TEXT NOT NULL, celsius REAL, note BLOB)"
        )
        yield self._primary.execute("CREATE PUBLICATION readings FOR TABLE readings")
        for name, server in self._servers.items():
            server.start()
            yield self._until_it_answers(name)
        self._refresh.start(_REFRESH).addErrback(self._failed)
        self._writing = True
        writers = gatherResults([self._write(number) for number in range(_WRITERS)], consumeErrors=True)
        try:
            yield self._while_writing()
        finally:
            self._writing = False
            yield writers
        yield self._catch_up()
        self._refresh.stop()
        yield self._show()
        yield self._compare()

    @inlineCallbacks
    def _while_writing(self) -> Any:
        """Let rows be written, and kill the follower and the subscriber in between."""
        third = self._seconds / 3
        yield self._sleep(third)
        for name in _COPIES:
            self._servers[name].signal("KILL")
            yield self._servers[name].ended()
        self._table.event("the follower and the subscriber were killed with SIGKILL; the master goes on")
        yield self._sleep(min(_DOWN, third))
        for name in _COPIES:
            self._servers[name].start()
            yield self._until_it_answers(name)
            position = yield self._until_it_is_open(name)
            self._table.event(
                f"the {name} is back; its database stands at position {position:,}, "
                f"{number_of(self._primary.position - position, 'byte', form=',')} behind: it catches up"
            )
        yield self._sleep(third)

    @inlineCallbacks
    def _write(self, writer: int) -> Any:
        """Write single rows, changes, and transactions, one after the other."""
        count = 0
        while self._writing:
            count += 1
            key = count * _WRITERS + writer
            row = (
                f"INSERT INTO readings VALUES ({key}, 'station {writer}', {count % 400 / 10 - 10}, x'{count:08x}')"
            )
            if count % 20 == 0:
                change = f"UPDATE readings SET celsius = celsius + 0.5 WHERE id = {key - _WRITERS}"
                entry = (
                    f"INSERT INTO journal (entry) VALUES ('writer {writer} has written {number_of(count, 'row')}')"
                )
                yield self._primary.transaction(
                    [row, change, entry, f"DELETE FROM readings WHERE id = {key - 5 * _WRITERS}"]
                )
            else:
                yield self._primary.execute(row)
            self._written += 1

    @inlineCallbacks
    def _catch_up(self) -> Any:
        position = yield self._primary.execute("INSERT INTO journal (entry) VALUES ('the last one')")
        self._table.event(
            f"{number_of(self._written, 'row was', 'rows were', form=',')} written or changed; both "
            f"have to reach position {position:,}"
        )
        path = f"/wait?position={position}&timeout={_CATCH_UP_TIMEOUT:g}"
        for name in _COPIES:
            code, answer = yield self._ask(name, path, _CATCH_UP_TIMEOUT + 10)
            if code != 200:
                raise ServiceStopped(f"the {name} did not catch up: {answer.get('error')}")
            self._table.event(f"the {name} has applied position {answer['applied']:,}")

    @inlineCallbacks
    def _compare(self) -> Any:
        master, follower, subscriber = (self._paths[name].database for name in _NAMES)
        whole = yield self._in_thread(compare_databases, master, follower)
        part = yield self._in_thread(compare_databases, master, subscriber, ["readings"])
        for difference in (*whole.differences, *part.differences):
            self._table.event(difference)
        if whole.equal and part.equal:
            self._table.event(
                f"master and follower are equal: {number_of(whole.tables, 'table')}, "
                f"{number_of(whole.rows, 'row', form=',')}"
            )
            self._table.event(
                f"the subscriber has its {part.tables} table, equal: {number_of(part.rows, 'row', form=',')}"
            )
            self.exit_code = 0
        else:
            self._table.event("THE DATABASES DIFFER")
            self.exit_code = 1

    # -- watching ---------------------------------------------------------------------------------------------

    @inlineCallbacks
    def _until_it_answers(self, name: str) -> Any:
        server = self._servers[name]
        deadline = self._clock.seconds() + _START_TIMEOUT
        while True:
            try:
                yield self._ask(name, "/status")
            except ServerUnreachable:
                if not server.running or self._clock.seconds() > deadline:
                    raise ServiceStopped(f"the {name} did not start") from None
                yield self._sleep(0.05)
            else:
                return

    @inlineCallbacks
    def _until_it_is_open(self, name: str) -> Any:
        """Wait until a server has opened its copy; fires with the position that it stands at."""
        while True:
            _, status = yield self._ask(name, "/status")
            if status["positions"]["applied"] is not None:
                return status["positions"]["applied"]
            yield self._sleep(0.01)

    @inlineCallbacks
    def _show(self) -> Any:
        """Draw the table again."""
        samples = []
        for name in self._servers:
            try:
                _, status = yield self._ask(name, "/status", 2.0)
            except ServerUnreachable:
                status = None
            samples.append(Sample(name, self._clock.seconds(), status))
        self._table.show(samples, self._written)

    def _ask(self, name: str, path: str, timeout: float = 5.0) -> Any:
        return self._in_thread(ask, self._http[name], path, timeout)

    def _in_thread(self, function: Any, *arguments: Any) -> Any:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *arguments)

    def _sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self._clock, seconds, lambda: None)

    # -- the end ----------------------------------------------------------------------------------------------

    @inlineCallbacks
    def _clean_up(self) -> Any:
        """End the processes, however it came to this."""
        self._cleaning = True
        for step in (self._end_main, self._end_servers, self._primary.close):
            try:
                yield step()
            except Exception as error:  # noqa: BLE001 - whatever one step meets, the others are due
                self._table.event(f"cleaning up: {error}")

    def _end_main(self) -> Deferred[None] | None:
        self._writing = False
        if self._refresh.running:
            self._refresh.stop()
        if self._main is not None:
            self._main.cancel()
        return self._main

    def _end_servers(self) -> Deferred[list[int | None]]:
        return gatherResults([server.stop() for server in self._servers.values()], consumeErrors=True)


def _make_folder() -> Path:
    """A temporary folder whose name leaves room for that of a socket."""
    folder = Path(tempfile.mkdtemp(prefix="spgrepl-demo-"))
    if len(str(folder)) > _LONGEST_SOCKET:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="spgrepl-demo-", dir="/tmp"))  # nosec B108
    return folder
