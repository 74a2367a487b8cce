"""``spgrepl wal verify`` and ``spgrepl wal cat``: check a log, print a log."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from spgrepl.cli import argument
from spgrepl.errors import EXIT_DATA, RecordError
from spgrepl.options import parse_position, parse_size
from spgrepl.wal.reader import Damage, LogReport, iterate_records, scan_log
from spgrepl.wal.records import DEFAULT_MAX_RECORD, Record, RecordFormat

_BIG = 32 * 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl wal``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    verify = actions.add_parser(
        "verify",
        help="check a log from end to end",
        description="Check every record of a log. Exit code 0: it is whole; 65: it is damaged, where and how.",
    )
    verify.add_argument(
        "--base",
        type=argument(parse_position),
        default=0,
        metavar="POSITION",
        help="for a follower's own log: the position of the snapshot that it begins at",
    )
    cat = actions.add_parser(
        "cat",
        help="print the records of a log",
        description="Print a log, one record a line. Exit code 65: it is damaged behind what was printed.",
    )
    cat.add_argument("--json", action="store_true", help="print one JSON object a record")
    cat.add_argument(
        "--from",
        dest="start",
        type=argument(parse_position),
        default=0,
        metavar="POSITION",
        help="begin at the record that starts here",
    )
    for action in (verify, cat):
        action.add_argument(
            "--max-record",
            type=argument(parse_size),
            default=DEFAULT_MAX_RECORD,
            metavar="SIZE",
            help="the longest record that is accepted (default 64M)",
        )
        action.add_argument("file", type=Path, metavar="FILE", help="the log")


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl wal``."""
    return _verify(arguments) if arguments.action == "verify" else _cat(arguments)


# -- verify ---------------------------------------------------------------------------------------------------


def _verify(arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    progress = _Progress() if sys.stderr.isatty() and path.stat().st_size >= _BIG else None
    report = scan_log(path, max_record=arguments.max_record, progress=progress, base=arguments.base)
    if progress is not None:
        progress.clear()
    opened = report.open_transaction
    print(f"{path}: {'whole' if report.damage is Damage.NONE else report.damage.value}")
    print(f"  records           {report.records:,}")
    print(f"  length            {report.length} bytes")
    print(f"  last whole end    {report.whole_end}")
    print(f"  open transaction  {'none' if opened is None else f'since {opened}; replay rolls it back'}")
    for warning in report.warnings:
        print(f"  warning           at position {warning.position}: {warning.text}")
    if report.warning_count > len(report.warnings):
        print(f"  warning           and {report.warning_count - len(report.warnings):,} more")
    return explain_damage(path, report)


def explain_damage(path: Path, report: LogReport) -> int:
    """Say what is wrong with a log and what to do about it, on standard error; returns the exit code."""
    if report.damage is Damage.NONE:
        return 0
    left = report.length - report.whole_end
    if report.error is None:
        reason = f"at position {report.whole_end}: a record of which {left} bytes are there and more are stated"
    else:
        reason = str(report.error)
    if report.damage is Damage.TORN:
        print(f"spgrepl: {path}: torn tail {reason}", file=sys.stderr)
        print(
            f"Nothing readable follows: a write was cut short. The program that writes this log cuts it back when "
            f"it starts again; where none does, stop the writer and run: truncate -s {report.whole_end} "
            f"{shlex.quote(str(path))}",
            file=sys.stderr,
        )
        return EXIT_DATA
    print(f"spgrepl: {path}: broken {reason}", file=sys.stderr)
    if report.next_whole is not None:
        print(f"Records can be read again from position {report.next_whole} on.", file=sys.stderr)
    print(
        "This is no torn tail: cutting here would lose what follows. Restore the log from a copy, or let the "
        "followers begin anew from a fresh snapshot.",
        file=sys.stderr,
    )
    return EXIT_DATA


class _Progress:
    """A line on the terminal that says how far reading has come."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._shown = -1.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._shown < 0.1:
            return
        self._shown = now
        read, size = done / 1024**2, total / 1024**2
        rate = read / max(now - self._began, 0.001)
        print(
            f"\r{done * 100 // total:3d} %  {read:,.0f} of {size:,.0f} MiB  {rate:,.0f} MiB/s ",
            end="",
            file=sys.stderr,
            flush=True,
        )

    def clear(self) -> None:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


# -- cat ------------------------------------------------------------------------------------------------------


def _cat(arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    form = _as_json if arguments.json else _as_line
    end = arguments.start
    try:
        for batch in iterate_records(path, start=arguments.start, max_record=arguments.max_record):
            sys.stdout.write("".join(f"{form(record)}\n" for record in batch))
            end = batch.end
    except RecordError:
        pass  # named below, with what follows it
    sys.stdout.flush()
    report = scan_log(path, start=end, max_record=arguments.max_record)
    if report.damage is not Damage.NONE and end == arguments.start > 0:
        print(f"spgrepl: no record seems to start at position {end}, which --from names", file=sys.stderr)
    return explain_damage(path, report)


def _kind(record: Record) -> str:
    return f"v3/{record.type:#04x}" if record.format is RecordFormat.V3 else record.format.value


def _as_line(record: Record) -> str:
    return f"{record.position:>12} {record.length:>8} {_kind(record):<7} {record_text(record)}"


def record_text(record: Record) -> str:
    """What a record says, in one line that steers no terminal."""
    if record.sql is not None:
        text = record.sql.decode("utf-8", "backslashreplace").replace("\n", "\\n").replace("\r", "\\r")
    elif record.path is not None:
        text = f"-- anchor {record.path.decode('utf-8', 'backslashreplace')}"
    else:
        text = f"-- checkpoint at {record.stated_position}"
    return "".join(
        letter if letter.isprintable() or letter == "\t" else f"\\x{ord(letter):02x}" for letter in text
    )


def _as_json(record: Record) -> str:
    value: dict[str, object] = {
        "position": record.position,
        "length": record.length,
        "format": record.format.value,
        "type": int(record.type) if record.format is RecordFormat.V3 else None,
        "crc": f"{record.crc:08x}",
    }
    if record.sql is not None:
        value |= text_member("sql", record.sql)
    if record.commit_lsn is not None:
        value["commit_lsn"] = record.commit_lsn
        value["commit_time"] = _moment(record.commit_time)
    if record.stated_position is not None:
        value["stated_position"] = record.stated_position
    if record.path is not None:
        value |= text_member("path", record.path)
    return json.dumps(value, ensure_ascii=False)


def text_member(name: str, content: bytes) -> dict[str, object]:
    """Text under its name, or its bytes in hex under ``name_hex`` where they are not UTF-8."""
    try:
        return {name: content.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_hex": content.hex()}


def _moment(microseconds: int | None) -> str | int | None:
    """A commit time in ISO 8601, or as it stands where no calendar reaches."""
    if microseconds is None:
        return None
    try:
        return (_EPOCH + timedelta(microseconds=microseconds)).isoformat()
    except OverflowError:
        return microseconds
