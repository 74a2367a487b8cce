"""``spgrepl compare``: say whether two databases hold the same."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path

import attrs

from spgrepl.access.options import read_token
from spgrepl.cli import argument
from spgrepl.cli.parts.named_files import require_database
from spgrepl.cli.parts.reading_line import RowsLine
from spgrepl.comparing.differences import RowDifference
from spgrepl.comparing.ends import ComparedEnd, SqliteEnd, Wanted
from spgrepl.comparing.pinned import HOLD_SECONDS, compare_ends, compare_now
from spgrepl.comparing.repairing import SERVER_HEAD, SQLITE_HEAD, RepairFile
from spgrepl.comparing.table_reader import SQLITE
from spgrepl.errors import UsageError
from spgrepl.postgresql.address import ServerAddress, for_command_line, is_address, names_server
from spgrepl.server.comparing.remote_end import RemoteEnd
from spgrepl.server.status.client import StatusAddress
from spgrepl.sqlite.comparison import Comparison, compare_databases
from spgrepl.text.options import parse_seconds
from spgrepl.text.quantities import number_of

_MOST_SHOWN = 50
_LIVE = ("http://", "unix:")
"""How the address of a running server begins."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl compare``."""
    parser.description = (
        "Compare two databases table by table: rows, values and their types. Each is a SQLite file, a running "
        "server (unix:PATH of its control socket, or http://HOST:PORT), or postgresql://USER@HOST/DATABASE. Two "
        "files are compared with their schemas; of others ranges of keys are summed up at both ends, and rows "
        "that differ are named. In PostgreSQL it is the tables that the search path shows. Tables that begin with "
        "spgrepl_ or sqlite_stat are left out, with --pinned sqlite_sequence, too. Exit code 0: equal; 1: not, "
        "with the first difference of each table."
    )
    parser.add_argument(
        "--table",
        action="append",
        dest="tables",
        metavar="NAME",
        help="compare this table only, such as one that a subscriber asked for; may be given several times",
    )
    parser.add_argument(
        "--pinned",
        action="store_true",
        help="compare a primary's database and a copy of it, or two copies, at one position, while both are "
        "written; every row that differs is named by its key",
    )
    parser.add_argument(
        "--hold",
        type=argument(parse_seconds),
        metavar="S",
        help="with --pinned: keep writers waiting for so many seconds at most, until both stand at one position "
        "(default: 10)",
    )
    parser.add_argument(
        "--subscription",
        metavar="NAME",
        help="with --pinned: the subscription whose position counts, where B has several; or A, if it is not a "
        "primary's or follower's",
    )
    parser.add_argument(
        "--http-token-file",
        type=argument(read_token),
        metavar="FILE",
        help="a file with the token that the running servers want over TCP",
    )
    parser.add_argument(
        "--repair",
        type=Path,
        metavar="FILE",
        help="with --pinned: write the statements that would give B the rows of A into this new file",
    )
    parser.add_argument("first", metavar="A", help="a database; with --repair the one whose rows are right")
    parser.add_argument("second", metavar="B", help="the other one")


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl compare``."""
    if not arguments.pinned:
        for given, option, reason in (
            (arguments.repair, "--repair", "what is written between two looks would be undone"),
            (arguments.subscription, "--subscription", "else no position counts"),
            (arguments.hold, "--hold", "else nobody waits"),
        ):
            if given is not None:
                raise UsageError(f"{option} needs --pinned: {reason}")
    if arguments.hold is None:
        arguments.hold = HOLD_SECONDS
    ends = _Ends.of((arguments.first, arguments.second), arguments.http_token_file)
    reading = RowsLine(ends.size)
    try:
        return _run_pinned(arguments, ends, reading) if arguments.pinned else _run(arguments, ends, reading)
    finally:
        reading.clear()


@attrs.frozen
class _Ends:
    """The two that are compared: each a file, a running server, or a database in PostgreSQL."""

    names: tuple[Path | StatusAddress | ServerAddress, ...]

    @classmethod
    def of(cls, words: Sequence[str], token: str | None) -> _Ends:
        servers = {word: for_command_line(word) for word in words if _is_server(word)}
        names: list[Path | StatusAddress | ServerAddress] = []
        for word in words:
            if word in servers:
                names.append(servers[word])
            elif word.startswith(_LIVE):
                names.append(attrs.evolve(_address(word), token=token or ""))
            else:
                require_database(Path(word))
                names.append(Path(word))
        return cls(tuple(names))

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that are files."""
        return tuple(name for name in self.names if isinstance(name, Path))

    @property
    def size(self) -> int:
        """The bytes of the first file; 0 where there is none."""
        return self.files[0].stat().st_size if self.files else 0

    def open(self, place: int, seconds: float, subscription: str | None) -> ComparedEnd:
        """Open one of the two."""
        name = self.names[place]
        if isinstance(name, StatusAddress):
            return RemoteEnd(name, seconds)
        # It says which of several it is, and of B that it is one: A may be a primary, which has a position itself.
        wanted = Wanted(subscription, alone=place == 1)
        if isinstance(name, Path):
            return SqliteEnd(name, wanted)
        # Others need no driver.
        from spgrepl.comparing.server_end import ServerEnd  # noqa: PLC0415

        return ServerEnd(name, wanted)


