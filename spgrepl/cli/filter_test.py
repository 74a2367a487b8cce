"""``spgrepl filter-test``: what a subscriber would get of a log, and why not the rest."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import apsw

from spgrepl.catalogue.changes import CatalogWalk
from spgrepl.catalogue.definitions import Publications
from spgrepl.catalogue.sources import read_catalogue
from spgrepl.catalogue.statements import CreatePublication, parse_catalog_change
from spgrepl.cli import argument
from spgrepl.cli.parts.named_files import require_database, require_log
from spgrepl.cli.parts.rows import printable
from spgrepl.cli.wal import explain_damage, record_text, text_member
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import AmbiguousTransactions, LocalFilesDamaged, RecordError, UsageError
from spgrepl.errors.shown import shown_bytes
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.log.reader import Damage, iterate_records, scan_log
from spgrepl.log.transactions.groups import OnAmbiguity, TransactionChoices
from spgrepl.master.judged.dry_run import JudgedRecords, LogTrial
from spgrepl.master.judged.selection import Selection
from spgrepl.pairs.copied_by import refuse_copy_of_another_engine
from spgrepl.pairs.pair import LogBond
from spgrepl.pairs.texts import Owner
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.session import cannot_open, plain_connection
from spgrepl.text.options import parse_name, parse_position, parse_size
from spgrepl.text.quantities import number_of
from spgrepl.text.terminal import json_line

FORWARD = "forward"
OPEN = "open"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl filter-test``."""
    parser.description = (
        "Print what a subscriber would get of a log, one record a line: position, length, what becomes of it, the "
        "tables that it changes, its SQL; then the sums. A record is either `forward`, or skipped as "
        "`other_table`, `unknown_publication`, `ddl`, `control` or `rolled_back`, or `open`: its transaction has "
        "not ended yet. The publications are those that the whole log defines, or those of --db. "
        "Exit code 65: the log is damaged after what was printed."
    )
    parser.add_argument("--wal", type=Path, required=True, metavar="FILE", help="the log")
    parser.add_argument(
        "--publication",
        dest="publications",
        type=argument(parse_name),
        action="append",
        default=[],
        metavar="NAME",
        help="what the subscriber asks for; may be given several times",
    )
    parser.add_argument("--all-tables", action="store_true", help="ask for every table, by no publication")
    parser.add_argument("--db", type=Path, metavar="FILE", help="the log's database: read the publications there")
    parser.add_argument(
        "--define",
        type=argument(_definition),
        action="append",
        default=[],
        metavar="SQL",
        help="have this publication besides, as CREATE PUBLICATION makes it; may be given several times",
    )
    parser.add_argument(
        "--start",
        type=argument(parse_position),
        default=0,
        metavar="POSITION",
        help="begin where a subscriber of this position would, at a record's first byte",
    )
    parser.add_argument(
        "--ambiguous-transactions",
        choices=[OnAmbiguity.STOP.value, OnAmbiguity.MERGE.value],
        default=OnAmbiguity.STOP.value,
        help="what a master does where transactions were open at the same time and ended in different ways: stop, "
        "the default, or take them as committed",
    )
    parser.add_argument("--only-forwarded", action="store_true", help="print no line for what is skipped")
    parser.add_argument("--json", action="store_true", help="print one JSON object a record, and one of the sums")
    parser.add_argument(
        "--max-record",
        type=argument(parse_size),
        default=DEFAULT_MAX_RECORD,
        metavar="SIZE",
        help="the longest record that is accepted (default 64M)",
    )


def _choices(arguments: argparse.Namespace) -> TransactionChoices:
    return TransactionChoices(OnAmbiguity(arguments.ambiguous_transactions))


