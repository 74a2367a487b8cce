"""Whose record is it: the tables that a record of the log changes, judged by its SQL.

Nearly all statements of a log are alike up to the blank after their table's name. So the first bytes of a
statement are looked up among those that are known to decide, whatever follows them. Rows that a primary writes
have no blank there, but a bracket: the bytes up to that one are looked up next. What is not known is settled by
one expression, and what that does not settle by `spgrepl.catalogue.owners.parser`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import cast

import attrs

from spgrepl.catalogue.owners.parser import TRAPS, TooManyTokens, read_statement
from spgrepl.catalogue.owners.texts import statements
from spgrepl.compiled.core import CORE, CompiledTexts, Core
from spgrepl.compiled.texts import is_compiled
from spgrepl.errors import RecordError
from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.format.records import RecordType
from spgrepl.log.transactions.words import StatementKind, statement_kind
from spgrepl.text.sqltext import upper_ascii
from spgrepl.text.words import fold_name, table_name


class OwnerKind(enum.Enum):
    """What a record counts as when it is not forwarded."""

    DML = "dml"
    DDL = "ddl"
    CONTROL = "control"


@attrs.frozen(eq=False)
class Owner:
    """Whose a record is. Compared by identity: an `OwnerJudge` gives the same object for the same tables.

    Attributes:
        kind: What the record counts as.
        tables: The tables that it changes: as PostgreSQL reads their names, with their schema where that is
            neither ``public`` nor SQLite's ``main``. Empty unless it is DML.
    """

    kind: OwnerKind
    tables: frozenset[str] = frozenset()


DDL_OWNER = Owner(OwnerKind.DDL)
"""The owner of all that is neither DML nor control: DDL, TRUNCATE, queries, and what cannot be read."""

CONTROL_OWNER = Owner(OwnerKind.CONTROL)
"""The owner of transaction control, replication's own statements, session control, and records without SQL."""

PUT_OFF = Owner(OwnerKind.DDL)
"""Stands for the owner of a record that takes long to read; see `OwnerJudge`."""

LONG = 16 * 1024
"""From so many bytes on, a record that its first bytes do not settle would hold a reactor up."""

_MAX_OWNERS = 10_000
_MAX_KNOWN = 4096

# The first bytes of a statement reach to the first blank after the shortest INSERT INTO, and four bytes on:
# enough to show an UPDATE's SET. Statements without a blank in reach give too little to be known.
_BLANK_FROM = 13
_BLANK_TO = 256
_BEHIND_BLANK = 5
_MOST_BEHIND_MATCH = 16

_BLANK = rb"[ \t\n\f\r]"
# A byte order mark is a blank to SQLite where a name could begin.
_NAME = rb'(?>(?!\xef\xbb\xbf)[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*+|"[^"]++"|`[^`]++`)'

# A match depends on no byte after it, and no bytes after it can change the statement's target: a name goes on
# after a blank only with a dot. In MySQL an UPDATE may name more tables before its SET, and the name in a DELETE
# may be an alias that follows in USING.
_PLAIN = re.compile(
    rb"%(blank)s*+(?:(?P<update>UPDATE)|(?P<delete>DELETE%(blank)s++FROM)"
    rb"|(?:INSERT|REPLACE)(?:%(blank)s++OR%(blank)s++(?:REPLACE|IGNORE|ABORT|FAIL|ROLLBACK))?%(blank)s++INTO"
    rb"|MERGE%(blank)s++INTO)%(blank)s++(?P<first>%(name)s)(?:\.(?P<second>%(name)s))?"
    rb"(?(update)%(blank)s++SET%(blank)s|(?(delete)%(blank)s++[A-TV-Z]|(?:%(blank)s*+\(|%(blank)s++[A-Z])))"
    % {b"blank": _BLANK, b"name": _NAME},
    re.IGNORECASE,
)

# One statement, told by what every dialect reads alike: no comments, and no backslashes, dollars or brackets, by
# which a string may end elsewhere.
_ONE_STATEMENT = re.compile(
    rb"(?>(?:[^;'\"`\[$\\/-]++|'[^'\\]*+'|\"[^\"\\]*+\"|`[^`\\]*+`|-(?!-)|/(?!\*))*)[; \t\n\f\r]*+\Z"
)

# How nearly all writers write them.
_WRITTEN_SO = frozenset({b"BEGIN", b"COMMIT", b"ROLLBACK"})

_SESSION_WORDS = frozenset({"SET", "RESET", "DISCARD", "PRAGMA", "USE", "START"})


