"""Words that no record for a subscriber may begin with: its transactions are its own."""

from __future__ import annotations

from collections.abc import Sequence

from spgrepl.errors import StatementRefused
from spgrepl.log.transactions.words import StatementKind, statement_kind
from spgrepl.text.sqltext import split_statements

# The first letters of what a subscriber gets: with these nothing begins or ends a transaction.
_CHANGES = frozenset(
    word[:3].encode() for word in ("INSERT", "UPDATE", "DELETE", "REPLACE", "insert", "update", "delete")
)
_NO_TRANSACTION = frozenset({StatementKind.PLAIN, StatementKind.CONTROL})


def refuse_transaction_control(statements: Sequence[bytes]) -> None:
    """A master sends no BEGIN or COMMIT to a subscriber; one that did would part rows and position.

    Raises:
        StatementRefused: One of the statements begins or ends a transaction.
    """
    if {statement[:3] for statement in statements} <= _CHANGES:
        return
    for index, statement in enumerate(statements):
        if statement_kind(statement) not in _NO_TRANSACTION and _is_alone(statement):
            raise StatementRefused(
                index, statement, "transaction control is not for subscribers, whose transactions are their own"
            )


def _is_alone(statement: bytes) -> bool:
    return len(split_statements(statement.decode("utf-8", "replace"))) == 1
