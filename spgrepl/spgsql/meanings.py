"""Types, domains and settings: they change no rows, but what later statements mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from spgrepl.spgsql.alterations import AlterationReader
from spgrepl.spgsql.language.lexing import TokenKind
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.typed.defaults import RUNTIME

ZONE = "timezone"
"""The name under which a time zone that a session has set is noted."""

SETTING = "setting"
"""The kind of such a note."""

_UTC = frozenset({"utc", "gmt", "default", "local", "etc/utc", "uct", "zulu", "0", "+00:00", "+0:00"})

_SCOPES = frozenset({"session", "local", "global", "persist"})
_IS = ("=", ":=", ":")
_ON = frozenset({"on", "1", "true", "yes", "default", "origin"})
_OFF = frozenset({"off", "0", "false", "no", "default"})
_PLAIN_LOCALES = frozenset({"c", "posix", "c.utf8", "c.utf-8", "default", ""})
_STRINGS = "strings of that session mean something else"
_DATES = "dates of that session may mean other days"
_KEYS = "triggers and foreign keys do nothing in that session"
_SETTINGS = {
    "standard_conforming_strings": (_STRINGS, _ON),
    "backslash_quote": (_STRINGS, _ON | {"safe_encoding"}),
    "datestyle": (_DATES, frozenset({"iso", "ymd", "mdy", "default"})),
    "intervalstyle": (_DATES, frozenset({"postgres", "default"})),
    "session_replication_role": (_KEYS, _ON | {"local"}),
    "foreign_key_checks": (_KEYS, _ON),
    "transform_null_equals": ("= NULL of that session finds rows", _OFF),
    "array_nulls": ("NULL in an array of that session is a text", _ON),
    "bytea_output": ("bytes of that session become other texts", frozenset({"hex", "default"})),
    "xmloption": ("XML of that session may be refused, or not", frozenset({"content", "default"})),
    **dict.fromkeys(
        ("lc_numeric", "lc_time", "lc_monetary"),
        ("numbers and months of that session are other texts", _PLAIN_LOCALES),
    ),
}
"""What later statements of a session that has set such a thing mean, and what it may be set to all the same."""


class MeaningReader(AlterationReader):
    """Reads such a statement, and notes in the open transaction what it says."""

    def known(self) -> dict[str, Callable[[], None]]:
        """See `AlterationReader`."""
        return {
            "create type": self._create_type,
            "create domain": self._create_domain,
            "drop type": self._drop_type,
            "drop domain": self._drop_type,
            "alter type": self._alter_type,
            "alter domain": self._alter_domain,
            "set": self._set,
            "alter role": self._alter_settings,
            "alter user": self._alter_settings,
            "alter database": self._alter_settings,
            "alter system": self._alter_settings,
        }

    def _create_type(self) -> None:
        name = ".".join(self.qualified_name())
        if not self.accept("as", "enum"):
            self._skip_rest()
            return  # a column of that type is refused
        self.expect_operator("(")
        labels = []
        while self.now.kind is TokenKind.STRING:
            labels.append(self.step().text)
            self.accept_operator(",")
        self.expect_operator(")")
        self.schema.keep_object("enums", name, {"name": name, "labels": labels})

    def _create_domain(self) -> None:
        name = ".".join(self.qualified_name())
        self.accept("as")
        draft = self._draft(name, self.type_name())
        while self.now.kind is TokenKind.WORD:
            if self.accept("default"):
                start = self.now.at
                self._concatenation()
                draft.details[RUNTIME] = self._text[start : self._end_before()]
            elif self.accept("check"):
                self._skip_parenthesis()
            else:
                self._column_constraint(name, draft)
        kept = {
            "name": name,
            "type": draft.type.label,
            "nullable": draft.nullable,
            "default": draft.details.get(RUNTIME),
        }
        self.schema.keep_object("domains", name, kept)

    def _drop_type(self) -> None:
        self.accept("if", "exists")
        while True:
            name = ".".join(self.qualified_name())
            for kind in ("enums", "domains", "composites"):
                self.schema.drop_object(kind, name)
            if not self.accept_operator(","):
                break
        self._skip_rest()

    def _alter_type(self) -> None:
        name = ".".join(self.qualified_name())
        if self.accept("add", "value"):
            self._skip_rest()
            return
        if self.is_word("owner"):
            self._skip_rest()
            return
        raise StatementStopped(f"ALTER TYPE {name} {self.now.text.upper()} changes values that are stored")

    def _alter_domain(self) -> None:
        name = ".".join(self.qualified_name())
        if self.is_word("set", "drop") and self.ahead().text == "default":
            raise StatementStopped(f"ALTER DOMAIN {name} … DEFAULT is not translated")
        self._skip_rest()

    def _set(self) -> None:
        words = []
        while self.now.kind is not TokenKind.END and not self.is_operator(";"):
            words.append(self.step().text.lower())
        for name, values in settings_of(words):
            if is_zone(name):
                if is_other_zone(values) and not self.schema.objects(SETTING, ZONE):
                    self.schema.keep_object(SETTING, ZONE, {"value": " ".join(values)})
            else:
                refuse_setting(name, values)

    def _alter_settings(self) -> None:
        """What sessions to come begin with."""
        while self.now.kind is not TokenKind.END and not self.accept("set"):
            self.step()
        self._set()


def settings_of(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The settings that a SET makes, each with its values; variables of a user have none.

    Args:
        words: What comes after SET, in small letters; strings without their quotes.
    """
    joined: list[str] = []
    at_signs = 0
    for word in words:
        bare = word.lstrip("=@") if word.startswith("=@") else word.lstrip("@")
        if word.startswith("=@"):
            joined.append("=")
        at_signs += word.count("@") if word[:1] in "@=" else 0
        if bare:
            joined.append(f"@{bare}" if at_signs == 1 else bare)
            at_signs = 0
    at = 0
    while at < len(joined):
        while at + 1 < len(joined) and joined[at] in _SCOPES and joined[at + 1] not in _IS:
            at += 1 + (joined[at + 1] == ".")
        if at == len(joined):
            return
        name, at = joined[at], at + 1
        if name == "time" and joined[at : at + 1] == ["zone"]:
            name, at = ZONE, at + 1
        values = []
        while at < len(joined) and not (joined[at] == "," and _begins(joined, at + 1)):
            values += [] if joined[at] in (*_IS, "to", ",") else [joined[at]]
            at += 1
        at += 1
        if not name.startswith("@"):
            yield name, values


