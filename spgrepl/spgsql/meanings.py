"""Types, domains and settings: they change no rows, but what later statements mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from spgrepl.spgsql.alterations import AlterationReader
from spgrepl.spgsql.language.lexing import TokenKind
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.typed.defaults import RUNTIME

ZONE = "timezone"
"""The name under which a time zone that a session has set is noted."""

SETTING = "setting"
"""The kind of such a note."""

_UTC = frozenset({"utc", "gmt", "default", "local", "etc/utc", "uct", "zulu", "0", "+00:00", "+0:00"})

_KNOWN_STYLES = frozenset({"iso", "ymd", "mdy", "default", "postgres"})


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
        }

    def _create_type(self) -> None:
        name = self.table_name()
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
        name = self.table_name()
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
            name = self.table_name()
            for kind in ("enums", "domains", "composites"):
                self.schema.drop_object(kind, name)
            if not self.accept_operator(","):
                break
        self._skip_rest()

    def _alter_type(self) -> None:
        name = self.table_name()
        if self.accept("add", "value"):
            self._skip_rest()
            return
        if self.is_word("owner"):
            self._skip_rest()
            return
        raise StatementStopped(f"ALTER TYPE {name} {self.now.text.upper()} changes values that are stored")

    def _alter_domain(self) -> None:
        name = self.table_name()
        if self.is_word("set", "drop") and self.ahead().text == "default":
            raise StatementStopped(f"ALTER DOMAIN {name} … DEFAULT is not translated")
        self._skip_rest()

    def _set(self) -> None:
        if not self.accept("session"):
            self.accept("local")
        name = "timezone" if self.accept("time", "zone") else self.now.text
        if name != "timezone" or self.is_word("timezone"):
            self.step()
            if not self.accept_operator("="):
                self.accept("to")
        values = []
        while self.now.kind is not TokenKind.END and not self.is_operator(";"):
            token = self.step()
            if token.text != ",":
                values.append(token.text)
        self._judge_setting(name, [value.lower() for value in values])

    def _judge_setting(self, name: str, values: list[str]) -> None:
        if name in (ZONE, "time_zone"):
            if is_other_zone(values) and not self.schema.objects(SETTING, ZONE):
                self.schema.keep_object(SETTING, ZONE, {"value": " ".join(values)})
        else:
            refuse_setting(name, values)


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
    elif (
        name in ("standard_conforming_strings", "backslash_quote")
        and values
        and values[0] in ("off", "0", "false")
    ):
        raise StatementStopped(f"after SET {name} strings of that session mean something else")
    elif name in ("datestyle", "intervalstyle") and not {"iso", "ymd", "mdy", "default", "postgres"} & set(values):
        raise StatementStopped(f"after SET {name} dates of that session may mean other days")
    elif name == "sql_mode" and any(one in " ".join(values) for one in ("ansi", "no_backslash", "pipes")):
        raise StatementStopped("after SET sql_mode strings of that session mean something else")