def _definition(text: str) -> CreatePublication:
    try:
        change = parse_catalog_change(text)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not isinstance(change, CreatePublication):
        raise UsageError(f"{text!r} does not define a publication: write CREATE PUBLICATION name FOR TABLE t")
    return change


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl filter-test``."""
    if bool(arguments.publications) == arguments.all_tables:
        raise UsageError("name the publications with --publication, or ask for --all-tables")
    path: Path = arguments.wal
    require_log(path)
    if arguments.db is not None:
        require_database(arguments.db)
        _refuse_other_pair(DatabasePaths.of(arguments.db, path))
    selection = Selection(tuple(arguments.publications))
    with open(path, "rb") as file:
        trial = LogTrial(path, file, selection, arguments.max_record, _choices(arguments))
        publications, boundary = _publications(arguments, trial.length)
        selection.begin(publications, boundary)
        _warn_of_unknown(selection, publications)
        trial.start_at(arguments.start, boundary)
        return _print_trial(arguments, trial)


def _refuse_other_pair(paths: DatabasePaths) -> None:
    """The publications of another database would give an answer that looks right."""
    refuse_copy_of_another_engine(paths)
    try:
        with contextlib.closing(plain_connection(paths.database, read_only=True)) as connection:
            stored = sqlite_state.read_state(connection)
    except apsw.Error as error:
        raise cannot_open(error, paths.database, "restore it, or name another file") from error
    if stored is not None:
        owner = Owner.PRIMARY if stored.role == sqlite_state.ROLE_PRIMARY else Owner.COPY
        try:
            LogBond(paths, owner).judge(stored.replay)
        except LocalFilesDamaged as error:
            raise LocalFilesDamaged(
                f"{paths.wal} is not the log that {paths.database} was written beside, or not all of it: name the "
                f"log that belongs to the database"
            ) from error


# -- the publications -----------------------------------------------------------------------------------------


def _publications(arguments: argparse.Namespace, length: int) -> tuple[Publications, int]:
    """The publications that a master knows at the handshake, and the position that they stand at."""
    if arguments.db is None:
        publications, boundary = _learn(arguments.wal, length, arguments.max_record)
    else:
        found = read_catalogue(arguments.db)
        publications, boundary = found.publications, found.position
    for definition in arguments.define:
        publications = publications.after(definition)
    return publications, boundary


def _learn(path: Path, length: int, max_record: int) -> tuple[Publications, int]:
    walk = CatalogWalk(Publications())
    try:
        for batch in iterate_records(path, max_record=max_record, end=length):
            walk.walk(batch)
    except RecordError:
        pass  # named when the records in front of it have been printed
    return walk.publications, walk.boundary


def _warn_of_unknown(selection: Selection, publications: Publications) -> None:
    known = ", ".join(map(printable, sorted(publications.by_name))) or "none"
    for name in selection.unknown:
        print(
            f"spgrepl: there is no publication {printable(name)}, so it adds nothing; there are: {known}",
            file=sys.stderr,
        )


# -- printing -------------------------------------------------------------------------------------------------


def _print_trial(arguments: argparse.Namespace, trial: LogTrial) -> int:
    """Print what becomes of each record, and the sums; returns the exit code."""
    printer = _Printer(_as_json if arguments.json else _line_form(), arguments.only_forwarded)
    fault: RecordError | None = None
    end = trial.position
    try:
        for judged in trial.given_out():
            printer.take(judged)
        end = trial.position
    except RecordError as error:
        fault, end = error, trial.position
    for judged in trial.held_back(None if fault is None else fault.position):
        printer.take(judged)
        end = judged.batch.end
    print(_sums_as_json(printer) if arguments.json else _sums(printer))
    sys.stdout.flush()
    report = scan_log(arguments.wal, start=end, max_record=arguments.max_record)
    if isinstance(fault, AmbiguousTransactions):
        raise fault
    if report.damage is Damage.NONE and fault is not None:
        raise LocalFilesDamaged(f"{arguments.wal}: {fault}") from fault
    return explain_damage(arguments.wal, report)


_Form = Callable[[JudgedRecords, int, str], str]


class _Printer:
    """Prints judged records, and counts them.

    Args:
        form: Makes a line of a record.
        only_forwarded: Whether to print no other records.

    Attributes:
        records: How many there are, by what becomes of them.
        bytes: How many bytes they have, likewise.
    """

    def __init__(self, form: _Form, only_forwarded: bool) -> None:
        self._form = form
        self._only_forwarded = only_forwarded
        self.records: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def take(self, judged: JudgedRecords) -> None:
        """Print and count some records."""
        reasons = judged.reasons
        count = len(judged.batch) if reasons is None else len(reasons)
        for number in range(count):
            index = judged.first + number
            outcome = OPEN
            if reasons is not None:
                reason = reasons[number]
                outcome = FORWARD if reason is None else reason.value
            self.records[outcome] += 1
            self.bytes[outcome] += _length(judged, index)
            if outcome == FORWARD or not self._only_forwarded:
                sys.stdout.write(self._form(judged, index, outcome) + "\n")


def _length(judged: JudgedRecords, index: int) -> int:
    return judged.batch.start_of(index + 1) - judged.batch.start_of(index)


def _line_form() -> _Form:
    """How records become lines: on a terminal not longer than it is wide."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None

    def form(judged: JudgedRecords, index: int, outcome: str) -> str:
        tables = ",".join(map(printable, sorted(judged.owners[index].tables))) or "-"
        text = record_text(judged.batch.record(index))
        line = f"{judged.batch.start_of(index):>12} {_length(judged, index):>8} {outcome:<19} {tables:<12} {text}"
        return line if width is None or len(line) <= width else line[: width - 1] + "…"

    return form


def _as_json(judged: JudgedRecords, index: int, outcome: str) -> str:
    value: dict[str, object] = {
        "position": judged.batch.start_of(index),
        "length": _length(judged, index),
        "outcome": outcome,
        "tables": sorted(judged.owners[index].tables),
    }
    sql = judged.batch.sql[index]
    if sql is not None:
        value |= text_member("sql", shown_bytes(sql))
    return json_line(value)


def _sums(printer: _Printer) -> str:
    rows = [
        f"{outcome:<19} {_column(records, 'record', 10)} {_column(printer.bytes[outcome], 'byte', 14)}".rstrip()
        for outcome, records in sorted(printer.records.items(), key=lambda row: (row[0] != FORWARD, row[0]))
    ]
    records, length = printer.records.total(), printer.bytes.total()
    every = f"{'in all':<19} {_column(records, 'record', 10)} {_column(length, 'byte', 14)}"
    return "\n".join([*rows, every.rstrip()])


def _column(count: int, noun: str, width: int) -> str:
    """A number with its word, both as wide in every line."""
    return f"{number_of(count, noun, form=f'>{width},'):<{width + 2 + len(noun)}}"


def _sums_as_json(printer: _Printer) -> str:
    sums = {
        outcome: {"records": records, "bytes": printer.bytes[outcome]}
        for outcome, records in sorted(printer.records.items())
    }
    return json_line({"sums": sums})
