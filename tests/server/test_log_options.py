"""Options about a log: what belongs together, and what can be chosen."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.python import usage

from spgrepl.errors import UsageError
from spgrepl.log.transactions.groups import OnAmbiguity
from spgrepl.server import log_options
from spgrepl.server.log_options import TransactionOptions
from spgrepl.server.plain_usage import PlainUsage


class Options(TransactionOptions):
    """Options of a role."""

    optParameters = [  # noqa: RUF012, N815 - Twisted's
        log_options.OPEN_TRANSACTIONS,
        ["ambiguous-transactions", None, "stop", "When they overlap."],
        ["max-record", None, None, "The longest record."],
        ["max-frame", None, None, "The longest frame."],
        *log_options.SKIP,
    ]

    def value(self, name: str, parse: Any) -> Any:
        return parse(self[name])

    def value_or(self, name: str, parse: Any, default: Any) -> Any:
        return default if self[name] is None else parse(self[name])


def parsed(*words: str) -> Options:
    options = Options()
    options.parseOptions(words)
    return options


@pytest.mark.parametrize(
    "words", [["--open-transactions", "drop-after", "60"], ["--open-transactions=drop-after 60"]]
)
def test_two_words_are_one_option(words: list[str]) -> None:
    choices = parsed(*words, "--ambiguous-transactions", "merge").choices()
    assert (choices.drop_after, choices.ambiguous) == (60, OnAmbiguity.MERGE)
    assert parsed().choices().drop_after is None


@pytest.mark.parametrize(
    "words",
    [
        ["--open-transactions", "drop-after"],
        ["--open-transactions", "drop-after", "60", "--open-transactions", "drop-after"],
        ["--open-transactions", "drop-after", "-1"],
        ["--open-transactions", "never"],
    ],
)
def test_half_of_it_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError, match="--open-transactions"):
        parsed(*words).choices()


def test_what_cannot_be_chosen_is_named_with_what_can() -> None:
    with pytest.raises(usage.UsageError, match="--ambiguous-transactions is stop or merge, not 'x'"):
        parsed("--ambiguous-transactions", "x")


def test_a_record_to_skip_is_meant_by_both() -> None:
    options = parsed("--skip-at", "5", "--skip-crc", "0000abcd")
    log_options.check_skip(options)
    request = log_options.skip_request(options)
    assert request is not None
    assert (request.position, request.crc) == (5, 0xABCD)
    assert log_options.skip_request(parsed()) is None
    for words in (("--skip-at", "5"), ("--skip-crc", "1")):
        with pytest.raises(usage.UsageError, match="belong together"):
            log_options.check_skip(parsed(*words))


def test_a_frame_holds_the_longest_record() -> None:
    size = 5 * 1024 * 1024
    assert log_options.read_max_record(parsed("--max-record", str(size))) == size
    assert log_options.read_max_frame(parsed("--max-record", str(size))) > size
    assert log_options.read_max_frame(parsed("--max-record", "9000", "--max-frame", "8000")) == 8000


@pytest.mark.parametrize(
    ("engine", "words", "message"),
    [
        ("counting", {"nondeterministic": "approximate"}, "is for --engine sqlite and postgresql"),
        ("sqlite", {"nondeterministic": "guess"}, "--nondeterministic is stop or approximate, not 'guess'"),
        ("sqlite", {"on-divergence": "x"}, "--on-divergence is"),
    ],
)
def test_choices_of_a_replica(engine: str, words: dict[str, str], message: str) -> None:
    options = PlainUsage()
    options.update({"engine": engine, "on-divergence": "stop", "nondeterministic": "stop"})
    log_options.check_replica_choices(options)
    options.update(words)
    with pytest.raises(usage.UsageError, match=message):
        log_options.check_replica_choices(options)


def test_publications_or_all_tables() -> None:
    options = PlainUsage()
    for publications, everything, fits in (
        (["p"], False, True),
        ([], True, True),
        ([], False, False),
        (["p"], True, False),
    ):
        options.update({"publications": publications, "all-tables": everything})
        if fits:
            log_options.check_publications(options)
        else:
            with pytest.raises(usage.UsageError):
                log_options.check_publications(options)
