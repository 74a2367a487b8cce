"""The command ``spgrepl`` and its sub-commands, one module each.

What comes in: arguments. What goes out: text, and an exit code. Every sub-command's module has
`configure(parser)`, which adds its options, and `run(arguments)`, which does the work and returns the exit code.
Only the module that is asked for is imported.

`demo` shows it all; `config` checks a file of servers; `exec`, `status`, `wait`, `drain`, `promote` and `skip`
speak to a primary or a server; `follow` changes a role; `wal`, `segments`, `snapshot`, `filter_test` and
`compare` read files. `parts` is what they are made of.

Imports: `access`, `base`, `catalogue`, `cli.parts`, `comparing`, `compiled`, `disk`, `errors`, `failover`,
`log`, `log.format`, `log.transactions`, `master.judged`, `pairs`, `postgresql`, `primary`, `primary.parts`,
`primary.reading`, `primary.writing`, `process`, `segments`, `server.comparing`,
`server.status`, `spg`, `sqlite`, `text`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, TypeVar

from spgrepl._version import __version__
from spgrepl.compiled.core import IMPLEMENTATION
from spgrepl.errors import EXIT_USAGE, SpgReplError, UsageError
from spgrepl.text.terminal import drop_output, make_output_tolerant, plain

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

EXIT_NO_INPUT = 66
EXIT_IO = 74
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

COMMANDS = {
    "demo": "run a master, a follower and a subscriber, kill both once, and compare the copies",
    "exec": "run SQL on a primary: applied, logged, made durable",
    "wal": "check a log, or print it",
    "segments": "check cold segments, list them, or print their rows",
    "snapshot": "say what a snapshot holds, or write it to a new SQLite database",
    "filter-test": "print what a subscriber would get of a log, and why not the rest",
    "config": "check a configuration file of `twistd spgrepl run`",
    "status": "say how servers are, for people and for health checks",
    "wait": "wait until a server has applied a position",
    "promote": "make a follower's copy a primary's database",
    "follow": "let an old primary's database follow a promoted one",
    "drain": "let a primary take no more writes, and wait for its copies",
    "skip": "let a follower leave out the record that it has stopped at",
    "compare": "say whether two SQLite databases hold the same",
}

_T = TypeVar("_T")


class _Parser(argparse.ArgumentParser):
    """A parser that ends with the exit code of `sysexits` for a wrong usage."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        # argparse's own ignores a disk or a terminal that refuses.
        target = sys.stderr if file is None else file
        if message and target is not None:
            target.write(plain(message))


def argument(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Make a function of `spgrepl.text.options` a type of argparse: its errors are messages about the option."""

    def convert(text: str) -> _T:
        try:
            return parse(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command.

    Args:
        argv: The arguments after the program's name; those of the process by default.

    Returns:
        The exit code, of `sysexits` where something failed. What failed has been written to standard error.
    """
    make_output_tolerant()
    words = list(sys.argv[1:] if argv is None else argv)
    stop: SystemExit | None = None
    code = 0
    try:
        code = _judged(words)
    except SystemExit as asked:
        stop = asked  # argparse has said what there is to say
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python flushes once more at its end: into nothing.
        drop_output()
        code, stop = code or _failed_with(error), None
    if stop is not None:
        raise stop
    return code


def _judged(words: list[str]) -> int:
    """Run a sub-command, say what failed, and return the exit code."""
    try:
        return _run(words)
    except SpgReplError as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:
        return _failed_with(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _failed_with(error: OSError) -> int:
    if isinstance(error, BrokenPipeError):
        return EXIT_BROKEN_PIPE  # who reads our output has enough
    said = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    return _fail(said, EXIT_NO_INPUT if isinstance(error, FileNotFoundError) else EXIT_IO)


def _run(words: list[str]) -> int:
    parser = _Parser(prog="spgrepl", description="SPG replication for Twisted. Servers run as `twistd spgrepl`.")
    parser.add_argument("--version", action="version", version=f"spgrepl {__version__} ({IMPLEMENTATION})")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    named = next((word for word in words if not word.startswith("-")), None)
    run: Callable[[argparse.Namespace], int] | None = None
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == named:
            module = importlib.import_module(f"spgrepl.cli.{name.replace('-', '_')}")
            module.configure(command)
            run = module.run
    arguments = parser.parse_args(words)
    assert run is not None  # parse_args exits where no known command is named
    return run(arguments)


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(BrokenPipeError):
        print(f"spgrepl: {message}", file=sys.stderr)
    return code