def _run(arguments: argparse.Namespace, ends: _Ends, reading: RowsLine) -> int:
    found = _compare(ends, arguments, reading)
    reading.clear()
    for difference in found.differences[:_MOST_SHOWN]:
        print(difference)
    if len(found.differences) > _MOST_SHOWN:
        print(f"and {len(found.differences) - _MOST_SHOWN} more")
    if found.equal:
        print(f"equal: {number_of(found.tables, 'table')}, {number_of(found.rows, 'row')}")
        return 0
    print(number_of(len(found.differences), "difference"))
    return 1


def _compare(ends: _Ends, arguments: argparse.Namespace, reading: RowsLine) -> Comparison:
    if len(ends.files) == len(ends.names):
        first, second = ends.files
        return compare_databases(first, second, arguments.tables, reading.tell)
    with contextlib.ExitStack() as stack:
        one, other = (_opened(stack, ends, place, arguments) for place in (0, 1))
        return compare_now(one, other, arguments.tables, reading.tell)


def _opened(stack: contextlib.ExitStack, ends: _Ends, place: int, arguments: argparse.Namespace) -> ComparedEnd:
    return stack.enter_context(contextlib.closing(ends.open(place, arguments.hold, arguments.subscription)))


def _run_pinned(arguments: argparse.Namespace, ends: _Ends, reading: RowsLine) -> int:
    shown = 0

    def show(one: RowDifference) -> None:
        nonlocal shown
        shown += 1
        if shown <= _MOST_SHOWN:
            reading.clear()
            print(one)
        if repair is not None:
            repair.add(one)

    with contextlib.ExitStack() as stack:
        first, second = (_opened(stack, ends, place, arguments) for place in (0, 1))
        repair = None
        if arguments.repair is not None:
            head = SQLITE_HEAD if second.reader.kind == SQLITE else SERVER_HEAD
            repair = stack.enter_context(RepairFile(arguments.repair, head))
        found = compare_ends(first, second, arguments.tables, show, arguments.hold, told=reading.tell)
    reading.clear()
    for text in found.unlike:
        print(text)
    if found.differences > _MOST_SHOWN:
        print(f"and {found.differences - _MOST_SHOWN} more rows")
    print(f"at position {found.position}; writers were kept waiting for {found.held:.3f} s")
    if found.equal:
        print(f"equal: {number_of(found.tables, 'table')}, {number_of(found.rows, 'row')}")
        return 0
    print(
        f"{number_of(found.differences, 'row differs', 'rows differ')}, {number_of(found.rows, 'is', 'are')} equal"
    )
    if repair is not None:
        print(f"{number_of(repair.statements, 'statement is', 'statements are')} in {arguments.repair}")
    return 1


def _address(word: str) -> StatusAddress:
    """Where a running server answers; a socket may be named as files are, from here on."""
    socket = word.removeprefix("unix:")
    return StatusAddress.parse(word if socket == word else f"unix:{Path(socket).resolve()}")


def _is_server(name: str) -> bool:
    """Whether a word names a server; a file may have a name that looks like keywords of libpq."""
    return is_address(name) or (names_server(name) and not Path(name).exists())
