"""One statement of an SPG server's log after the other, run on a copy."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence

import apsw

from spgrepl.spg.to_sqlite import COLUMNS_TABLE
from spgrepl.spgsql.alterations import AlterationReader
from spgrepl.spgsql.changes import plan_change, plan_create_as
from spgrepl.spgsql.counts import Counts
from spgrepl.spgsql.definitions import TableReader
from spgrepl.spgsql.language.kinds import Effect, does_more, kind_of
from spgrepl.spgsql.language.lexing import (
    Dialect,
    Literal,
    Token,
    head_words,
    lex,
    literals_of,
    split,
    template,
)
from spgrepl.spgsql.language.statements import StatementReader
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.meanings import SETTING, ZONE, MeaningReader
from spgrepl.spgsql.typed import functions
from spgrepl.spgsql.typed.expressions import Compiler
from spgrepl.spgsql.typed.plan import Plan, Step
from spgrepl.spgsql.typed.schema import Schema

_MOST_PLANS = 2048
_EMPTY = "(nothing but a comment)"
_THERE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "TRUNCATE", "SELECT"})

Run = Callable[[str, Sequence[object]], "list[tuple[object, ...]]"]
"""Runs one statement of SQLite's with values, guarded; returns its rows."""


class Nondeterministic(enum.Enum):
    """What to do about values that every replica computes for itself."""

    STOP = "stop"
    APPROXIMATE = "approximate"


def holds_spg(connection: apsw.Connection) -> bool:
    """Whether a database was made from an SPG server's, so that its log is read as SPG's."""
    return connection.execute(_THERE, (COLUMNS_TABLE,)).fetchone() is not None


