"""Row numbers of rows that are named by a key: a comment after the statement, in front of that on the origin.

::

    INSERT INTO t(id,a)VALUES('x',1) /* rowid 7 */
    UPDATE t SET id='x' WHERE id='x' /* rowid 9 */

Beside a primary key that is not an INTEGER, SQLite numbers the rows of a table. Nobody needs the same numbers on
a copy, but for full-text indexes that find their text in such a table (``content='t'``): those of a primary and
of a follower are the same bytes. The numbers of a subscriber's own tables are its own, so it skips the comment, as
a peer of SPG does.
"""

from __future__ import annotations

import re
from functools import lru_cache

import attrs

from spgrepl.rows.changes import ChangeKind
from spgrepl.rows.shapes import Shape

_NUMBER = re.compile(rb" /\* (rowid|_rowid_|oid) (0|-?[1-9][0-9]{0,18}) \*/((?: /\* origin [0-9a-f]{16} \*/)?)\Z")
_LONGEST = len(b" /* _rowid_ -9223372036854775808 */ /* origin 0123456789abcdef */")
_ORIGIN = re.compile(rb" /\* origin [0-9a-f]{16} \*/\Z")
_ORIGIN_LENGTH = len(b" /* origin 0123456789abcdef */")


@attrs.frozen
class RowNumber:
    """The number that a row has after a change.

    Attributes:
        name: What it is called in SQL: ``rowid``, ``_rowid_`` or ``oid``.
        number: The number.
    """

    name: str
    number: int


def add_number(sql: bytes, number: RowNumber) -> bytes:
    """The canonical text of an INSERT or UPDATE, with the row's number.

    Args:
        sql: The text, which may have an origin.
        number: The number.
    """
    comment = f" /* {number.name} {number.number} */".encode()
    origin = _ORIGIN.search(sql, max(0, len(sql) - _ORIGIN_LENGTH))
    return sql + comment if origin is None else sql[: origin.start()] + comment + origin[0]


def take_number(sql: bytes) -> tuple[bytes, RowNumber] | None:
    """Take the row's number out of a statement's text.

    Args:
        sql: Any SQL.

    Returns:
        The text without it, and the number; None where the text has none.
    """
    if not sql.endswith(b" */"):
        return None
    found = _NUMBER.search(sql, max(0, len(sql) - _LONGEST))
    if found is None or not -(2**63) <= int(found[2]) < 2**63:
        return None
    taken = sql[: found.start()] + found[3], RowNumber(found[1].decode("ascii"), int(found[2]))
    return taken if add_number(*taken) == sql else None


@lru_cache(maxsize=1024)
def numbered_shape(shape: Shape, name: str) -> Shape:
    """The shape of an INSERT or UPDATE that gives the row a number too, as the last of its columns."""
    return attrs.evolve(shape, columns=(*shape.columns, name))


def may_have_number(shape: Shape) -> bool:
    """Whether a statement of this shape can give a row a number."""
    return shape.kind in (ChangeKind.INSERT, ChangeKind.UPDATE)