class OwnerJudge:
    """Says which tables the records of a log change.

    What it remembers is bounded: after 10,000 different sets of tables it forgets them, and makes new objects.

    Args:
        put_off: Whether to give `PUT_OFF` for records that take long to read, so that the caller has them read
            elsewhere, by `judge_apart`.
    """

    def __init__(self, put_off: bool = False) -> None:
        self._put_off = put_off
        self._owners: dict[frozenset[str], Owner] = {}
        self._known: dict[bytes, Owner] = {}

    def owner(self, sql: bytes | None, kind: RecordType = RecordType.SQL) -> Owner:
        """Whose a record is.

        Args:
            sql: The record's SQL, None if it holds none.
            kind: The record's type. Those of MySQL's dialect are read by its rules.

        Returns:
            For several statements the tables of all of them together.

        Raises:
            TooManyTokens: A statement has its target farther from its beginning than is read.
        """
        if sql is None:
            return CONTROL_OWNER
        if not _is_utf8(sql):
            return DDL_OWNER
        if kind is RecordType.MYSQL:
            return self._judge_mysql(sql)
        return self._look_up(sql) if b";" not in sql else self._judge_several(sql)

    def owners(self, batch: RecordBatch, first: int = 0, stop: int | None = None) -> list[Owner]:
        """Whose the records of a batch are, one for each.

        Args:
            batch: The records.
            first: The index of the first one to judge.
            stop: The index after the last one; all by default.

        Raises:
            RecordError: A record cannot be judged; see `TooManyTokens`.
        """
        try:
            return self._owners_of(batch, first, stop)
        except TooManyTokens:
            pass
        found = []
        for index in range(len(batch.sql))[first:stop]:
            try:
                found.append(self.owner(batch.sql[index], batch.types.get(index, RecordType.SQL)))
            except TooManyTokens as error:
                raise RecordError(str(error), batch.start_of(index)) from error
        return found

    def known_owners(self, batch: RecordBatch, first: int) -> list[Owner]:
        """Whose records are from an index on, as far as that takes no time.

        Without a compiled core it does so only where all of them begin alike, and from the first of a batch on.
        """
        found: list[Owner] = []
        if not is_compiled(batch.sql):
            texts = cast("list[bytes]", batch.sql)
            owner = self._owner_of_all(texts) if first == 0 and not batch.types else None
            if owner is not None and _is_plain(b"\n".join(texts)):
                found = [owner] * len(texts)
        elif CORE is not None:
            # A record of MySQL's dialect is read by other rules, whatever it begins with.
            stop = min((index for index in batch.types if index >= first), default=len(batch))
            CORE.known_owners(batch.sql, first, stop, self._known, found)
        return found

    def same(self, owner: Owner) -> Owner:
        """This judge's own object for what another one found."""
        return self._intern(owner.tables) if owner.kind is OwnerKind.DML else owner

    def _owners_of(self, batch: RecordBatch, first: int, stop: int | None) -> list[Owner]:
        if CORE is not None and is_compiled(batch.sql):
            return self._owners_compiled(CORE, batch.sql, batch.types, *slice(first, stop).indices(len(batch))[:2])
        held = batch.sql[first:stop]
        types = {index - first: kind for index, kind in batch.types.items() if 0 <= index - first < len(held)}
        texts: list[bytes] = (
            [sql if index not in types and sql is not None else b"" for index, sql in enumerate(held)]
            if types
            else held  # type: ignore[assignment]  # only records of the types named there are without SQL
        )
        # One look at all statements at once settles for nearly every batch what it would cost time to ask of each.
        joined = b"\n".join(texts)
        known, judge, several = self._known.get, self._judge, self._judge_several
        start, end, more = _BLANK_FROM, _BLANK_TO, _BEHIND_BLANK
        if not _is_utf8(joined):
            found = [self.owner(sql) for sql in texts]
        elif b";" not in joined and (owner := self._owner_of_all(texts)) is not None:
            found = [owner] * len(texts)
        elif b";" not in joined:
            found = [
                known(sql[: sql.find(b" ", start, end) + more])
                or known(sql[: sql.find(b"(", start, end) + 1])
                or judge(sql)
                for sql in texts
            ]
        else:
            found = [
                (
                    known(sql[: sql.find(b" ", start, end) + more])
                    or known(sql[: sql.find(b"(", start, end) + 1])
                    or judge(sql)
                )
                if b";" not in sql
                else several(sql)
                for sql in texts
            ]
        for index, kind in types.items():
            found[index] = self.owner(held[index], kind)
        return found

    def _owners_compiled(
        self, core: Core, sql: CompiledTexts, types: Mapping[int, RecordType], first: int, stop: int
    ) -> list[Owner]:
        """The same, where the compiled core looks up all that is known."""
        found: list[Owner] = []
        # A record of MySQL's dialect is read by other rules, whatever it begins with.
        for end in [*sorted(index for index in types if first <= index < stop), stop]:
            at = first + len(found)
            while (at := core.known_owners(sql, at, end, self._known, found)) < end:
                found.append(self.owner(sql[at]))
                at += 1
            if end < stop:
                found.append(self.owner(sql[end], types[end]))
        return found

    def _owner_of_all(self, texts: list[bytes]) -> Owner | None:
        """Whose all of some statements are, where they begin alike and what they begin with is known."""
        for first in _fronts(texts[-1]) if texts else ():
            owner = self._known.get(first)
            if owner is not None and all(map(bytes.startswith, texts, repeat(first))):
                return owner
        return None

    def _look_up(self, sql: bytes) -> Owner:
        """Whose a single statement is, in UTF-8, by its first bytes where those are known."""
        blank, bracket = _fronts(sql)
        return self._known.get(blank) or self._known.get(bracket) or self._judge(sql)

    def _judge(self, sql: bytes) -> Owner:
        """Whose a single statement is, in UTF-8, when its first bytes are not known."""
        if sql in _WRITTEN_SO:
            return CONTROL_OWNER
        return self._plain(sql) or self._judge_all(sql, mysql=False)

    def _judge_several(self, sql: bytes) -> Owner:
        """Whose a text with a semicolon is."""
        plain = self._plain(sql) if _ONE_STATEMENT.match(sql) is not None else None
        return plain or self._judge_all(sql, mysql=False)

    def _judge_mysql(self, sql: bytes) -> Owner:
        # Double quotes are a string's in MySQL.
        plain = self._plain(sql, without=b'"') if b";" not in sql else None
        return plain or self._judge_all(sql, mysql=True)

    def _plain(self, sql: bytes, without: bytes | None = None) -> Owner | None:
        """Whose a single statement is, in UTF-8, if it is a plain one.

        Args:
            sql: The statement.
            without: What must not stand in it up to its table's name.
        """
        found = _PLAIN.match(sql)
        if found is None or (without is not None and without in found[0]):
            return None
        owner = self._known.get(found[0])
        if owner is None:
            tables = _plain_tables(found)
            if tables is None:
                return None
            owner = self._intern(tables)
            self._remember(found[0], owner)
        first, _ = _fronts(sql)
        # What follows the match is of no use, and is as manifold as the values in it where it is long.
        if found.end() <= len(first) <= found.end() + _MOST_BEHIND_MATCH:
            self._remember(first, owner)
        return owner

    def _remember(self, first: bytes, owner: Owner) -> None:
        """Note that statements which begin with some bytes are all of one owner."""
        if len(first) > _BLANK_TO:
            return
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[first] = owner

    def _judge_all(self, sql: bytes, mysql: bool) -> Owner:
        """Whose a text of any number of statements is, cut and read as it must be."""
        if b";" not in sql and statement_kind(sql) is not StatementKind.PLAIN:
            return CONTROL_OWNER
        if self._put_off and len(sql) > LONG:
            return PUT_OFF
        tables: set[str] = set()
        nothing_else = True
        for piece in statements(sql.decode("utf-8"), mysql):
            found = self._judge_piece(piece, mysql)
            if found is None:
                nothing_else = False
            else:
                tables |= found
        if tables:
            return self._intern(frozenset(tables))
        return CONTROL_OWNER if nothing_else else DDL_OWNER

    def _judge_piece(self, piece: str, mysql: bool) -> frozenset[str] | None:
        """The tables that a statement changes, empty for control; None for all else."""
        sql = piece.encode("utf-8")
        plain = self._plain(sql)
        if plain is not None:
            return plain.tables
        if statement_kind(sql) is not StatementKind.PLAIN:
            return frozenset()
        word, tables = read_statement(piece, mysql)
        return tables if tables or word in _SESSION_WORDS else None

    def _intern(self, tables: frozenset[str]) -> Owner:
        owner = self._owners.get(tables)
        if owner is None:
            if len(self._owners) >= _MAX_OWNERS:
                # What is known by its first bytes would bring the old objects back beside the new ones.
                self._owners.clear()
                self._known.clear()
            owner = self._owners[tables] = Owner(OwnerKind.DML, tables)
        return owner


