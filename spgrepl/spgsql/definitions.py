"""CREATE TABLE: SPG's columns and constraints, put as SQLite has them."""

from __future__ import annotations

from typing import Any

import attrs

from spgrepl.spg.ddl import quoted
from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.lexing import Dialect, Literal, Token, TokenKind, lex
from spgrepl.spgsql.language.nodes import Cast, Const, Expression, Plain, TypeName
from spgrepl.spgsql.language.statements import StatementReader
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.types import SERIALS, TEXT, Family, family_of, type_of
from spgrepl.spgsql.language.values import stored
from spgrepl.spgsql.tables import make
from spgrepl.spgsql.typed.constants import signed
from spgrepl.spgsql.typed.defaults import CONSTANT, RUNTIME
from spgrepl.spgsql.typed.schema import ColumnInfo, Schema, TableInfo
from spgrepl.text.sqltext import fold_ascii

_ACTIONS = ("no action", "restrict", "cascade", "set null", "set default")
_HARMLESS = frozenset({"NO ACTION", "RESTRICT"})
_CONSTRAINTS = frozenset(
    "constraint not null default primary unique references check collate generated deferrable initially on "
    "auto_increment comment charset unsigned zerofill key as".split()
)
_TABLE_CONSTRAINTS = frozenset(
    "constraint primary unique foreign check exclude like key index fulltext spatial".split()
)


@attrs.define
class Draft:
    """A column while it is read."""

    name: str
    type: SpgType
    nullable: bool = True
    auto: bool = False
    details: dict[str, Any] = attrs.Factory(dict)

    def info(self) -> ColumnInfo:
        """What is known of it."""
        return ColumnInfo(self.name, self.type, self.nullable, self.auto, dict(self.details), None)