class SpgReplay:
    """Runs statements of an SPG server's log.

    Args:
        connection: The copy. The transaction is the caller's.
        policy: What to do about values that every replica computes for itself.
        run: Runs what a statement comes to.
    """

    def __init__(self, connection: apsw.Connection, policy: Nondeterministic, run: Run) -> None:
        functions.register(connection)
        self.connection = connection
        self._approximate = policy is Nondeterministic.APPROXIMATE
        self._run = run
        self._schema = Schema(connection)
        self._counts = Counts(connection)
        self._plans: dict[str, Plan] = {}
        self._changed = False
        self._clock: Callable[[int], int | None] = lambda _index: None
        self._index = 0

    # -- the transaction --------------------------------------------------------------------------------------

    def store(self) -> None:
        """Write what was counted, in the transaction that is about to be committed."""
        self._counts.store()

    def committed(self) -> None:
        """The transaction was committed."""
        self._counts.committed()
        self._changed = False

    def undone(self) -> None:
        """The transaction was rolled back."""
        self._counts.undone()
        if self._changed:
            self._forget()
            self._changed = False

    def _forget(self) -> None:
        """The schema is, or may be, another one than the plans were made for."""
        self._schema.forget()
        self._plans.clear()

    def tell_clock(self, clock: Callable[[int], int | None]) -> None:
        """Take who knows the time of the statements that come next, by their index; see `IClocked`."""
        self._clock = clock

    def as_values(self) -> Mapping[str, object]:
        """For the status; see `Counts.as_values`."""
        return self._counts.as_values()

    # -- statements -------------------------------------------------------------------------------------------

    def pieces(self, text: str, dialect: Dialect) -> list[str]:
        """The statements of a record. Raises `StatementStopped` where it cannot be read."""
        return split(text, dialect) if ";" in text else [text]

    def execute(self, text: str, index: int = 0, dialect: Dialect = Dialect.POSTGRESQL) -> None:
        """Run one statement.

        Args:
            text: The statement.
            index: Its index among those that the clock knows.
            dialect: Whose SQL it is.

        Raises:
            StatementStopped: It is not run here; the reason says why.
            apsw.Error: SQLite refuses it.
        """
        self._index = index
        try:
            self._execute(text, dialect)
        except RecursionError as error:
            raise StatementStopped("it is nested too deep") from error

    def _execute(self, text: str, dialect: Dialect) -> None:
        known = template(text) if dialect is Dialect.POSTGRESQL else None
        if known is not None:
            plan = self._plans.get(known[0])
            if plan is not None:
                self._run_plan(plan, known[1])
                return
        words = head_words(text, dialect)
        if words is None:
            self._counts.skip(_EMPTY)
            return
        kind = kind_of(words)
        if kind is None:
            shown = " ".join(words) or repr(text.strip()[:20])
            raise StatementStopped(
                f"a statement that begins with {shown} is not known in the log of an SPG server"
            )
        if kind.effect is Effect.UNKNOWN:
            raise StatementStopped(f"{kind.name}: {kind.why}")
        if (more := does_more(words, text)) is not None:
            raise StatementStopped(more)
        if kind.effect is Effect.NONE:
            self._counts.skip(kind.name)
        elif kind.effect is Effect.KEPT:
            self._alter(MeaningReader(text, dialect, self._schema))
            self._counts.skip(kind.name)
        else:
            self._execute_rows(text, words, dialect, known)

    def _execute_rows(
        self, text: str, words: list[str], dialect: Dialect, known: tuple[str, list[Literal]] | None
    ) -> None:
        """Run a statement that changes rows or tables."""
        tokens = lex(text, dialect)
        if words[0] in _CHANGES:
            literals = literals_of(tokens)
            plan = self._plan(tokens, literals, dialect)
            self._run_plan(plan, literals)
            if known is not None and not plan.fixed and known[1] == literals:
                if len(self._plans) >= _MOST_PLANS:
                    self._plans.clear()
                self._plans[known[0]] = plan
        elif words[0] == "CREATE" and "TABLE" in words:
            self._create_table(text, tokens, dialect)
        else:
            self._alter(AlterationReader(text, dialect, self._schema))

    def transaction_word(self, text: str) -> None:
        """Run SAVEPOINT, RELEASE or ROLLBACK TO, which SQLite has as well."""
        self._run(text, ())
        if self._changed:
            self._forget()

    # -- rows -------------------------------------------------------------------------------------------------

    def _compiler(self, literals: Sequence[Literal], dialect: Dialect) -> Compiler:
        zones_differ = bool(self._schema.objects(SETTING, ZONE))
        return Compiler(self._schema, literals, dialect, self._approximate, zones_differ)

    def _plan(self, tokens: list[Token], literals: Sequence[Literal], dialect: Dialect) -> Plan:
        reader = StatementReader(tokens, dialect)
        node = reader.read()
        compiler = self._compiler(literals, dialect)
        compiler.fixed |= reader.fixed
        before = self._schema.connection.execute("PRAGMA schema_version").fetchone()
        plan = plan_change(compiler, node)
        if self._schema.connection.execute("PRAGMA schema_version").fetchone() != before:
            self._changed = True
            self._forget()
            return Plan(plan.steps, plan.approximated, frozenset({-1}))
        return plan

    def _run_plan(self, plan: Plan, literals: Sequence[Literal]) -> None:
        for step in plan.steps:
            rows = self._run(step.sql, self._values(step, literals))
            if step.must_be_empty and rows:
                raise StatementStopped(step.must_be_empty)
        for table, what in plan.approximated:
            self._counts.approximate(table, what)

    def _values(self, step: Step, literals: Sequence[Literal]) -> list[object]:
        return [binding.value(literals, self._now) for binding in step.bindings]

    def _now(self) -> int:
        found = self._clock(self._index)
        if found is None:
            raise StatementStopped("what time it was at the master is not known yet: it has not sent a STATUS")
        return found

    # -- schema -----------------------------------------------------------------------------------------------

    def _create_table(self, text: str, tokens: list[Token], dialect: Dialect) -> None:
        self._changed = True
        reader = TableReader(text, dialect, self._schema)
        name = reader.create_table()
        if name:
            query = reader.read_query()
            reader.accept("with", "data")
            reader.accept_operator(";")
            reader.expect_end()
            literals = literals_of(tokens)
            plan = plan_create_as(self._compiler(literals, dialect), name, query)
            self._run_plan(plan, literals)
        self._forget()

    def _alter(self, reader: AlterationReader) -> None:
        self._changed = True
        reader.run()
        self._forget()