def _begins(words: Sequence[str], at: int) -> bool:
    """Whether another setting begins here, and not another value of the one before."""
    while words[at : at + 1] and (words[at] in _SCOPES or words[at] == "."):
        at += 1
    return words[at + 1 : at + 2] != [] and words[at + 1] in _IS


def is_zone(name: str) -> bool:
    """Whether a setting is that of the time zone."""
    return name in (ZONE, "time_zone")


def is_other_zone(values: Sequence[str]) -> bool:
    """Whether what a time zone is set to, in small letters, is not UTC."""
    return bool(values) and "".join(values) not in _UTC


def refuse_setting(name: str, values: Sequence[str]) -> None:
    """Look whether a session that has set this writes statements that mean something else to others.

    Args:
        name: The setting, in small letters.
        values: What it is set to, in small letters.

    Raises:
        StatementStopped: It does.
    """
    if name == "search_path":
        strange = [one for one in values if one not in ("public", "pg_catalog", "$user", "", "default")]
        if strange:
            raise StatementStopped(
                f"after SET search_path to {', '.join(values)} a session means other tables by the same "
                f"names, and the log does not say which statements are its"
            )
        return
    given = set(",".join(values).replace(",", " ").split())
    what, harmless = _SETTINGS.get(name, ("", given))
    if not given <= harmless:
        raise StatementStopped(f"after SET {name} {what}")
    if name == "sql_mode" and any(one in " ".join(values) for one in ("ansi", "no_backslash", "pipes")):
        raise StatementStopped("after SET sql_mode strings of that session mean something else")
