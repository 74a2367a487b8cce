"""A count and a digest of statements, which move with transactions."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from spgrepl.base.checksum import crc32
from spgrepl.compiled.core import CORE

# The lengths of nearly all statements, packed once.
_SHORT = 4096
_LENGTHS = [struct.pack("<I", length) for length in range(_SHORT)]


def python_digest(statements: Sequence[bytes], before: int) -> int:
    """The reference of what goes on from a digest with statements."""
    # Lengths and statements are interleaved by slices, and all of a batch is summed up in one call.
    parts = [b""] * (2 * len(statements))
    parts[::2] = [_LENGTHS[size] if size < _SHORT else struct.pack("<I", size) for size in map(len, statements)]
    parts[1::2] = statements
    return crc32(b"".join(parts), before)


class StatementDigest:
    """The CRC-32 over ``u32 length ‖ SQL`` of every statement, in order.

    Attributes:
        committed: The digest of all that was committed.
        pending: The digest of that and of what stands in the open transaction.
        statements: How many statements were committed since this object was made.
    """

    def __init__(self) -> None:
        self.committed = self.pending = 0
        self.statements = 0
        self._pending_statements = 0

    def reset(self, digest: int) -> None:
        """Go on from a digest that was stored."""
        self.committed = digest
        self.rollback()

    def add(self, statements: Sequence[bytes]) -> None:
        """Take statements, inside the open transaction."""
        self._pending_statements += len(statements)
        self.pending = (python_digest if CORE is None else CORE.digest_of)(statements, self.pending)

    def commit(self) -> None:
        """End the transaction: what it holds counts."""
        self.statements += self._pending_statements
        self._pending_statements = 0
        self.committed = self.pending

    def rollback(self) -> None:
        """Forget what was added since the last commit."""
        self._pending_statements = 0
        self.pending = self.committed

    def __str__(self) -> str:
        return f"{self.committed:08x}"