class TableReader(StatementReader):
    """Reads the definitions of tables and columns.

    Args:
        text: The statement.
        dialect: Whose SQL it is.
        schema: Knows enums and domains, and the tables that keys refer to.
    """

    def __init__(self, text: str, dialect: Dialect, schema: Schema) -> None:
        tokens: list[Token] = lex(text, dialect)
        super().__init__(tokens, dialect)
        self.schema = schema
        self._text = text
        self._literals = {token.slot: token for token in tokens if token.slot >= 0}
        self.constraints: list[str] = []

    # -- CREATE TABLE -----------------------------------------------------------------------------------------

    def create_table(self) -> str:
        """Read a CREATE TABLE, and make the table, in the open transaction.

        Returns:
            The name of a table that is made of the query that stands here now; empty where that is not so.

        Raises:
            StatementStopped: It cannot be made here as the master has it.
        """
        self.expect("create")
        if self.is_word("temp", "temporary", "global", "local"):
            raise StatementStopped("a temporary table is of one connection, which the log does not name")
        self.accept("unlogged")
        self.expect("table")
        tolerant = self.accept("if", "not", "exists")
        name = self.table_name()
        if tolerant and self.schema.exists(name):
            return ""
        if self.schema.exists(name):
            raise StatementStopped(f"the table {name} is there already")
        if self.accept("as"):
            return name
        if not self.is_operator("("):
            raise StatementStopped(f"CREATE TABLE … {self.now.text.upper()} is not translated")
        self.step()
        drafts: list[Draft] = []
        while True:
            if self.now.kind is TokenKind.WORD and self.now.text in _TABLE_CONSTRAINTS and self._is_constraint():
                self._table_constraint(name, drafts)
            else:
                drafts.append(self.column(name))
            if not self.accept_operator(","):
                break
        self.expect_operator(")")
        self._table_options()
        make(self.schema, name, [draft.info() for draft in drafts], self.constraints)
        return ""

    def _is_constraint(self) -> bool:
        """Whether a constraint begins here, and not a column of such a name."""
        following = self.ahead()
        if self.now.text in ("key", "index", "fulltext", "spatial"):
            return self.dialect is Dialect.MYSQL
        return following.text in ("(", "key", "using") or self.now.text in ("constraint", "like", "exclude")

    def _table_options(self) -> None:
        if self.is_word("partition", "inherits"):
            raise StatementStopped(f"{self.now.text.upper()}: which table a row is in is decided by the master")
        if self.dialect is Dialect.MYSQL:
            while self.now.kind is not TokenKind.END:
                self.step()
        elif self.accept("with") or self.accept("without"):
            while self.now.kind is not TokenKind.END and not self.is_word("as"):
                self.step()
        self.accept_operator(";")
        self.expect_end()

    # -- columns ----------------------------------------------------------------------------------------------

    def column(self, table: str) -> Draft:
        """Read the definition of a column."""
        name = self.name()
        written = self.type_name()
        draft = self._draft(name, written)
        while self.now.kind is TokenKind.WORD and self.now.text in _CONSTRAINTS:
            self._column_constraint(table, draft)
        return draft

    def _draft(self, name: str, written: TypeName) -> Draft:
        serial = SERIALS.get(written.name)
        if serial is not None:
            return Draft(name, serial, nullable=False, auto=True)
        if self.dialect is Dialect.MYSQL and written.name in ("enum", "set", "tinyint", "mediumint"):
            raise StatementStopped(f"how SPG stores MySQL's {written.name.upper()} is not known here")
        kind = type_of(written, self.dialect, self.schema.file_version)
        if kind is not None:
            return Draft(name, kind)
        if self.schema.objects("enums", written.name) and not written.dimensions:
            return Draft(name, TEXT, details={"enum": written.name})
        for domain in self.schema.objects("domains", written.name):
            base = self._domain_type(str(domain.get("type")))
            details: dict[str, Any] = {"domain": written.name}
            if domain.get("default") is not None:
                details[RUNTIME] = domain["default"]
            return Draft(name, base, bool(domain.get("nullable", True)), details=details)
        raise StatementStopped(f"the type {written.name} is not known here")

    def _domain_type(self, label: str) -> SpgType:
        reader = StatementReader(lex(label))
        found = type_of(reader.type_name(), file_version=self.schema.file_version)
        if found is None:
            raise StatementStopped(f"the type {label} of a domain is not known here")
        return found

    def _column_constraint(self, table: str, draft: Draft) -> None:
        if self.accept("constraint"):
            self.name()
        elif self.accept("not", "null"):
            draft.nullable = False
        elif self.accept("null"):
            pass
        elif self.accept("default"):
            self.default(draft)
        elif self.accept("primary", "key") or (self.dialect is Dialect.MYSQL and self.accept("key")):
            draft.nullable = False
            self.constraints.insert(0, f"PRIMARY KEY ({quoted(draft.name)})")
        elif self.accept("unique"):
            self.accept("key")
            self._nulls()
            self.constraints.append(f"UNIQUE ({quoted(draft.name)})")
        elif self.accept("references"):
            self._reference(table, [draft.name])
        elif self.accept("check"):
            self._skip_parenthesis()
        elif self.accept("collate"):
            self._collation(draft)
        elif self.accept("auto_increment"):
            draft.auto, draft.nullable = True, False
        elif self.accept("generated"):
            self._generated(draft)
        elif not self._without_effect():
            raise StatementStopped(f"{self.now.text.upper()} of the column {draft.name} is not translated")

    def _without_effect(self) -> bool:
        """Go on over what changes no values: when constraints are looked at, and comments."""
        if self.accept("deferrable") or self.accept("not", "deferrable"):
            return True
        if self.accept("initially") or self.accept("comment"):
            self.step()
            return True
        return False

    def default(self, draft: Draft) -> None:
        """Read the default of a column: a constant as SPG stores it, or the text of what is evaluated."""
        start = self.now.at
        node = self._concatenation()
        end = self._end_before()
        value = self._constant(node, draft.type)
        draft.details.pop(RUNTIME, None)
        draft.details.pop(CONSTANT, None)
        if value is not _NOT_CONSTANT:
            draft.details[CONSTANT] = {"hex": value.hex()} if isinstance(value, bytes) else value
        else:
            draft.details[RUNTIME] = self._text[start:end]

    def _end_before(self) -> int:
        return self._tokens[self.place - 1].end

    def _constant(self, node: Expression, kind: SpgType) -> Any:
        while isinstance(node, Cast):
            node = node.operand
        if isinstance(node, Plain):
            if node.value is None:
                return None
            return int(node.value) if family_of(kind) is Family.BOOL else _NOT_CONSTANT
        if not isinstance(node, Const):
            return _NOT_CONSTANT
        token = self._literals[node.slot]
        literal = token_literal(token, node.negated)
        return stored(literal, kind)

    def _collation(self, draft: Draft) -> None:
        name = self.name()
        while self.accept_operator("."):
            name = self.name()
        if name.lower() not in ("c", "posix", "default", "ucs_basic", "utf8mb4_bin", "binary"):
            raise StatementStopped(f"the collation {name} of the column {draft.name} is not known here")

    def _generated(self, draft: Draft) -> None:
        always = self.accept("always")
        if not always:
            self.expect("by", "default")
        self.expect("as")
        if self.accept("identity"):
            if self.is_operator("("):
                self._skip_parenthesis()
            draft.auto, draft.nullable = True, False
            draft.details["identity"] = True
            if always:
                draft.details["identity_always"] = True
            return
        start = self.now.at
        self._skip_parenthesis()
        draft.details["generated"] = self._text[start : self._end_before()]
        self.expect("stored")

    # -- constraints ------------------------------------------------------------------------------------------

    def _table_constraint(self, table: str, drafts: list[Draft]) -> None:
        if self.accept("constraint"):
            self.name()
        if self.accept("primary", "key"):
            columns = self._key()
            for draft in drafts:
                if fold_ascii(draft.name) in map(fold_ascii, columns):
                    draft.nullable = False
            self.constraints.insert(0, f"PRIMARY KEY ({_listed(columns)})")
        elif self.accept("unique"):
            if not self.accept("key"):
                self.accept("index")
            self._nulls()
            if not self.is_operator("("):
                self.name()
            self.constraints.append(f"UNIQUE ({_listed(self._key())})")
        elif self.accept("foreign", "key"):
            columns = list(self.names())
            self.expect("references")
            self._reference(table, columns)
        elif self.accept("check"):
            self._skip_parenthesis()
            self.accept("no", "inherit")
        elif (self.dialect is Dialect.MYSQL and self.accept("key")) or (
            self.dialect is Dialect.MYSQL and self.accept("index")
        ):
            self._skip_key()
        else:
            raise StatementStopped(f"{self.now.text.upper()} in CREATE TABLE is not translated")
        self._timing()

    def _skip_key(self) -> None:
        if not self.is_operator("("):
            self.name()
        self._skip_parenthesis()

    def _key(self) -> list[str]:
        self.expect_operator("(")
        found = [self.name()]
        while self.accept_operator(","):
            found.append(self.name())
        self.expect_operator(")")
        return found

    def _nulls(self) -> None:
        if self.accept("nulls", "not", "distinct"):
            raise StatementStopped("NULLS NOT DISTINCT: to SQLite NULLs are always distinct")
        self.accept("nulls", "distinct")

    def _timing(self) -> None:
        while True:
            if self.accept("not", "deferrable") or self.accept("deferrable") or self.accept("not", "valid"):
                continue
            if self.accept("initially"):
                self.name()
                continue
            return

    def _reference(self, table: str, columns: list[str]) -> None:
        """A foreign key: what it does when the parent's row goes; that it holds, the master has seen to."""
        parent = self.table_name()
        others = list(self.names()) if self.is_operator("(") else []
        actions = {"delete": "NO ACTION", "update": "NO ACTION"}
        while True:
            if self.accept("match"):
                self.name()
            elif self.accept("on", "delete"):
                actions["delete"] = self._action()
            elif self.accept("on", "update"):
                actions["update"] = self._action()
            else:
                break
        self._timing()
        if set(actions.values()) <= _HARMLESS:
            return
        info = None if fold_ascii(parent) == fold_ascii(table) else self.schema.table(parent)
        if not others and info is not None and info.has_primary:
            others = list(info.keys[0])
        if not others or (info is not None and not _is_key(info, others)):
            raise StatementStopped(f"a foreign key to {parent}, where no unique key is known here")
        self.constraints.append(
            f"FOREIGN KEY ({_listed(columns)}) REFERENCES {quoted(parent)} ({_listed(others)}) "
            f"ON DELETE {actions['delete']} ON UPDATE {actions['update']}"
        )

    def _action(self) -> str:
        for action in _ACTIONS:
            if self.accept(*action.split()):
                return action.upper()
        raise self.unexpected("an action of a foreign key")

    def _skip_parenthesis(self) -> None:
        self.expect_operator("(")
        depth = 1
        while depth:
            if self.now.kind is TokenKind.END:
                raise self.unexpected("')'")
            token = self.step()
            if token.kind is TokenKind.OPERATOR:
                depth += (token.text == "(") - (token.text == ")")


class _NotConstant:
    """Stands for a default that is evaluated."""


_NOT_CONSTANT = _NotConstant()


def token_literal(token: Token, negated: bool) -> Any:
    """The literal that a token is, with its sign."""
    return signed(Literal(token.kind, token.text), negated)


def _listed(columns: list[str]) -> str:
    return ", ".join(quoted(name) for name in columns)


def _is_key(table: TableInfo, columns: list[str]) -> bool:
    wanted = {fold_ascii(name) for name in columns}
    return any({fold_ascii(name) for name in key} == wanted for key in table.keys)
