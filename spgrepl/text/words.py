"""Reading a statement word by word, as PostgreSQL reads names, with errors that say what was expected."""

from __future__ import annotations

from spgrepl.text.sqltext import Token, TokenKind, fold_ascii, tokenize


class ControlSyntaxError(ValueError):
    """The text begins like a statement of PROTOCOL section 5 and is none; the message says where and why."""


_IGNORED = frozenset({TokenKind.BLANK, TokenKind.COMMENT})
# Words of these statements that PostgreSQL reserves: a name is missing where one of them stands.
RESERVED = frozenset({"ALL", "EXCEPT", "FOR", "TABLE"})
_SHOWN = 40
END = "the end of the statement"


def fold_name(name: str) -> str:
    """Read an identifier as PostgreSQL does: unquoted ones fold to lower case, quoted ones stay.

    Letters beyond ASCII are not folded, as in PostgreSQL's UTF-8 databases and as SQLite does it.
    """
    return name[1:-1].replace('""', '"') if name.startswith('"') else fold_ascii(name)


def table_name(parts: list[str]) -> str:
    """The name under which a table is known to publications.

    PostgreSQL's own schema is ``public``, SQLite's ``main``, whose quotes change nothing about capital letters:
    names in them are the names alone.

    Args:
        parts: The parts of its name, folded; what stands before the last two is skipped.
    """
    if len(parts) == 1 or parts[-2] == "public" or fold_ascii(parts[-2]) == "main":
        return parts[-1]
    return f"{parts[-2]}.{parts[-1]}"


def shorten(text: str) -> str:
    """A text that is not too long for a message."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


class StatementReader:
    """Takes a statement's tokens one by one, and says what is wrong with the one at hand.

    Args:
        sql: The statement. Semicolons in front of it are skipped.

    Attributes:
        what: What is being read, for errors.
    """

    def __init__(self, sql: str) -> None:
        self._tokens = (token for token in tokenize(sql) if token.kind not in _IGNORED)
        self._next: Token | None = None
        self.what = "the statement"
        self._step()
        self._pass_semicolons()

    def _step(self) -> None:
        self._next = next(self._tokens, None)

    def _pass_semicolons(self) -> None:
        while self._next is not None and self._next.upper == ";":
            self._step()

    def at(self, *words: str) -> bool:
        """Whether one of these words is next."""
        return self._next is not None and self._next.upper in words

    def skip(self, word: str) -> bool:
        """Take a word if it is next."""
        found = self.at(word)
        if found:
            self._step()
        return found

    def word(self, *words: str, expected: str | None = None) -> str:
        """Take one of these words, which must be next."""
        token = self._next
        if token is None or not self.at(*words):
            raise self.unexpected(expected or _either(words))
        self._step()
        return token.upper

    def name(self, expected: str) -> str:
        """Take a name, which must be next."""
        token = self._next
        if token is None or not _is_name(token):
            raise self.unexpected(expected)
        if token.text == '""':
            raise ControlSyntaxError(f"{self.what}: a name has no characters: expected {expected}")
        self._step()
        return fold_name(token.text)

    def at_string(self) -> bool:
        """Whether a string in single quotes is next."""
        return self._next is not None and self._next.kind is TokenKind.STRING

    def string(self, expected: str) -> str:
        """Take a string in single quotes, which must be next."""
        token = self._next
        if token is None or token.kind is not TokenKind.STRING or not _is_closed(token):
            raise self.unexpected(expected)
        self._step()
        return token.text[1:-1].replace("''", "'")

    def number(self, expected: str, below: int) -> int:
        """Take a whole number, which must be next."""
        token = self._next
        digits = "" if token is None or token.kind is not TokenKind.NUMBER else token.text
        # What has more digits than the bound is above it; Python refuses to convert very long ones.
        if not digits.isdigit() or len(digits.lstrip("0")) > len(str(below)) or int(digits) >= below:
            raise self.unexpected(expected)
        self._step()
        return int(digits)

    def parameter(self) -> str | None:
        """Take a parameter such as ``@name`` if it is next."""
        token = self._next
        if token is None or token.kind is not TokenKind.PARAMETER:
            return None
        self._step()
        return token.text

    def value(self, expected: str) -> str:
        """Take the value of a setting: a string, a quoted name or a word, which must be next."""
        return self.string(expected) if self.at_string() else self.name(expected)

    def done(self) -> bool:
        """Whether the statement ends here."""
        return self._next is None or self.at(";")

    def end(self) -> None:
        """See that nothing follows but semicolons."""
        several = self.at(";")
        self._pass_semicolons()
        if self._next is not None:
            raise self.unexpected("nothing more: one statement at a time" if several else END)

    def unexpected(self, expected: str) -> ControlSyntaxError:
        """The error that something else than what is next was expected."""
        return ControlSyntaxError(f"{self.what}: expected {expected}, found {self.found()}")

    def found(self) -> str:
        """What is next, for a message."""
        if self._next is None:
            return END
        shown = repr(shorten(self._next.text))
        if self._next.kind in (TokenKind.STRING, TokenKind.QUOTED) and not _is_closed(self._next):
            return f"{shown}, whose quote is never closed"
        if _is_name(self._next) and self._next.upper in RESERVED:
            return f"{shown}, which is a name in double quotes only"
        return shown


def _is_name(token: Token) -> bool:
    """Whether PostgreSQL, too, takes a token for a name."""
    if token.kind is TokenKind.QUOTED:
        return token.text[0] == '"' and _is_closed(token)
    return token.kind is TokenKind.WORD


def _is_closed(token: Token) -> bool:
    mark = token.text[0]
    return token.text.endswith("]") if mark == "[" else token.text.count(mark) % 2 == 0


def _either(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
