"""Writing statements such that a copy which runs them gets the same rows.

Calls whose value belongs to this machine and moment are replaced by that value, as a literal, where one value
for the whole statement is what the call means. Elsewhere the statement is refused. All mentions of the present
time in one request mean the same instant.
"""

from __future__ import annotations

import attrs

from spgrepl.errors import NotReplayable
from spgrepl.primary.functions import (
    CURRENT_WORDS,
    OUTCOME_FUNCTIONS,
    RANDOM_FUNCTIONS,
    REFUSED_FUNCTIONS,
    TIME_FUNCTIONS,
    Evaluator,
    explain,
)
from spgrepl.primary.inserts import Insert, RowSource, parse_insert
from spgrepl.primary.ordering import refuse_unordered_limit
from spgrepl.primary.statements import Effect, Statement
from spgrepl.sqltext import SqlValue, Token, TokenKind, literal, significant_tokens

_LITERALS = frozenset({TokenKind.STRING, TokenKind.NUMBER, TokenKind.BLOB})
_NOW = frozenset({"now", "subsec", "subsecond"})
_OF_ZONE = frozenset({"localtime", "utc"})

# Behind these stands the name of a table or an alias, even where it looks like a call with its arguments.
_BEFORE_NAMES = frozenset({"INTO", "UPDATE", "WITH", "RECURSIVE", "REFERENCES", "AS", ".", "TABLE"})


@attrs.frozen
class Outcome:
    """What the statement before, in the same transaction, did.

    Attributes:
        changes: How many rows it changed; None where SQLite's driver does not tell.
        last_rowid: The number of the last row that an INSERT of this transaction wrote; None before one has.
    """

    changes: int | None = None
    last_rowid: int | None = None


@attrs.frozen
class Moment:
    """What calls in a statement are answered with.

    Attributes:
        instant: The present time in UTC, as ``2026-01-31 12:00:00.123``.
        outcome: What the statement before did.
    """

    instant: str
    outcome: Outcome = Outcome()


@attrs.frozen
class _Edit:
    start: int
    end: int
    replacement: str


@attrs.frozen
class _Call:
    """A call of a function.

    Attributes:
        name: Its name in small letters.
        first: Index of the name's token.
        last: Index of the closing parenthesis.
        arguments: For each argument its tokens.
    """

    name: str
    first: int
    last: int
    arguments: list[list[Token]]


def apply_edits(text: str, edits: list[tuple[int, int, str]]) -> str:
    """Replace parts of a text.

    Args:
        text: The text.
        edits: Start, end and replacement of each part, rising and apart from each other. A blank is put where a
            replacement would run into what stands beside it.
    """
    parts = []
    at = 0
    for start, end, replacement in edits:
        before, after = text[at:start], text[end : end + 1]
        parts.append(before)
        if replacement and start > 0 and not (text[start - 1].isspace() or text[start - 1] in "(,=;"):
            parts.append(" ")
        parts.append(replacement)
        if replacement and after and not (after.isspace() or after in "),;"):
            parts.append(" ")
        at = end
    parts.append(text[at:])
    return "".join(parts)


def find_dependent(tokens: list[Token]) -> str | None:
    """Look for a call that depends on the machine or the moment.

    Args:
        tokens: The tokens of an expression or statement, without blanks and comments.

    Returns:
        The name of the first one found, in small letters, or None. What only the run can show is not found.
    """
    for index, token in enumerate(tokens):
        if _is_current_word(tokens, index):
            return token.text.lower()
        call = _call_at(tokens, index)
        if call is not None and (call.name not in TIME_FUNCTIONS or _is_of_now(call) or _names_zone(call)):
            return call.name
    return None


