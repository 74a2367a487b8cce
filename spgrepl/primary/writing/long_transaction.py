"""A transaction whose statements come one by one: the writer's side. Blocking; used in the writer's thread."""

from __future__ import annotations

from collections.abc import Sequence

from spgrepl.base.results import QueryResult
from spgrepl.errors import EngineFailed, LocalFilesDamaged, SpgReplError, StatementFailed
from spgrepl.primary.parts.requests import Answer, Parameters, Request
from spgrepl.primary.running.session import WriterSession
from spgrepl.primary.writing.writer import DatabaseWriter

_ENDED = (
    "the transaction was rolled back by a statement before (ON CONFLICT ROLLBACK, RAISE(ROLLBACK), a full disk, "
    "an interruption): begin again"
)


class LongTransaction:
    """A transaction that waits for its owner between its statements. Others wait meanwhile.

    Args:
        writer: The writer, which nobody else uses until the transaction has ended.
    """

    def __init__(self, writer: DatabaseWriter) -> None:
        self._writer = writer
        self._session: WriterSession | None = None
        self._number = 0

    def begin(self) -> None:
        """Begin.

        Raises:
            EngineFailed: Another program holds the database, or the disk refuses.
            LocalFilesDamaged: The database cannot be written any more.
        """
        session = self._writer.start_group(durable=False)
        try:
            session.begin_request()
        except EngineFailed:
            session.rollback()
            raise
        self._session = session

    def run(
        self, sql: str, parameters: Parameters | None, rows: Sequence[Parameters] | None = None
    ) -> QueryResult | None:
        """Run a statement; one that fails leaves no trace, and the transaction goes on.

        Returns:
            What it returns; None where it is not a statement that returns rows.

        Raises:
            StatementFailed: It was refused, or the transaction has ended.
            EngineFailed: The disk refuses.
        """
        self._number += 1
        session = self._session
        if session is None or not session.in_transaction:
            raise StatementFailed(_ENDED, sql, self._number)
        return session.run_step(sql, parameters, rows, self._number)

    def commit(self) -> Answer:
        """Commit and log what was done.

        Returns:
            What became of it.
        """
        session, self._session = self._session, None
        assert session is not None
        if not session.in_transaction:
            session.rollback()
            return StatementFailed(_ENDED, "COMMIT", self._number + 1)
        try:
            applied = session.end_request(Request((), transaction=True))
            (answer,) = self._writer.finish_group(session, [applied])
        except SpgReplError as error:
            return error
        finally:
            session.rollback()
        return answer

    def rollback(self) -> None:
        """Undo it all; nothing happens where it has ended."""
        session, self._session = self._session, None
        if session is not None:
            try:
                session.rollback()
            except (EngineFailed, LocalFilesDamaged):
                # The next group begins with a rollback of its own, and says what is wrong.
                return
