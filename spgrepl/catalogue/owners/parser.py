"""Which tables a statement changes, read token by token.

The place of a statement's target is fixed by its first words, so a reader of tokens finds it whatever follows, in
time that grows with the text and no faster. Names are read as PostgreSQL reads them; beside its forms those of
SQLite and MySQL are understood in every record, because records of the log's older formats do not tell their
dialect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from spgrepl.text.sqltext import Token, TokenKind, tokenize
from spgrepl.text.words import fold_name, table_name

VERBS = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE", "MERGE"})
"""The first words of statements that change tables' rows."""

_MODIFIERS = frozenset({"LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE"})
_ONLY = frozenset({"ONLY"})

TRAPS = _MODIFIERS | _ONLY | {"OR", "INTO"}
"""Words that may mean something else where a table's name is expected."""

_RESERVED = frozenset(
    {"AND", "AS", "DEFAULT", "FROM", "INDEXED", "INTO", "JOIN", "NOT", "ON", "OR", "RETURNING", "SELECT", "SET"}
    | {"TABLE", "USING", "VALUES", "WHERE", "WITH"}
)


class Statement(NamedTuple):
    """What one statement is.

    Attributes:
        word: Its first word in capitals; empty when it does not begin with one.
        tables: The tables that it changes; none when it is not DML, or cannot be read.
    """

    word: str
    tables: frozenset[str]


# -- statements -----------------------------------------------------------------------------------------------

_COMMENT = r"--[^\n]*+|/\*(?>(?:[^*]++|\*(?!/))*)(?:\*/|\Z)"
_STRING = r"'(?>(?:[^']++|'')*)(?:'|\Z)"
_NAMES = r'"(?>(?:[^"]++|"")*)(?:"|\Z)|`(?>(?:[^`]++|``)*)(?:`|\Z)|\[[^\]]*+(?:\]|\Z)'

# Rows of numbers and strings in front of a main verb: they hold no name, and there may be millions of them.
_ROWS = re.compile(
    rf"(?P<keep>{_COMMENT}|{_STRING}|{_NAMES})"
    r"|(?>(?:\((?>(?:[\s\d.,+-]++|'(?>(?:[^']++|'')*)')*)\)[\s,]*+)+)",
    re.DOTALL,
)


def read_statement(text: str, mysql: bool = False) -> Statement:
    """Read one statement.

    Args:
        text: A statement as `spgrepl.catalogue.owners.texts.statements` gives it.
        mysql: Whether it is in the MySQL dialect.
    """
    reader = _Reader(text, mysql)
    word = reader.upper
    if word in VERBS:
        return Statement(word, frozenset(reader.targets()))
    if word == "WITH":
        return Statement(word, frozenset(_Reader(_ROWS.sub(r" \g<keep>", text), mysql).targets_of_with()))
    return Statement(word if reader.now is not None and reader.now.kind is TokenKind.WORD else "", frozenset())


class _Reference(NamedTuple):
    """A table that a MySQL statement names beside others: its alias, the last part of its name, its name."""

    alias: str | None
    short: str
    table: str


_BEFORE_REFERENCE = frozenset({",", "JOIN", "STRAIGHT_JOIN"})
_BEHIND_REFERENCES = frozenset({"SET", "WHERE", "ORDER", "LIMIT", "RETURNING", ")"})
_BEHIND_ASSIGNMENTS = frozenset({"WHERE", "ORDER", "LIMIT", "RETURNING", "FROM", ")"})
_NO_ALIAS = (
    _RESERVED
    | {"CROSS", "FORCE", "IGNORE", "INNER", "LEFT", "LIMIT", "NATURAL", "ORDER", "OUTER", "PARTITION", "RIGHT"}
    | {"STRAIGHT_JOIN", "USE"}
)

_QUERIES = frozenset({"SELECT", "VALUES", "TABLE"})
_BEFORE_BODY = frozenset({"AS", "MATERIALIZED"})
_BEFORE_NAME = frozenset({"WITH", "RECURSIVE", ",", "BY", "CYCLE", "SET", "USING", "TO", "DEFAULT"})

MOST_TOKENS = 300_000
"""The most that is read of a statement before its target. What stands in parentheses does not count: nothing but a
hostile one comes near it."""


