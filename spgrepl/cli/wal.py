"""``spgrepl wal verify`` and ``spgrepl wal cat``: check a log, print a log."""

from __future__ import annotations

import argparse
import shlex
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from spgrepl.cli import argument
from spgrepl.cli.parts.named_files import require_log
from spgrepl.cli.parts.reading_line import ReadingLine
from spgrepl.errors import EXIT_DATA, RecordError
from spgrepl.errors.shown import shown_bytes, shown_sql
from spgrepl.log.format.records import DEFAULT_MAX_RECORD, Record, RecordFormat
from spgrepl.log.reader import Damage, LogReport, iterate_records, scan_log
from spgrepl.log.transactions.places import Place, RecordPlaces
from spgrepl.log.watch import TransactionCounts
from spgrepl.text.options import parse_position, parse_size
from spgrepl.text.quantities import number_of
from spgrepl.text.terminal import json_line

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
        description="Print a log, one record a line. Exit code 65: it is damaged after what was printed.",
    )
    cat.add_argument("--json", action="store_true", help="print one JSON object a record")
    cat.add_argument(
        "--transactions",
        action="store_true",
        help="say of each record when it takes effect: now, alone (now, inside of an open transaction), held "
        "(with that transaction), control (it begins, divides or ends one) or none",
    )
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
    require_log(arguments.file)
    return _verify(arguments) if arguments.action == "verify" else _cat(arguments)


# -- verify ---------------------------------------------------------------------------------------------------


