"""The statements of transactions that have ended, read again from where they stand in the log."""

from __future__ import annotations

from collections.abc import Sequence

from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.transactions.groups import Revoked
from spgrepl.log.transactions.steps import all_alone, pieces_of, records_to_look_at, steps_of
from spgrepl.log.transactions.words import StatementKind, statement_kind
from spgrepl.log.transactions.work import Work

_CONTENT = frozenset({StatementKind.PLAIN, StatementKind.CONTROL})


def held_work(batch: RecordBatch, begin: int, revoked: Sequence[Revoked], skip: int | None = None) -> Work:
    """What takes effect of some records when the transactions that they belong to have ended.

    Args:
        batch: Records of the log, up to the one that ends the last of the transactions.
        begin: Where the first of them begins; what stands in front of it belongs to others.
        revoked: What was taken back, in rising order.
        skip: The index of a record to skip.
    """
    work = Work()
    special = set(records_to_look_at(batch, len(batch)))
    left_out = {*all_alone(batch, 0, len(batch)), skip}
    void = iter(revoked)
    gone = next(void, None)
    for index, sql in enumerate(batch.sql):
        start = batch.start_of(index)
        while gone is not None and gone.end <= start:
            gone = next(void, None)
        if sql is None or start < begin or index in left_out or (gone is not None and gone.start <= start):
            continue
        if index not in special:
            work.add_run(index, (sql,))
            continue
        steps = steps_of(batch, index, inside=True)
        pieces = pieces_of(sql) if steps and steps[0].sql != sql else [(statement_kind(sql), sql)]
        for kind, piece in pieces:
            if kind in _CONTENT:
                work.add(index, piece, batch.types.get(index))
    return work
