"""Reading tokens one after the other, and refusing what is not expected."""

from __future__ import annotations

from spgrepl.spgsql.language.lexing import Dialect, Token, TokenKind
from spgrepl.spgsql.language.stops import NotUnderstood, StatementStopped

PUBLIC = "public"
_SQLITES = "main"
_MOST_DIGITS = 20


class TokenReader:
    """Stands in front of a token of a statement.

    Args:
        tokens: The tokens, with that of the end.
        dialect: Whose SQL it is.

    Attributes:
        fixed: The numbers of literals that are a part of the statement and not values, such as those of a type.
    """

    def __init__(self, tokens: list[Token], dialect: Dialect = Dialect.POSTGRESQL) -> None:
        self._tokens = tokens
        self._at = 0
        self.dialect = dialect
        self.fixed: set[int] = set()

    @property
    def now(self) -> Token:
        """The token that stands here."""
        return self._tokens[self._at]

    def ahead(self, count: int = 1) -> Token:
        """A token further on; that of the end where there are not so many."""
        return self._tokens[min(self._at + count, len(self._tokens) - 1)]

    def step(self) -> Token:
        """Go on; returns the token that stood here."""
        token = self.now
        if token.kind is not TokenKind.END:
            self._at += 1
        return token

    @property
    def place(self) -> int:
        """Where this stands, to come back to."""
        return self._at

    @place.setter
    def place(self, place: int) -> None:
        self._at = place

    # -- words and operators ----------------------------------------------------------------------------------

    def is_word(self, *words: str) -> bool:
        """Whether one of some words, in small letters, stands here."""
        return self.now.kind is TokenKind.WORD and self.now.text in words

    def accept(self, *words: str) -> bool:
        """Go on over words that follow each other, if they stand here."""
        for count, word in enumerate(words):
            token = self.ahead(count)
            if token.kind is not TokenKind.WORD or token.text != word:
                return False
        self._at += len(words)
        return True

    def expect(self, *words: str) -> None:
        """Go on over words that must stand here.

        Raises:
            StatementStopped: They do not.
        """
        if not self.accept(*words):
            raise self.unexpected(" ".join(words).upper())

    def is_operator(self, *texts: str) -> bool:
        """Whether one of some operators stands here."""
        return self.now.kind is TokenKind.OPERATOR and self.now.text in texts

    def accept_operator(self, *texts: str) -> bool:
        """Go on over an operator, if one of some stands here."""
        if self.is_operator(*texts):
            self._at += 1
            return True
        return False

    def expect_operator(self, text: str) -> None:
        """Go on over an operator that must stand here.

        Raises:
            StatementStopped: It does not.
        """
        if not self.accept_operator(text):
            raise self.unexpected(repr(text))

    def expect_end(self) -> None:
        """The statement must end here.

        Raises:
            StatementStopped: It does not.
        """
        if self.now.kind is not TokenKind.END:
            raise self.unexpected("its end")

    def unexpected(self, expected: str) -> StatementStopped:
        """What to raise where something else is expected than what stands here."""
        token = self.now
        found = "its end" if token.kind is TokenKind.END else repr(token.text[:30])
        return NotUnderstood(
            f"it is not understood from character {token.at + 1} on: {found} stands there, {expected} is expected"
        )

    # -- names and numbers ------------------------------------------------------------------------------------

    def name(self) -> str:
        """Go on over a name.

        Raises:
            StatementStopped: None stands here.
        """
        if self.now.kind not in (TokenKind.WORD, TokenKind.NAME):
            raise self.unexpected("a name")
        return self.step().text

    def table_name(self) -> str:
        """Go on over the name of a table, without its schema where that is ``public`` or SQLite's ``main``.

        Raises:
            StatementStopped: It is in another schema. Whether that is another table than the one of the same name
                in ``public`` depends on the version of the master.
        """
        found = self.qualified_name()
        if len(found) > 1:
            raise StatementStopped(
                f"{'.'.join(found)} is not in the schema public: which table that is at the master is not known "
                f"here"
            )
        return found[0]

    def qualified_name(self) -> tuple[str, ...]:
        """Go on over a name with its schema, where that is another one than ``public`` or SQLite's ``main``."""
        parts = [self.name()]
        while self.accept_operator("."):
            parts.append(self.name())
        is_plain = len(parts) == 2 and (parts[0] == PUBLIC or parts[0].lower() == _SQLITES)
        if is_plain or (len(parts) > 1 and parts[-2] == PUBLIC):
            return (parts[-1],)
        return tuple(parts)

    def names(self) -> tuple[str, ...]:
        """Go on over names in parentheses."""
        self.expect_operator("(")
        found = [self.name()]
        while self.accept_operator(","):
            found.append(self.name())
        self.expect_operator(")")
        return tuple(found)

    def fixed_number(self) -> int:
        """Go on over a whole number that is a part of the statement."""
        negative = self.accept_operator("-")
        token = self.now
        if token.kind is not TokenKind.NUMBER or not token.text.isdigit() or len(token.text) > _MOST_DIGITS:
            raise self.unexpected("a whole number")
        self.step()
        self.fixed.add(token.slot)
        return -int(token.text) if negative else int(token.text)
