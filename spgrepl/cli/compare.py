"""``spgrepl compare``: say whether two databases hold the same."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from spgrepl.access.options import read_token
from spgrepl.cli import argument
from spgrepl.cli.parts.named_files import require_database
from spgrepl.cli.parts.reading_line import RowsLine
from spgrepl.comparing.ends import ReadableEnd, SqliteEnd
from spgrepl.comparing.pinned import HOLD_SECONDS, PinnedComparison, compare_ends
from spgrepl.comparing.repairing import Difference, RepairFile
from spgrepl.errors import UsageError
from spgrepl.postgresql.address import ServerAddress, for_command_line, is_address, names_server
from spgrepl.server.comparing.remote_end import RemoteEnd
from spgrepl.server.status.client import StatusAddress
from spgrepl.sqlite.comparison import Comparison, compare_databases
from spgrepl.text.options import parse_seconds

_MOST_SHOWN = 50
_LIVE = ("http://", "unix:")
"""How the address of a running server begins."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl compare``."""
    parser.description = (
        "Compare two SQLite databases table by table: schema, rows, values and their types. Tables that begin "
        "with spgrepl_ or sqlite_stat are left out. Exit code 0: equal; 1: not, with the first difference of each "
        "table. One of the two may be a server: postgresql://USER@HOST/DATABASE. Then the tables of the other are "
        "compared, by checksums of ranges of keys, and rows that differ are named."
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
        "written; every row that differs is named by its key. One of the two may be PostgreSQL, with the copy of "
        "a follower or a subscription; or each may be a running server, unix:PATH of its control socket or "
        "http://HOST:PORT",
    )
    parser.add_argument(
        "--hold",
        type=argument(parse_seconds),
        default=HOLD_SECONDS,
        metavar="S",
        help="with --pinned: keep writers waiting for so many seconds at most, until both stand at one position "
        "(default: 10)",
    )
    parser.add_argument(
        "--subscription",
        metavar="NAME",
        help="with --pinned: the subscription in B whose position counts, where B has several",
    )
    parser.add_argument(
        "--http-token-file",
        type=argument(read_token),
        metavar="FILE",
        help="with --pinned: a file with the token that the running servers want over TCP",
    )
    parser.add_argument(
        "--repair",
        type=Path,
        metavar="FILE",
        help="with --pinned: write the statements that would give B the rows of A into this new file",
    )
    parser.add_argument("first", metavar="A")
    parser.add_argument("second", metavar="B")


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl compare``."""
    if not arguments.pinned:
        for given, option, reason in (
            (arguments.repair, "--repair", "what is written between two looks would be undone"),
            (arguments.subscription, "--subscription", "else no position counts"),
        ):
            if given is not None:
                raise UsageError(f"{option} needs --pinned: {reason}")
    words = (arguments.first, arguments.second)
    if not arguments.pinned and any(word.startswith(_LIVE) for word in words):
        raise UsageError("a running server is compared with --pinned: its database is written meanwhile")
    ends = _Ends.of(words, arguments.http_token_file)
    reading = RowsLine(ends.size)
    try:
        return _run_pinned(arguments, ends, reading) if arguments.pinned else _run(arguments, ends, reading)
    finally:
        reading.clear()


@attrs.frozen
class _Ends:
    """What is compared: two of files and running servers, or a file and PostgreSQL."""

    names: tuple[Path | StatusAddress, ...]
    server: ServerAddress | None
    server_first: bool

    @classmethod
    def of(cls, words: Sequence[str], token: str | None) -> _Ends:
        servers = [for_command_line(word) for word in words if _is_server(word)]
        if len(servers) > 1:
            raise UsageError("two servers are not compared with each other: one of the two is a SQLite database")
        names: list[Path | StatusAddress] = []
        for word in words:
            if word.startswith(_LIVE):
                if servers:
                    raise UsageError(f"{word} is not compared with PostgreSQL: name the file of its database")
                names.append(attrs.evolve(_address(word), token=token or ""))
            elif not _is_server(word):
                require_database(Path(word))
                names.append(Path(word))
        return cls(tuple(names), servers[0] if servers else None, _is_server(words[0]))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files."""
        return tuple(name for name in self.names if isinstance(name, Path))

    @property
    def size(self) -> int:
        """The bytes of the first file; 0 where there is none."""
        return self.paths[0].stat().st_size if self.paths else 0

    def open(self, place: int, seconds: float, subscription: str | None = None) -> ReadableEnd:
        """Open one of two that are read in the same way."""
        name = self.names[place]
        return SqliteEnd(name, subscription) if isinstance(name, Path) else RemoteEnd(name, seconds)