class Rewriter:
    """Replaces calls in one statement.

    Args:
        evaluator: Computes the values.
        moment: What the calls are answered with.
        text: The statement, or a constant expression.
        tokens: Its tokens without blanks and comments.
    """

    def __init__(self, evaluator: Evaluator, moment: Moment, text: str, tokens: list[Token]) -> None:
        self._evaluator = evaluator
        self._moment = moment
        self._text = text
        self._tokens = tokens
        self._insert: Insert | None = None
        self._plain_tuples = range(0)
        self._constant = False

    def statement(self) -> str:
        """Rewrite a statement that changes rows, or CREATE TABLE … AS.

        Raises:
            NotReplayable: A call in it has no one value; the message says what to write instead.
        """
        self._insert = parse_insert(self._tokens)
        self._plain_tuples = self._find_plain_tuples()
        return self._rewritten()

    def constant(self) -> str:
        """Rewrite a constant expression, such as a column's default, which is evaluated at once.

        Calls of random() and randomblob() stay: evaluating them is what makes the value.

        Raises:
            NotReplayable: A call in it has no one value.
        """
        self._constant = True
        return self._rewritten()

    def _rewritten(self) -> str:
        edits = []
        index = 0
        while index < len(self._tokens):
            index, found = self._look_at(index)
            edits += [(edit.start, edit.end, edit.replacement) for edit in found]
        return apply_edits(self._text, edits)

    def _look_at(self, index: int) -> tuple[int, list[_Edit]]:
        """Judge one token; return the index to go on at, and what to replace."""
        tokens = self._tokens
        if _is_current_word(tokens, index):
            token = tokens[index]
            return index + 1, [_Edit(token.start, token.end, self._current(token.text.lower()))]
        call = _call_at(tokens, index)
        if call is None:
            return index + 1, []
        if call.name in TIME_FUNCTIONS:
            return self._time_call(call)
        if call.name in RANDOM_FUNCTIONS and self._constant:
            return index + 1, []
        value = self._single_value(call)
        return call.last + 1, [_Edit(tokens[call.first].start, tokens[call.last].end, literal(value))]

    # -- time -------------------------------------------------------------------------------------------------

    def _current(self, word: str) -> str:
        instant = self._moment.instant
        return literal(
            {
                "current_timestamp": instant[:19],
                "current_date": instant[:10],
                "current_time": instant[11:19],
            }[word]
        )

    def _time_call(self, call: _Call) -> tuple[int, list[_Edit]]:
        of_now = _is_of_now(call, quoted_too=self._constant)
        if not of_now and not _names_zone(call):
            return call.first + 1, []
        start, end = self._tokens[call.first].start, self._tokens[call.last].end
        edits = self._now_edits(call)
        if all(_is_literal(argument) or _is_now(argument, self._constant) for argument in call.arguments):
            moved = [(edit.start - start, edit.end - start, edit.replacement) for edit in edits]
            value = self._evaluator.value(apply_edits(self._text[start:end], moved))
            return call.last + 1, [_Edit(start, end, literal(value))]
        if _names_zone(call):
            raise NotReplayable(
                f"{call.name}() with 'localtime' or 'utc' of anything but a literal depends on the time zone of "
                f"each copy: store the time in UTC, or convert it in your program",
                self._text,
            )
        # The arguments may hold further calls: go on inside them, behind the opening parenthesis.
        return self._inside_time_call(call, edits)

    def _inside_time_call(self, call: _Call, edits: list[_Edit]) -> tuple[int, list[_Edit]]:
        """Rewrite the arguments of a call that stays; edits of the call itself are merged with theirs."""
        index = call.first + 1
        while index < call.last:
            index, found = self._look_at(index)
            edits += found
        return call.last, sorted(edits, key=lambda edit: edit.start)

    def _now_edits(self, call: _Call) -> list[_Edit]:
        """Write the instant where a time value is 'now' or left out."""
        instant = literal(self._moment.instant)
        places = TIME_FUNCTIONS[call.name]
        edits = [
            _Edit(argument[0].start, argument[0].end, instant)
            for place, argument in enumerate(call.arguments)
            if place in places and _is_now(argument, quoted_too=self._constant)
        ]
        missing = places[-1] + 1 - len(call.arguments)
        if missing == 1:
            at = self._tokens[call.last].start
            edits.append(_Edit(at, at, f", {instant}" if call.arguments else instant))
        return edits

    # -- everything else --------------------------------------------------------------------------------------

    def _single_value(self, call: _Call) -> SqlValue:
        """The value of a call of any other function, where one value is what it means.

        Raises:
            NotReplayable: It is not.
        """
        if call.name in RANDOM_FUNCTIONS and self._tokens[call.first].start in self._plain_tuples:
            if call.name == "random" and not call.arguments:
                return self._evaluator.value("random()")
            if len(call.arguments) == 1 and _is_literal(call.arguments[0]):
                inside = self._text[call.arguments[0][0].start : call.arguments[0][-1].end]
                return self._evaluator.value(f"randomblob({inside})")
        if call.name in OUTCOME_FUNCTIONS and self._is_evaluated_once():
            outcome = self._moment.outcome
            value = outcome.changes if call.name == "changes" else outcome.last_rowid
            if value is not None:
                return value
        if call.name in RANDOM_FUNCTIONS:
            raise NotReplayable(
                f"{explain(call.name)}. Only in INSERT … VALUES, without a query, does spgrepl make it itself",
                self._text,
            )
        raise NotReplayable(explain(call.name), self._text)

    def _find_plain_tuples(self) -> range:
        """Where the tuples of VALUES stand in the text; nowhere where they hold a query, or there are none."""
        insert = self._insert
        if insert is None or insert.source is not RowSource.VALUES:
            return range(0)
        tuples = range(insert.source_start, insert.source_end)
        holds_query = any(token.start in tuples and token.upper in ("SELECT", "WITH") for token in self._tokens)
        return range(0) if holds_query else tuples

    def _is_evaluated_once(self) -> bool:
        """Whether the outcome of the statement before is the same wherever it is asked for in this one."""
        if self._constant:
            return False
        if self._insert is None:
            return self._tokens[0].upper in ("UPDATE", "DELETE")
        return self._insert.source is RowSource.VALUES and len(self._insert.tuples) == 1


