"""Targets that compare the compiled core with the reference. Without a core they hold for everything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw
import attrs

from fuzz.log_targets import repair_log
from fuzz.promises import equal, ways_to_cut
from fuzz.row_changes import (
    LAYOUTS,
    Change,
    group_of_core,
    group_of_reference,
    run_of_core,
    run_of_reference,
)
from spgrepl.catalogue.owners.owner import OwnerJudge
from spgrepl.compiled.core import CORE, Core
from spgrepl.compiled.texts import ending_with, part_of, with_semicolon
from spgrepl.engines.statement_digest import python_digest
from spgrepl.errors import CompressionError, PeerError
from spgrepl.log.format.lzss import python_compress, python_decompress
from spgrepl.log.format.lzss_stream import LzssExpander
from spgrepl.log.format.parser import RecordBatch, cut_records
from spgrepl.log.format.records import encode_statement, encode_v2, python_encode_v2_all
from spgrepl.postgresql.column_types import ColumnType
from spgrepl.postgresql.copying.row_lines import RowLines, RowMisfit
from spgrepl.rows.bulk import python_texts
from spgrepl.rows.recognise import Recogniser
from spgrepl.rows.values import NotCanonical, RowValue, value_of, value_text
from spgrepl.wire.frames import encode_wal_header
from spgrepl.wire.record_frames import RecordFrameParser

MAX_EXPANDED = 1 << 16
MAX_RECORD = 4096


def core_lzss(data: bytes) -> None:
    """Compress and expand any bytes, whole and in pieces."""
    if CORE is None:
        return
    equal("compressed", CORE.lzss_compress(data), python_compress(data))
    try:
        expected: bytes | None = python_decompress(data, MAX_EXPANDED)
    except CompressionError:
        expected = None
    equal("expanded", CORE.lzss_decompress(data, MAX_EXPANDED), expected)
    length = int.from_bytes(data[1:5], "little")
    if length <= MAX_EXPANDED:
        for pieces in ways_to_cut(data)[1]:
            equal("in pieces", _in_pieces(length, pieces, CORE), _in_pieces(length, pieces, None))


def _in_pieces(length: int, pieces: Iterable[bytes], core: Core | None) -> tuple[list[bytes], str]:
    expander = LzssExpander(length, core)
    out: list[bytes] = []
    try:
        out += map(expander.feed, pieces)
        out.append(expander.finish())
    except CompressionError as error:
        return out, str(error)
    return out, ""


def core_records(data: bytes) -> None:
    """Cut any bytes as a log, as they are and with all checksums put right."""
    if CORE is None:
        return
    for log in (data, repair_log(data)):
        compiled, error = cut_records(log, 7, MAX_RECORD, CORE)
        plain, why = cut_records(log, 7, MAX_RECORD, None)
        equal("fault", (type(error), str(error)), (type(why), str(why)))
        equal("columns", _columns(compiled), _columns(plain))
        half = len(plain) // 2
        equal(
            "front", _columns(compiled.front(compiled.start_of(half))), _columns(plain.front(plain.start_of(half)))
        )
        equal("part", list(part_of(compiled.sql, half, len(plain))), plain.sql[half:])
        equal("semicolons", with_semicolon(compiled.sql, half), with_semicolon(plain.sql, half))
        equal("ends", ending_with(compiled.sql, b" */"), ending_with(plain.sql, b" */"))
        texts = [text for text in plain.sql if text is not None]
        equal("digest", CORE.digest_of(texts, half), python_digest(texts, half))
        equal("encoded", CORE.encode_v2_all(texts), python_encode_v2_all(texts))


def _columns(batch: RecordBatch) -> tuple[object, ...]:
    return batch.position, batch.data, list(batch.ends), list(batch.sql), batch.special, batch.types


_JUDGES = (OwnerJudge(), OwnerJudge())


def core_owners(data: bytes) -> None:
    """Judge any texts, which one byte divides: by judges that remember what they have seen before."""
    if CORE is None:
        return
    texts = data[1:].split(data[:1] or b"\n")
    log = b"".join(encode_v2(text) + encode_statement(text) for text in texts)
    found = []
    for judge, core in zip(_JUDGES, (CORE, None), strict=True):
        batch, _ = cut_records(log, 0, core=core)
        found.append([(owner.kind, owner.tables) for owner in judge.owners(batch)])
    equal("owners", *found)


def core_frames(data: bytes) -> None:
    """Parse any bytes as a SUB stream in every cut, and any records as frames."""
    if CORE is None:
        return
    stream, ways = ways_to_cut(data)
    for pieces in ways:
        equal("frames", _frames(pieces, CORE), _frames(pieces, None))
    batch, _ = cut_records(repair_log(stream), 0, MAX_RECORD, CORE)
    records = [batch.data[batch.start_of(index) : batch.start_of(index + 1)] for index in range(len(batch))]
    framed = b"".join(encode_wal_header(len(record)) + record for record in records)
    equal("framed", CORE.Statements(batch.data, batch.ends, {}).framed(0, len(batch)), framed)  # type: ignore[arg-type]
    equal("framed again", _frames([framed], CORE), _frames([framed], None))


def _frames(pieces: Iterable[bytes], core: Core | None) -> list[object]:
    parser = RecordFrameParser(9, MAX_RECORD, MAX_RECORD, core=core)
    found: list[object] = []
    try:
        for piece in pieces:
            frames = parser.feed(piece)
            if frames is not None:
                taken = {index: kind for index, kind in frames.types.items() if index % 2}
                digest = python_digest if core is None else core.digest_of
                for index in taken:
                    frames.sql[index] = b""
                part = part_of(frames.sql, len(frames) // 3, len(frames))
                made = digest(frames.sql, 1), digest(part, 1), list(part)  # type: ignore[arg-type]
                plain = attrs.evolve(frames, ends=list(frames.ends), sql=list(frames.sql))
                found.append((plain, made, parser.position, parser.passed_over))
    except PeerError as error:
        found.append((type(error), str(error)))
    return found


_COLUMNS = (ColumnType("text", "text"), ColumnType("bytea", "bytea"), ColumnType("int4", "int4"))


def core_rows(data: bytes) -> None:
    """Read any text as the rows of INSERTs, and write any values as rows, and for COPY in both its forms."""
    if CORE is None:
        return
    head = b"INSERT INTO t(a,b)VALUES("
    pieces = data.split(b"\n")
    statements = [head + piece for piece in pieces]
    runs = [Recogniser(core).read_run(statements, 0) for core in (CORE, None)]
    equal("run", *(None if run is None else (run.count, run.rows) for run in runs))
    texts = [piece.decode("utf-8", "replace") for piece in pieces]
    columns: list[Sequence[object]] = [
        texts,
        pieces,
        [int.from_bytes(piece[:8], "big", signed=True) for piece in pieces],
    ]
    named = ["a=", ",b=", ",c="]
    expected = python_texts(named, columns, len(pieces), ")")  # type: ignore[arg-type]
    rows = list(zip(*columns, strict=True))
    for binary in (False, True):
        equal("lines", *(_lines(rows, binary, core) for core in (CORE, None)))
    equal("texts", CORE.row_texts([one.encode() for one in named], columns, b")", value_text), expected)


_OPERATIONS = (apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE)


def core_changes(data: bytes) -> None:
    """Write down changes whose values are any: those of one statement, and those of a group."""
    if CORE is None:
        return
    kind, *cells = data.split(b"\n")
    first = kind[0] if kind else 0
    layout, operation = LAYOUTS[first % len(LAYOUTS)], _OPERATIONS[first // 16 % 3]
    read = [_value(cell) for cell in cells]
    changes = []
    for number, (one, other, third) in enumerate(zip(read[::3], read[1::3], read[2::3], strict=False)):
        key: RowValue = number if layout.number_is_key else third
        moved = number + (first > 127 and not layout.number_is_key)
        changes.append(Change(layout.name, operation, (key, one), (key, other), number, moved))
    equal("run", run_of_core(CORE, layout, changes), run_of_reference(layout, changes))
    statements = [changes[at : at + first % 3] for at in range(0, len(changes), 3)] or [[]]
    found = group_of_core(CORE, layout, statements)
    if found is not None:
        equal("group", found, group_of_reference(layout, statements))


def _value(cell: bytes) -> RowValue:
    """The value that a text states, or else the text."""
    try:
        return value_of(cell)
    except (NotCanonical, ValueError, IndexError):
        return cell.decode("utf-8", "replace")


def _lines(rows: Sequence[tuple[object, ...]], binary: bool, core: Core | None) -> object:
    lines = RowLines(_COLUMNS, (True, True, True), binary, core)
    given = iter(rows)
    try:
        return lines.take(given)  # type: ignore[arg-type]
    except RowMisfit as misfit:
        return misfit.index