def _run(arguments: argparse.Namespace, ends: _Ends, reading: RowsLine) -> int:
    found = _compare(ends, arguments.tables, reading)
    reading.clear()
    for difference in found.differences[:_MOST_SHOWN]:
        print(difference)
    if len(found.differences) > _MOST_SHOWN:
        print(f"and {len(found.differences) - _MOST_SHOWN} more")
    if found.equal:
        print(f"equal: {found.tables} tables, {found.rows} rows")
        return 0
    print(f"{len(found.differences)} differences")
    return 1


def _compare(ends: _Ends, tables: list[str] | None, reading: RowsLine) -> Comparison:
    if ends.server is None:
        first, second = ends.paths
        return compare_databases(first, second, tables, reading.tell)
    # Only this needs what translates SQL, which takes long to load.
    from spgrepl.postgresql.comparing.server_comparison import compare_with_server  # noqa: PLC0415

    return compare_with_server(ends.paths[0], ends.server, tables, reading.tell)


def _run_pinned(arguments: argparse.Namespace, ends: _Ends, reading: RowsLine) -> int:
    if arguments.repair is not None and ends.server_first:
        raise UsageError("--repair makes the second as the first is: name the SQLite database first")
    shown = 0

    def show(one: Difference) -> None:
        nonlocal shown
        shown += 1
        if shown <= _MOST_SHOWN:
            reading.clear()
            print(one)
        if repair is not None:
            repair.add(one)

    with contextlib.ExitStack() as stack:
        repair = None
        if arguments.repair is not None:
            repair = stack.enter_context(_repair_file(arguments.repair, ends))
        found = _compare_pinned(arguments, ends, show, reading)
    reading.clear()
    for text in found.unlike:
        print(text)
    if found.differences > _MOST_SHOWN:
        print(f"and {found.differences - _MOST_SHOWN} more rows")
    print(f"at position {found.position}; writers were kept waiting for {found.held:.3f} s")
    if found.equal:
        print(f"equal: {found.tables} tables, {found.rows} rows")
        return 0
    print(f"{found.differences} rows differ, {found.rows} are equal")
    if repair is not None:
        print(f"{repair.statements} statements are in {arguments.repair}")
    return 1


def _compare_pinned(
    arguments: argparse.Namespace, ends: _Ends, show: Callable[[Difference], None], reading: RowsLine
) -> PinnedComparison:
    tables, hold, name = arguments.tables, arguments.hold, arguments.subscription
    if ends.server is None:
        with (
            contextlib.closing(ends.open(0, hold)) as first,
            contextlib.closing(ends.open(1, hold, name)) as second,
        ):
            return compare_ends(first, second, tables, show, hold, told=reading.tell)
    # See `_compare`.
    from spgrepl.comparing.pinned_server import compare_pinned_with_server  # noqa: PLC0415

    return compare_pinned_with_server(
        ends.paths[0],
        ends.server,
        tables,
        show,
        hold,
        server_first=ends.server_first,
        subscription=name,
        told=reading.tell,
    )


def _repair_file(path: Path, ends: _Ends) -> RepairFile:
    if ends.server is None:
        return RepairFile(path)
    # See `_compare`.
    from spgrepl.comparing.pinned_server import SERVER_HEAD  # noqa: PLC0415

    return RepairFile(path, SERVER_HEAD)


def _address(word: str) -> StatusAddress:
    """Where a running server answers; a socket may be named as files are, from here on."""
    socket = word.removeprefix("unix:")
    return StatusAddress.parse(word if socket == word else f"unix:{Path(socket).absolute()}")


def _is_server(name: str) -> bool:
    """Whether a word names a server; a file may have a name that looks like keywords of libpq."""
    return is_address(name) or (names_server(name) and not Path(name).exists())
