"""Many statements as one script, which spares a call for each, where that is sure to mean the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import apsw

from spgrepl.log.transactions.words import StatementKind, statement_kind
from spgrepl.sqlite.own_names import needs_a_look
from spgrepl.text.sqltext import TokenKind, split_statements, tokenize

_PARAMETER_MARKS = (b"?", b":", b"@", b"$", b"#")


def joined_script(statements: Sequence[bytes]) -> str | None:
    """Join statements into one script that means the same, or say that this cannot be known.

    A statement could run into the next one through an unfinished string, quoted name or comment, hold a ``;`` of
    its own, or have parameters, which a script takes for NULL. Texts that have neither quotes but `'`, nor
    brackets, comments or inner ``;``, and an even number of `'` each, cannot; for all others SQLite's own scanner
    is asked, one by one.

    Returns:
        The script; or None.
    """
    # Nothing but the semicolon goes after a statement: SQLite keeps the text of a CREATE as it stands.
    joined = b";\n".join(statements)
    if b"\0" in joined or needs_a_look(joined):
        return None
    simple = (
        joined.count(b";") == len(statements) - 1
        and b'"' not in joined
        and b"--" not in joined
        and b"/*" not in joined
        and b"[" not in joined
        and b"`" not in joined
    )
    try:
        if simple:
            if any(statement.count(b"'") & 1 for statement in statements) or _may_have_parameters(joined):
                return None
        elif not all(_stands_alone(statement) for statement in statements):
            return None
        return joined.decode("utf-8") + ";"
    except UnicodeDecodeError:
        return None


def _may_have_parameters(text: bytes) -> bool:
    """Whether a text, in which `'` comes in pairs and no other quote stands, may have parameters."""
    if not any(mark in text for mark in _PARAMETER_MARKS):
        return False
    outside = b"".join(text.split(b"'")[::2])
    return any(mark in outside for mark in _PARAMETER_MARKS)


def _stands_alone(statement: bytes) -> bool:
    """Whether a text is one statement that a ``;`` after it ends, and holds none that could end a transaction."""
    text = statement.decode("utf-8")
    return (
        apsw.complete(text + ";")
        and statement_kind(statement) is StatementKind.PLAIN
        and (";" not in text or len(split_statements(text)) == 1)
        and (
            not any(mark in statement for mark in _PARAMETER_MARKS)
            or all(token.kind is not TokenKind.PARAMETER for token in tokenize(text))
        )
    )


def execute_piece(
    connection: apsw.Connection,
    piece: str,
    control: Callable[[apsw.Connection, bytes], None],
    run: Callable[[str], None],
) -> None:
    """Run one of several statements of a record; a transaction that they state becomes a savepoint.

    Args:
        connection: The database, with a transaction open.
        piece: The statement.
        control: Takes those that replication itself understands.
        run: Runs all others.
    """
    kind = statement_kind(piece.encode())
    if kind is StatementKind.BEGIN:
        connection.execute("SAVEPOINT spgrepl_unit")
    elif kind is StatementKind.COMMIT:
        connection.execute("RELEASE spgrepl_unit")
    elif kind is StatementKind.ROLLBACK:
        connection.execute("ROLLBACK TO spgrepl_unit")
        connection.execute("RELEASE spgrepl_unit")
    elif kind is StatementKind.CONTROL:
        control(connection, piece.encode())
    else:
        run(piece)