class TooManyTokens(Exception):
    """A statement is too long before its target; nobody can say whose it is."""

    def __init__(self) -> None:
        super().__init__(
            f"whose record this is cannot be judged: more than {MOST_TOKENS} words and signs stand in front of "
            f"the table that it changes"
        )


# What stands between parentheses, in long steps.
_TO_PARENTHESIS = re.compile(
    rf"(?>(?:[^()'\"`\[/-]++|{_STRING}|{_NAMES}|{_COMMENT}|-|/|\[)*+)(?P<sign>[()])?", re.DOTALL
)

_IGNORED = frozenset({TokenKind.BLANK, TokenKind.COMMENT})


class _Reader:
    """Reads a statement's tokens from the first on, no more of them than it must."""

    def __init__(self, text: str, mysql: bool) -> None:
        self._text = text
        self._left = MOST_TOKENS
        self._tokens = self._from(0)
        self._mysql = mysql
        self.now = next(self._tokens, None)

    def _from(self, start: int) -> Iterator[Token]:
        for token in tokenize(self._text, start):
            if token.kind not in _IGNORED:
                self._left -= 1
                if self._left < 0:
                    raise TooManyTokens
                yield token

    @property
    def upper(self) -> str:
        """The `Token.upper` of the token that stands here; empty at the end."""
        return self.now.upper if self.now is not None else ""

    def _step(self) -> None:
        self.now = next(self._tokens, None)

    def _accept(self, word: str) -> bool:
        """Skip a word if it stands here."""
        if self.upper != word:
            return False
        self._step()
        return True

    def _is_before(self, ends: frozenset[str]) -> bool:
        return self.now is not None and self.upper not in ends

    def _skip_modifiers(self) -> None:
        while self.upper in _MODIFIERS:
            self._step()

    def _skip_parenthesis(self) -> None:
        """Skip what stands after an opening parenthesis, and its end."""
        if self.now is None:
            return
        depth, at = 1, self.now.start
        while depth:
            found = _TO_PARENTHESIS.match(self._text, at)
            sign = None if found is None else found["sign"]
            if found is None or sign is None:
                at = len(self._text)
                break
            depth += 1 if sign == "(" else -1
            at = found.end()
        self._tokens = self._from(at)
        self._step()

    # -- names

    def _part(self) -> str | None:
        """Skip one part of a name and return it folded; None where there is none."""
        name = self._name_here() if self.now is not None else ""
        if not name:
            return None
        self._step()
        return name

    def _name_here(self) -> str:
        token = self.now
        assert token is not None
        if token.kind is TokenKind.WORD:
            return fold_name(token.text)
        if token.kind is TokenKind.QUOTED:
            return _unquoted(token)
        if token.kind is TokenKind.STRING and token.text.count("'") % 2 == 0:
            # SQLite takes a string for a name where nothing else can stand.
            return token.text[1:-1].replace("''", "'")
        if token.kind is TokenKind.ILLEGAL and self._mysql and token.text[0].isdecimal():
            return fold_name(token.text)
        return ""

    def _parts(self) -> list[str]:
        """Skip a name and return its parts, none where there is none; its last one may be a `*`."""
        parts: list[str] = []
        part = self._part()
        while part is not None:
            parts.append(part)
            if not self._accept(".") or self._accept("*"):
                return parts
            part = self._part()
        return []

    def _table(self, words: frozenset[str] = frozenset()) -> str | None:
        """Skip a table's name, and some words that may stand before it.

        The words are names of tables as well, where no other name follows.
        """
        while True:
            word = self.upper
            parts = self._parts()
            if word in words and len(parts) == 1:
                if word == "ONLY" and self._accept("("):
                    found = self._table()
                    return found if self._accept(")") else None
                if self._may_be_name():
                    continue
            return table_name(parts) if parts else None

    def _may_be_name(self) -> bool:
        return self.now is not None and self.upper not in _RESERVED and self._name_here() != ""

    # -- single statements

    def targets(self) -> set[str]:
        """The tables that a statement changes whose verb stands here."""
        verb = self.upper
        self._step()
        if self._accept("OR"):
            self._step()
        if verb == "UPDATE":
            return self._targets_of_update()
        if verb == "DELETE":
            return self._targets_of_delete()
        self._skip_modifiers()
        if not self._accept("INTO") and not self._may_be_name():
            return set()
        found = self._table(_ONLY if verb == "MERGE" else frozenset())
        return {found} if found is not None else set()

    def _targets_of_update(self) -> set[str]:
        references: list[_Reference] = []
        if self.upper != "(":
            first = self._table(_MODIFIERS | _ONLY)
            if first is None:
                return set()
            if self.upper == "SET":
                return {first}
            references = [_Reference(self._alias(), first.rpartition(".")[2], first)]
        references += self._references(expected=not references)
        if len(references) < 2:
            return {reference.table for reference in references}
        return self._assigned(references)

    def _targets_of_delete(self) -> set[str]:
        self._skip_modifiers()
        named_first = not self._accept("FROM")
        if named_first and not self._may_be_name():
            return set()
        targets = [self._table(frozenset() if named_first else _ONLY)]
        while self._accept(","):
            targets.append(self._table())
        if self._accept("FROM" if named_first else "USING"):
            aliases = {one.alias: one.table for one in self._references(expected=True)}
            targets = [aliases.get(target, target) for target in targets]
        return {target for target in targets if target is not None}

    # -- MySQL's statements on several tables

    def _alias(self) -> str | None:
        """Skip the alias of a table."""
        return self._part() if self._accept("AS") or self.upper not in _NO_ALIAS else None

    def _references(self, expected: bool) -> list[_Reference]:
        """Skip joined tables up to the word that ends them.

        Args:
            expected: Whether the first of them stands here.
        """
        found: list[_Reference] = []
        depth = 0
        while self._is_before(frozenset() if depth else _BEHIND_REFERENCES):
            if self._accept("("):
                if expected and self.upper not in _QUERIES and self.upper != "WITH":
                    depth += 1
                else:
                    self._skip_parenthesis()
                    expected = False
                continue
            parts = self._parts() if expected else []
            if parts:
                found.append(_Reference(self._alias(), parts[-1], table_name(parts)))
                expected = False
                continue
            depth -= self.upper == ")"
            expected = self.upper in _BEFORE_REFERENCE
            self._step()
        return found

    def _assigned(self, references: list[_Reference]) -> set[str]:
        """The tables whose columns are assigned in the SET that stands here."""
        found: set[str] = set()
        self._accept("SET")
        while self._is_before(_BEHIND_ASSIGNMENTS):
            parts = self._parts()
            found |= _owners(parts[:-1], references)
            while self._is_before(_BEHIND_ASSIGNMENTS) and not self._accept(","):
                if self._accept("("):
                    self._skip_parenthesis()
                else:
                    self._step()
        return found

    # -- WITH

    def targets_of_with(self) -> set[str]:
        """The tables that a statement changes which begins with the WITH that stands here.

        PostgreSQL has statements that change rows in the list of a WITH as well, each with a list of its own.
        """
        found: set[str] = set()
        # For each open parenthesis whether the list of a WITH is read in it.
        lists = [True]
        before = self.upper
        self._step()
        while self.now is not None and (lists[0] or len(lists) > 1):
            word = self.upper
            verb_may_stand = lists[-1] and before not in _BEFORE_NAME
            if word in VERBS and verb_may_stand:
                found |= self.targets()
                lists[-1] = False
                before = ""
                continue
            self._step()
            if word == "(":
                body = lists[-1] and before in _BEFORE_BODY
                if body and self.upper == "WITH":
                    lists.append(True)
                else:
                    if body and self.upper in VERBS:
                        found |= self.targets()
                    # No other table is changed in there.
                    self._skip_parenthesis()
                    word = ")"
            elif word == ")" and len(lists) > 1:
                lists.pop()
            elif word in _QUERIES and verb_may_stand:
                lists[-1] = False
            before = word
        return found


def _unquoted(token: Token) -> str:
    """What a quoted name stands for; empty where its end is missing."""
    mark = token.text[0]
    closed = token.text[-1] == "]" if mark == "[" else token.text.count(mark) % 2 == 0
    return (token.name or "") if closed else ""


def _owners(qualifier: list[str], references: list[_Reference]) -> set[str]:
    """The table that a qualified column is of; all that there are for one without."""
    if not qualifier:
        return {reference.table for reference in references}
    if len(qualifier) == 1:
        for reference in references:
            if (reference.alias or reference.short) == qualifier[0]:
                return {reference.table}
    return {table_name(qualifier)}
