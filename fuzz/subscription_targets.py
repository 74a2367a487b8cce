"""Targets that read what subscribers and their masters do."""

from __future__ import annotations

from fuzz.promises import Broken, cut, equal, ways_to_cut
from spgrepl.catalogue.owners.owner import CONTROL_OWNER, DDL_OWNER, OwnerJudge, OwnerKind
from spgrepl.catalogue.statements import ControlSyntaxError, is_control, parse_control
from spgrepl.errors import PeerError
from spgrepl.log.format.parser import cut_records
from spgrepl.log.format.records import RecordType, encode_statement, encode_v2
from spgrepl.log.transactions.walk import TransactionWalk
from spgrepl.wire.record_frames import RecordFrameParser

MAX_FRAME = 4096
_JUDGE = OwnerJudge()


def record_frames(data: bytes) -> None:
    """Parse any bytes as a SUB stream, in every cut: up to a fault all cuts bring the same."""
    stream, ways = ways_to_cut(data)
    expected, _, _ = _record_frames(cut(stream, 1))
    for pieces in ways:
        found, position, fault = _record_frames(pieces)
        equal("records", found, expected[: len(found)] if fault else expected)
        if position < 0:
            raise Broken(f"a position of {position}")


def _record_frames(pieces: list[bytes]) -> tuple[list[object], int, bool]:
    parser = RecordFrameParser(7, MAX_FRAME, MAX_FRAME)
    found: list[object] = []
    for piece in pieces:
        try:
            frames = parser.feed(piece)
        except PeerError:
            return found, parser.position, True
        if frames is not None:
            for index in range(len(frames)):
                record = (frames.start_of(index), frames.record(index), frames.sql[index], frames.types.get(index))
                found.append(record)
                equal("end", frames.end_of(index), frames.start_of(index) + len(frames.record(index)))
    return found, parser.position, False


def owners(data: bytes) -> None:
    """Judge any text as a record, of every kind: the quick way and the thorough one agree, and neither fails."""
    for kind in (RecordType.SQL, RecordType.MYSQL, RecordType.TRANSACTION):
        owner = _JUDGE.owner(data, kind)
        if (owner.kind is OwnerKind.DML) != bool(owner.tables) or (
            owner.kind is not OwnerKind.DML and owner not in (DDL_OWNER, CONTROL_OWNER)
        ):
            raise Broken(f"{owner} for {data!r}")
    batch, _ = cut_records(encode_statement(data) + encode_v2(data), 0)
    if len(batch) == 2:
        alone = OwnerJudge().owner(data)
        for owner in _JUDGE.owners(batch):
            equal("tables", owner.tables, alone.tables)
            equal("kind", owner.kind, alone.kind)


def control(data: bytes) -> None:
    """Read any text as a statement of replication: it is one, or is refused with a reason."""
    text = data.decode("utf-8", "replace")
    for sql in (text, f"CREATE PUBLICATION {text}", f"SHOW {text}", f"CREATE SUBSCRIPTION s CONNECTION {text}"):
        try:
            parse_control(sql)
        except ControlSyntaxError as error:
            if not str(error):
                raise Broken(f"no reason against {sql!r}") from error
        else:
            equal("recognised", is_control(sql), True)


_STEPS = (
    b"BEGIN",
    b"COMMIT",
    b"ROLLBACK",
    b"SAVEPOINT a",
    b"SAVEPOINT b",
    b"ROLLBACK TO a",
    b"RELEASE b",
    b"INSERT",
)


def walk(data: bytes) -> None:
    """Follow the transactions of a log in batches of every size: always the same is taken back."""
    stream, ways = ways_to_cut(data)
    records = [encode_v2(_STEPS[byte % len(_STEPS)] if byte < 250 else stream[:byte]) for byte in stream]
    expected = _walk([records])
    for pieces in ways:
        at, batches = 0, []
        for piece in pieces:
            batches.append(records[at : at + len(piece)])
            at += len(piece)
        equal("taken back", _walk(batches), expected)


def _walk(batches: list[list[bytes]]) -> object:
    found = TransactionWalk()
    position = 0
    for records in batches:
        batch, error = cut_records(b"".join(records), position)
        equal("error", error, None)
        try:
            found.walk(batch)
        except PeerError:
            return "refused"
        position = batch.end
    return found.begin, found.revoked