def _verify(arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    reading = ReadingLine(path.stat().st_size)
    report = scan_log(
        path, max_record=arguments.max_record, progress=lambda done, _total: reading(done), base=arguments.base
    )
    reading.clear()
    opened = report.open_transaction
    print(f"{path}: {'whole' if report.damage is Damage.NONE else report.damage.value}")
    print(f"  records           {report.records:,}")
    print(f"  length            {number_of(report.length, 'byte')}")
    print(f"  last whole end    {report.whole_end}")
    print(f"  open transaction  {'none' if opened is None else _opened(opened, report)}")
    for line in _transaction_lines(report.transactions):
        print(f"  {line}")
    for warning in report.warnings:
        print(f"  warning           at position {warning.position}: {warning.text}")
    if report.warning_count > len(report.warnings):
        print(f"  warning           and {report.warning_count - len(report.warnings):,} more")
    return explain_damage(path, report)


def _opened(position: int, report: LogReport) -> str:
    """What is open at the end of a log."""
    counts = report.transactions
    still = counts.begun - counts.committed - counts.rolled_back
    several = f"; {number_of(still, 'transaction is', 'transactions are')} open" if still > 1 else ""
    return f"since {position}{several}; {counts.held:,} of its statements have not happened yet"


def _transaction_lines(counts: TransactionCounts) -> list[str]:
    """What was counted of transactions, where there are any, and what is odd of them only where it is there."""
    if not counts.begun and not counts.strays:
        return []
    lines = [
        f"transactions      {counts.begun:,}: {counts.committed:,} committed, {counts.rolled_back:,} rolled back"
    ]
    if counts.most_open > 1:
        lines.append(f"at the same time  {counts.most_open:,}")
    if counts.inside:
        lines.append(
            f"inside            {number_of(counts.inside, 'record was', 'records were', form=',')} "
            f"committed alone inside of one"
        )
    if counts.strays:
        lines.append(f"without a BEGIN   {counts.strays:,}")
    if counts.ambiguous:
        lines.append(f"ambiguous         {counts.ambiguous:,}: see --ambiguous-transactions")
    return lines


def explain_damage(path: Path, report: LogReport) -> int:
    """Say what is wrong with a log and what to do about it, on standard error; returns the exit code."""
    if report.damage is Damage.NONE:
        return 0
    left = report.length - report.whole_end
    if report.error is None:
        reason = (
            f"at position {report.whole_end}: a record of which "
            f"{number_of(left, 'byte is', 'bytes are')} there and more are stated"
        )
    else:
        reason = str(report.error)
    if report.damage is Damage.TORN:
        print(f"spgrepl: {path}: torn tail {reason}", file=sys.stderr)
        print(
            f"Nothing readable follows: a write was cut short. The program that writes this log cuts it back when "
            f"it starts again. {_whole_part(path, report.whole_end)}",
            file=sys.stderr,
        )
        return EXIT_DATA
    print(f"spgrepl: {path}: broken {reason}", file=sys.stderr)
    if report.next_whole is not None:
        print(f"Records can be read again from position {report.next_whole} on.", file=sys.stderr)
    print(
        "This is not a torn tail: cutting here would lose what follows. Restore the log from a copy, or let the "
        "followers take a fresh snapshot.",
        file=sys.stderr,
    )
    return EXIT_DATA


def _whole_part(path: Path, length: int) -> str:
    """What to do with a log that nothing writes any more; the log itself stays as it is."""
    if not length:
        return "No record is whole in it."
    log, copy = (shlex.quote(str(one)) for one in (path, path.with_name(f"{path.name}.whole")))
    return f"Where none does, this makes a copy of what is whole: head -c {length} {log} > {copy}"


# -- cat ------------------------------------------------------------------------------------------------------


def _cat(arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    form = _as_json if arguments.json else _as_line
    places = RecordPlaces() if arguments.transactions else None
    end = arguments.start
    try:
        for batch in iterate_records(path, start=arguments.start, max_record=arguments.max_record):
            found = places.of(batch) if places is not None else [None] * len(batch)
            sys.stdout.write("".join(f"{form(*one)}\n" for one in zip(batch, found, strict=True)))
            end = batch.end
    except RecordError:
        pass  # named below, with what follows it
    sys.stdout.flush()
    report = scan_log(path, start=end, max_record=arguments.max_record)
    if report.damage is not Damage.NONE and end == arguments.start > 0:
        print(f"spgrepl: no record starts at position {end}, which --from names", file=sys.stderr)
        if report.next_whole is not None:
            print(f"The next one starts at position {report.next_whole}.", file=sys.stderr)
        return EXIT_DATA
    return explain_damage(path, report)


def _kind(record: Record) -> str:
    return f"v3/{record.type:#04x}" if record.format is RecordFormat.V3 else record.format.value


def _as_line(record: Record, place: Place | None) -> str:
    when = "" if place is None else f"{place.effect.value:<7} {'-' if place.begin is None else place.begin:>12} "
    return f"{record.position:>12} {record.length:>8} {_kind(record):<7} {when}{record_text(record)}"


def record_text(record: Record) -> str:
    """What a record says, in one line that steers no terminal."""
    if record.sql is not None:
        text = shown_sql(record.sql.decode("utf-8", "backslashreplace")).replace("\n", "\\n").replace("\r", "\\r")
    elif record.path is not None:
        text = f"-- anchor {record.path.decode('utf-8', 'backslashreplace')}"
    else:
        text = f"-- checkpoint at {record.stated_position}"
    return "".join(
        letter if letter.isprintable() or letter == "\t" else f"\\x{ord(letter):02x}" for letter in text
    )


def _as_json(record: Record, place: Place | None) -> str:
    value: dict[str, object] = {
        "position": record.position,
        "length": record.length,
        "format": record.format.value,
        "type": int(record.type) if record.format is RecordFormat.V3 else None,
        "crc": f"{record.crc:08x}",
    }
    if place is not None:
        value |= {"effect": place.effect.value, "transaction": place.begin}
    if record.sql is not None:
        value |= text_member("sql", shown_bytes(record.sql))
    if record.commit_lsn is not None:
        value["commit_lsn"] = record.commit_lsn
        value["commit_time"] = _moment(record.commit_time)
    if record.stated_position is not None:
        value["stated_position"] = record.stated_position
    if record.path is not None:
        value |= text_member("path", record.path)
    return json_line(value)


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