def judge_apart(batch: RecordBatch, indices: Sequence[int]) -> list[Owner]:
    """Judge records that were put off. It may run in any thread; `OwnerJudge.same` makes its owners usable.

    Args:
        batch: Where they are.
        indices: Which they are.

    Raises:
        RecordError: One of them cannot be judged; see `TooManyTokens`.
    """
    judge = OwnerJudge()
    return [judge.owners(batch, index, index + 1)[0] for index in indices]


def _fronts(sql: bytes) -> tuple[bytes, bytes]:
    """What may be known of a statement: its bytes up to a blank and a few on, and those up to a bracket."""
    blank, bracket = (sql.find(end, _BLANK_FROM, _BLANK_TO) for end in (b" ", b"("))
    return sql[: blank + _BEHIND_BLANK], sql[: bracket + 1]


def _is_plain(joined: bytes) -> bool:
    """Whether texts, joined, are each one statement, in UTF-8."""
    return b";" not in joined and _is_utf8(joined)


def _is_utf8(sql: bytes) -> bool:
    if sql.isascii():
        return True
    try:
        sql.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _plain_tables(found: re.Match[bytes]) -> frozenset[str] | None:
    """The table of a plain statement; None when its name may be a word of the statement."""
    parts = [part.decode("utf-8") for part in found.group("first", "second") if part is not None]
    if upper_ascii(parts[0]) in TRAPS:
        return None
    return frozenset((table_name([part[1:-1] if part[0] in '"`' else fold_name(part) for part in parts]),))
