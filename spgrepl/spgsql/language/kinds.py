"""What may stand in an SPG server's log, by its first words, and what a replica does (PROTOCOL section 8)."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence

import attrs


class Effect(enum.Enum):
    """What a replica does about a statement."""

    NONE = "no effect on rows: skipped, and counted by kind"
    UNKNOWN = "an effect that nobody can know here: refused by name"
    KEPT = "no effect on rows, but on what later statements mean: noted, and counted by kind"
    ROWS = "changes rows or tables: run, with its literals stored by SPG's types"


@attrs.frozen
class Kind:
    """A line of the table.

    Attributes:
        words: The words that such a statement begins with. A word with ``|`` in it is any of several.
        effect: What is done about it.
        why: For a kind that is refused, what is unknown about it.
    """

    words: tuple[str, ...]
    effect: Effect
    why: str = ""

    @property
    def name(self) -> str:
        """What the status calls it."""
        return " ".join(self.words)


def _kinds(effect: Effect, *lines: str, why: str = "") -> tuple[Kind, ...]:
    return tuple(Kind(tuple(line.split()), effect, why) for line in lines)


_NOT_HERE = "what it runs, and what that does, is not in the log"

KINDS: tuple[Kind, ...] = (
    # -- what later statements mean
    *_kinds(Effect.KEPT, "SET", "CREATE TYPE", "CREATE DOMAIN", "DROP TYPE", "DROP DOMAIN", "ALTER TYPE"),
    *_kinds(Effect.KEPT, "ALTER DOMAIN", "ALTER USER|ROLE|DATABASE|SYSTEM"),
    # -- no effect on rows
    *_kinds(Effect.NONE, "RESET", "DISCARD", "PREPARE", "DEALLOCATE", "DECLARE", "FETCH", "CLOSE", "MOVE"),
    *_kinds(
        Effect.NONE, "LISTEN", "UNLISTEN", "NOTIFY", "LOCK", "UNLOCK", "VACUUM", "ANALYZE", "REINDEX", "CLUSTER"
    ),
    *_kinds(Effect.NONE, "COMMENT", "GRANT", "REVOKE", "CHECKPOINT", "SECURITY LABEL", "SHOW", "EXPLAIN", "USE"),
    *_kinds(Effect.NONE, "CREATE|DROP USER|ROLE", "CREATE|ALTER|DROP GROUP", "REASSIGN", "FLUSH", "OPTIMIZE"),
    *_kinds(Effect.NONE, "CREATE|ALTER|DROP SCHEMA", "CREATE|ALTER|DROP EXTENSION", "CREATE|ALTER|DROP POLICY"),
    *_kinds(
        Effect.NONE, "CREATE|ALTER|DROP SEQUENCE", "CREATE|ALTER|DROP STATISTICS", "CREATE|ALTER|DROP COLLATION"
    ),
    *_kinds(Effect.NONE, "CREATE|ALTER|DROP SERVER", "CREATE|ALTER|DROP TABLESPACE"),
    *_kinds(Effect.NONE, "CREATE|DROP DATABASE", "CREATE|DROP ACCESS", "ALTER DEFAULT", "ALTER INDEX"),
    *_kinds(Effect.NONE, "CREATE VIEW", "ALTER VIEW", "DROP VIEW"),
    *_kinds(Effect.NONE, "CREATE OR REPLACE VIEW", "CREATE TEXT SEARCH", "ALTER|DROP TEXT SEARCH"),
    *_kinds(Effect.NONE, "DROP FUNCTION|PROCEDURE|AGGREGATE|ROUTINE", "DROP OPERATOR", "DROP CAST"),
    *_kinds(Effect.NONE, "ALTER FUNCTION|PROCEDURE|AGGREGATE|ROUTINE"),
    # -- an effect that is unknown
    *_kinds(Effect.UNKNOWN, "DROP OWNED", why="which tables it drops is not in the log"),
    *_kinds(
        Effect.UNKNOWN,
        "CREATE TEMP|TEMPORARY VIEW",
        why="it is of one connection, which the log does not name, and hides a table of its name from that one",
    ),
    *_kinds(
        Effect.UNKNOWN,
        "PREPARE TRANSACTION",
        why="its transaction ends later, under a name, and what it has done is not told from that of others",
    ),
    *_kinds(Effect.UNKNOWN, "EXECUTE", why="the statement that was prepared stands elsewhere, or not in the log"),
    *_kinds(Effect.UNKNOWN, "DO", "CALL", why=_NOT_HERE),
    *_kinds(
        Effect.UNKNOWN,
        "CREATE FUNCTION|PROCEDURE|AGGREGATE",
        "CREATE OR REPLACE FUNCTION|PROCEDURE|AGGREGATE|TRIGGER",
        "CREATE|ALTER|DROP TRIGGER",
        "CREATE CONSTRAINT TRIGGER",
        "CREATE EVENT",
        "CREATE|ALTER|DROP RULE",
        "CREATE OR REPLACE RULE",
        why="what it makes, or stops, changes rows at the master, and those changes are not in the log",
    ),
    *_kinds(
        Effect.UNKNOWN,
        "REFRESH",
        "CREATE|ALTER|DROP MATERIALIZED",
        why="rows of a materialized view are computed by the master",
    ),
    *_kinds(Effect.UNKNOWN, "COPY", "LOAD", "IMPORT", why="the rows that it brings are not in the statement"),
    *_kinds(Effect.UNKNOWN, "MERGE", why="it is not translated"),
    *_kinds(
        Effect.UNKNOWN, "CREATE OPERATOR", "CREATE CAST", why="later statements would mean something else here"
    ),
    *_kinds(Effect.UNKNOWN, "VALUES", "TABLE", why="only what it calls can have changed rows"),
    # -- rows and tables
    *_kinds(Effect.ROWS, "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "TRUNCATE", "SELECT"),
    *_kinds(Effect.ROWS, "CREATE TABLE", "CREATE UNLOGGED TABLE", "CREATE TEMP|TEMPORARY TABLE"),
    *_kinds(Effect.ROWS, "CREATE GLOBAL|LOCAL TEMP|TEMPORARY TABLE", "ALTER TABLE", "DROP TABLE", "RENAME TABLE"),
    *_kinds(Effect.ROWS, "CREATE INDEX", "CREATE UNIQUE INDEX", "DROP INDEX"),
)
"""The table. Of several lines that fit, the longest one counts."""

_CASCADE = re.compile(r"\bCASCADE\b", re.IGNORECASE)

_WITH_COLUMNS = frozenset({"SCHEMA", "TYPE", "DOMAIN", "EXTENSION", "SERVER", "ACCESS"})
_WITH_DEFAULTS = frozenset(
    {"SEQUENCE", "FUNCTION", "PROCEDURE", "AGGREGATE", "ROUTINE", "COLLATION", "OPERATOR", "CAST", "TEXT"}
)

_ROW_SECURITY = re.compile(r"\b(?:ENABLE|FORCE)\s+ROW\s+LEVEL\s+SECURITY\b", re.IGNORECASE)

_MOST_WORDS = max(len(kind.words) for kind in KINDS)


def _expand(kind: Kind) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for word in kind.words:
        found = [(*before, one) for before in found for one in word.split("|")]
    return found


_BY_WORDS: dict[tuple[str, ...], Kind] = {
    words: attrs.evolve(kind, words=words) for kind in KINDS for words in _expand(kind)
}


def does_more(words: Sequence[str], text: str) -> str | None:
    """Why what a statement does is not all in the log; None where it is, as far as this can tell.

    It may drop tables or columns with something else, or hide rows from some users of a table.

    Args:
        words: Its first words in capitals.
        text: The statement.
    """
    if list(words[:2]) == ["ALTER", "TABLE"] and _ROW_SECURITY.search(text) is not None:
        return "row security: which rows a user of the master sees, and so changes, is not in the log from here on"
    if list(words[:1]) != ["DROP"] or len(words) < 2 or _CASCADE.search(text) is None:
        return None
    if words[1] in _WITH_COLUMNS:
        return f"DROP {words[1]} … CASCADE: which tables and columns it drops is not in the log"
    if words[1] in _WITH_DEFAULTS:
        return f"DROP {words[1]} … CASCADE: which columns, defaults and triggers it drops is not in the log"
    return None


def kind_of(words: Sequence[str]) -> Kind | None:
    """The kind of a statement, with its own words; None for one that is not known.

    Args:
        words: Its first words in capitals, without what is not a word; four are enough.
    """
    for count in range(min(_MOST_WORDS, len(words)), 0, -1):
        found = _BY_WORDS.get(tuple(words[:count]))
        if found is not None:
            return found
    return None
