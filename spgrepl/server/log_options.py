"""What may be chosen about a log: its longest record, one to skip, transactions that an SPG server leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from twisted.python import usage

from spgrepl.errors import UsageError
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.log.transactions.groups import OnAmbiguity, TransactionChoices
from spgrepl.postgresql.address import names_server
from spgrepl.replica.following.progress import SkipRequest
from spgrepl.replica.following.states import OnDivergence
from spgrepl.server.plain_usage import PlainUsage
from spgrepl.spgsql.replay import Nondeterministic
from spgrepl.text.options import parse_crc, parse_open_transactions, parse_position, parse_size
from spgrepl.wire.frames import frame_for

OPEN_TRANSACTIONS = [
    "open-transactions",
    None,
    "wait",
    "When a transaction of an SPG server does not end: wait; or drop-after SECONDS, as if it were rolled back.",
]

AMBIGUOUS = "When transactions of an SPG server overlap and end in different ways:"

WAL_LEVEL = [
    "wal-level",
    None,
    None,
    "replica: serve followers only; logical: serve subscribers too [default: what SET left, or replica].",
]
EXPECTED = {
    "listen": "say where followers connect, such as 127.0.0.1:7433",
    "master": "say where the master listens, such as 127.0.0.1:7433",
    "db": "name the file of the database",
    "name": "give the subscription a name, by which its place in the database is found",
}
"""What a role cannot do without, and what is expected there."""

FILES = [
    ["db", "d", None, "The database."],
    ["wal", "w", None, "Its log [default: the database's name with .wal]."],
]
SKIP = [
    ["skip-at", None, None, "Skip the record at this position, once; with --skip-crc."],
    ["skip-crc", None, None, "The CRC-32 of the record to skip, as the error names it."],
]
ON_DIVERGENCE = [
    "on-divergence",
    None,
    "stop",
    "When the master has a different history: stop (exit 76) or resnapshot.",
]
NONDETERMINISTIC = [
    "nondeterministic",
    None,
    "stop",
    "When a statement of an SPG server has a value that every replica computes for itself: stop or approximate.",
]


def check_replica_choices(options: PlainUsage) -> None:
    """Look at what was chosen where a log is applied.

    Raises:
        twisted.python.usage.UsageError: It is nothing that can be chosen.
    """
    for name, choices in (("on-divergence", OnDivergence), ("nondeterministic", Nondeterministic)):
        known = [choice.value for choice in choices]
        if options[name] not in known:
            raise usage.UsageError(f"--{name} is {' or '.join(known)}, not {options[name]!r}")
    runs = options["engine"] == "sqlite" or names_server(options["engine"])
    if options["nondeterministic"] != "stop" and not runs:
        raise usage.UsageError(
            "--nondeterministic approximate is for --engine sqlite and postgresql://…, which run statements"
        )


class TransactionOptions(PlainUsage):
    """The options of roles that serve a log or follow one."""

    ambiguous: ClassVar[Sequence[OnAmbiguity]] = (OnAmbiguity.STOP, OnAmbiguity.MERGE)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse; ``--open-transactions drop-after 60`` is one option with two words."""
        words = list(options or ())
        for at in range(len(words) - 2):
            # There are fewer words each time, and the last ones may be half of it.
            if words[at : at + 2] == ["--open-transactions", "drop-after"] and len(words) > at + 2:
                words[at + 1 : at + 3] = [f"drop-after {words[at + 2]}"]
        super().parseOptions(words)  # type: ignore[no-untyped-call]

    def choices(self) -> TransactionChoices:
        """What was chosen.

        Raises:
            UsageError: It is nothing that can be.
        """
        try:
            drop_after = parse_open_transactions(self["open-transactions"])
        except UsageError as error:
            raise UsageError(f"--open-transactions: {error}") from error
        return TransactionChoices(OnAmbiguity(self["ambiguous-transactions"]), drop_after)

    def postOptions(self) -> None:
        """Refuse what cannot be chosen about transactions that overlap."""
        super().postOptions()  # type: ignore[no-untyped-call]
        names = [choice.value for choice in self.ambiguous]
        if self["ambiguous-transactions"] not in names:
            raise usage.UsageError(
                f"--ambiguous-transactions is {' or '.join(names)}, not {self['ambiguous-transactions']!r}"
            )


def check_publications(options: PlainUsage) -> None:
    """Refuse to subscribe to nothing, or to everything and a part of it."""
    if options["publications"] and options["all-tables"]:
        raise usage.UsageError("--publication and --all-tables are both given: leave one out")
    if not options["publications"] and not options["all-tables"]:
        raise usage.UsageError("name the publications with --publication, or ask for --all-tables")


def check_skip(options: PlainUsage) -> None:
    """Refuse half of an order to skip a record."""
    if (options["skip-at"] is None) != (options["skip-crc"] is None):
        raise usage.UsageError("--skip-at and --skip-crc belong together: one record is meant, by both")


def skip_request(options: Any) -> SkipRequest | None:
    """The record that an operator ordered to skip; None where there is none."""
    if options["skip-at"] is None:
        return None
    return SkipRequest(options.value("skip-at", parse_position), options.value("skip-crc", parse_crc))


def read_max_record(options: Any) -> int:
    """The longest record that a role takes."""
    found: int = options.value_or("max-record", parse_size, DEFAULT_MAX_RECORD)
    return found


def read_max_frame(options: Any) -> int:
    """The longest frame that a copy takes: where it is not said, one that holds the longest record."""
    found: int = options.value_or("max-frame", parse_size, frame_for(read_max_record(options)))
    return found
