"""The command ``spgrepl`` and its sub-commands, one module each.

Every sub-command's module has `configure(parser)`, which adds its options, and `run(arguments)`, which does the
work and returns the exit code. Only the module that is asked for is imported.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from spgrepl._version import __version__
from spgrepl.errors import EXIT_USAGE, SpgReplError, UsageError

EXIT_NO_INPUT = 66
EXIT_IO = 74
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

_COMMANDS = {
    "demo": "run a master, a follower and a subscriber, kill both once, and compare the copies",
    "exec": "run SQL on a primary: applied, logged, made durable",
    "wal": "check a log, or print it",
    "segments": "check cold segments, or list them",
    "filter-test": "print what a subscriber would get of a log, and why not the rest",
    "wait": "wait until a server has applied a position",
    "compare": "say whether two SQLite databases hold the same",
}

_T = TypeVar("_T")


class _Parser(argparse.ArgumentParser):
    """A parser that ends with the exit code of `sysexits` for a wrong usage."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def argument(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Make a function of `spgrepl.options` a type of argparse: its errors become messages about the option."""

    def convert(text: str) -> _T:
        try:
            return parse(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command.

    Args:
        argv: The arguments behind the program's name; those of the process by default.

    Returns:
        The exit code, of `sysexits` where something failed. What failed has been written to standard error.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = _Parser(prog="spgrepl", description="SPG replication for Twisted. Servers run as `twistd spgrepl`.")
    parser.add_argument("--version", action="version", version=f"spgrepl {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    named = next((word for word in words if not word.startswith("-")), None)
    run: Callable[[argparse.Namespace], int] | None = None
    for name, summary in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == named:
            module = importlib.import_module(f"spgrepl.cli.{name.replace('-', '_')}")
            module.configure(command)
            run = module.run
    arguments = parser.parse_args(words)
    assert run is not None  # parse_args exits where no known command is named
    try:
        code = run(arguments)
        sys.stdout.flush()
        return code
    except SpgReplError as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        # Who reads our output has enough. Python flushes once more at its end: into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:
        said = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        return _fail(said, EXIT_NO_INPUT if isinstance(error, FileNotFoundError) else EXIT_IO)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _fail(message: str, code: int) -> int:
    print(f"spgrepl: {message}", file=sys.stderr)
    return code
