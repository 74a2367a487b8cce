"""What only its CREATE statement tells of a table: collations, CHECKs, generated columns, conflict clauses."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

import attrs

from spgrepl.text.sqltext import Token, TokenKind, fold_ascii, significant_tokens, upper_ascii

_CONSTRAINTS = frozenset({"PRIMARY", "UNIQUE", "CHECK", "NULL"})
_OF_THE_TABLE = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})


@attrs.frozen
class Declarations:
    """What a table declares, with names in lower case and one blank between two words.

    Attributes:
        collations: The collation of each column that has another one than BINARY.
        generated: The expression of each generated column.
        checks: Its CHECK constraints, whether they stand at a column or not; each as often as it is there.
        conflicts: Its ON CONFLICT clauses, each with the constraint in front of it.
    """

    collations: tuple[tuple[str, str], ...] = ()
    generated: tuple[tuple[str, str], ...] = ()
    checks: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()

    def without(self, columns: Container[str]) -> Declarations:
        """These without what names one of some columns, in lower case."""

        def names_none(text: str) -> bool:
            return not any(token.name and fold_ascii(token.name) in columns for token in significant_tokens(text))

        return Declarations(
            tuple(one for one in self.collations if one[0] not in columns),
            tuple(one for one in self.generated if one[0] not in columns),
            tuple(filter(names_none, self.checks)),
            tuple(filter(names_none, self.conflicts)),
        )

    def difference(self, present: Declarations, since: str = "on the master") -> str | None:
        """What tells these from those of the table that is there already; None where nothing does."""
        for what, name in (
            ("collations", "its collations"),
            ("generated", "its generated columns"),
            ("checks", "its CHECK constraints"),
            ("conflicts", "its ON CONFLICT clauses"),
        ):
            here, there = getattr(present, what), getattr(self, what)
            if here != there:
                return f"{name} are {_shown(here)} here and {_shown(there)} {since}"
        return None


def _shown(values: Sequence[object]) -> str:
    return ", ".join(" ".join(one) if isinstance(one, tuple) else str(one) for one in values) or "none"


def read_declarations(sql: str) -> Declarations:
    """Read the text of a CREATE TABLE, as SQLite keeps it."""
    collations, generated, checks, conflicts = [], [], [], []
    for part in _parts(significant_tokens(sql)):
        column = "" if part[0].upper in _OF_THE_TABLE else _text(part[0])
        for at, token in enumerate(part):
            word = token.upper
            if word == "COLLATE" and column:
                collations.append((column, upper_ascii(_group(part, at + 1))))
            elif word == "CHECK":
                checks.append(_group(part, at + 1))
            elif word == "AS" and column:
                generated.append((column, _group(part, at + 1)))
            elif word == "CONFLICT":
                conflicts.append(_conflict(column, part, at))
    return Declarations(
        tuple(sorted(one for one in collations if one[1] != "BINARY")),
        tuple(sorted(generated)),
        tuple(sorted(checks)),
        tuple(sorted(conflicts)),
    )


def _parts(tokens: list[Token]) -> Iterator[list[Token]]:
    """The columns and constraints; what stands in parentheses in one of them is one token."""
    start = next((at for at, token in enumerate(tokens) if token.text == "("), len(tokens))
    part: list[Token] = []
    depth = 1
    inner: list[Token] = []
    for token in tokens[start + 1 :]:
        depth += {"(": 1, ")": -1}.get(token.upper, 0)
        if not depth:
            break
        if depth > 1 or (token.upper == ")"):
            inner.append(token)
            if depth == 1:
                part.append(Token(TokenKind.ILLEGAL, _joined(inner), inner[0].start))
                inner = []
        elif token.upper == ",":
            if part:
                yield part
            part = []
        else:
            part.append(token)
    if part:
        yield part


def _conflict(column: str, part: list[Token], at: int) -> str:
    """The clause whose CONFLICT stands at an index, with its columns and the constraint in front of it."""
    found = [number for number in range(at) if part[number].upper in _CONSTRAINTS]
    start = found[-1] if found else 0
    whose = column or "".join(token.text for token in part[start:at] if token.kind is TokenKind.ILLEGAL)
    return f"{whose} {part[start].upper} ON CONFLICT {upper_ascii(_group(part, at + 1))}"


def _group(part: list[Token], at: int) -> str:
    return _text(part[at]) if at < len(part) else ""


def _joined(tokens: Sequence[Token]) -> str:
    return " ".join(map(_text, tokens))


def _text(token: Token) -> str:
    """A name without its quotes, in lower case; anything else as it is."""
    return token.text if token.name is None else fold_ascii(token.name)