# -- recognising ----------------------------------------------------------------------------------------------


def _is_current_word(tokens: list[Token], index: int) -> bool:
    token = tokens[index]
    if token.kind is not TokenKind.WORD or token.text.lower() not in CURRENT_WORDS:
        return False
    before = tokens[index - 1].upper if index else ""
    after = tokens[index + 1].text if index + 1 < len(tokens) else ""
    return before not in _BEFORE_NAMES and after != "("


def _call_at(tokens: list[Token], index: int) -> _Call | None:
    """The call that begins at a token, if it is one of a function that may differ on a copy."""
    name = (tokens[index].name or "").lower()
    if name not in TIME_FUNCTIONS and name not in REFUSED_FUNCTIONS and name not in CURRENT_WORDS:
        return None
    if index + 1 >= len(tokens) or tokens[index + 1].text != "(":
        return None
    if index and tokens[index - 1].upper in _BEFORE_NAMES:
        return None
    arguments: list[list[Token]] = [[]]
    depth = 0
    for at in range(index + 1, len(tokens)):
        text = tokens[at].text if tokens[at].kind is TokenKind.OPERATOR else ""
        depth += (text == "(") - (text == ")")
        if depth == 0:
            return _Call(name, index, at, arguments if arguments[0] else [])
        if depth == 1 and text == ",":
            arguments.append([])
        elif at > index + 1:
            arguments[-1].append(tokens[at])
    return None


def _is_literal(argument: list[Token]) -> bool:
    if len(argument) == 2 and argument[0].text in ("+", "-"):
        return argument[1].kind is TokenKind.NUMBER
    return len(argument) == 1 and (argument[0].kind in _LITERALS or argument[0].upper == "NULL")


def _content(argument: list[Token], quoted_too: bool = False) -> str:
    """What a string says, in small letters; empty for anything else."""
    if len(argument) != 1:
        return ""
    token = argument[0]
    if token.kind is TokenKind.STRING or (quoted_too and token.text.startswith('"')):
        return token.text[1:-1].lower()
    return ""


def _is_now(argument: list[Token], quoted_too: bool = False) -> bool:
    return _content(argument, quoted_too) in _NOW


def _is_of_now(call: _Call, quoted_too: bool = True) -> bool:
    places = TIME_FUNCTIONS[call.name]
    return len(call.arguments) <= places[-1] or any(_is_now(call.arguments[place], quoted_too) for place in places)


def _names_zone(call: _Call) -> bool:
    return any(_content(argument, quoted_too=True) in _OF_ZONE for argument in call.arguments)


# -- whole statements -----------------------------------------------------------------------------------------


def rewrite(statement: Statement, evaluator: Evaluator, moment: Moment) -> str:
    """Write a statement such that a copy gets the same rows from it.

    Args:
        statement: The statement.
        evaluator: Computes values.
        moment: What calls are answered with.

    Returns:
        The text to run and to log.

    Raises:
        NotReplayable: That cannot be done; the message says what to write instead.
    """
    tokens = statement.tokens
    if tokens is None or statement.effect in (Effect.SCHEMA, Effect.SAVEPOINT):
        return statement.text
    if statement.effect is Effect.TRIGGER:
        name = find_dependent(tokens)
        if name is not None:
            raise NotReplayable(f"in a trigger, {explain(name)}", statement.text)
        return statement.text
    refuse_unordered_limit(statement.text, tokens)
    return Rewriter(evaluator, moment, statement.text, tokens).statement()


def expression_value(expression: str, evaluator: Evaluator, moment: Moment) -> SqlValue:
    """Evaluate a column's default for one row.

    Raises:
        NotReplayable: A call in it has no one value.
    """
    return evaluator.value(Rewriter(evaluator, moment, expression, significant_tokens(expression)).constant())
