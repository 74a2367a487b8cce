"""Tables of a TOML file as words of a command line, and the lines of what is wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.errors import ConfigurationError
from spgrepl.process.words import Lines, Place, TablePlace, as_words, option_names
from spgrepl.server.plain_usage import PlainUsage

FILE = Path("/etc/spgrepl.toml")
TEXT = """# It is \u2028 one line.
[master]
db = "a.db"   # the first

[[follower]]
"db" = "b.db"
[[follower]]
master = "h:1"
[follower.site]
http = "8080"
"""


class Options(PlainUsage):
    """Options of a role."""

    optParameters = [["db", "d", None, "It."], ["lag", None, None, "It."]]  # noqa: RUF012, N815 - Twisted's
    optFlags = [["all", None, "It."]]  # noqa: RUF012, N815 - Twisted's

    def __init__(self) -> None:
        super().__init__()
        self["names"] = []

    def opt_name(self, name: str) -> None:
        """It."""
        self["names"].append(name)


@pytest.fixture
def lines() -> Lines:
    tomllib.loads(TEXT)
    return Lines(FILE, TEXT)


def words(table: dict[str, Any], lines: Lines) -> list[str]:
    return as_words(Options(), table, lines, "master", 0)


def test_each_field_and_table_has_its_line(lines: Lines) -> None:
    assert str(lines.field("master", 0, "db")) == "/etc/spgrepl.toml:3: [master] db"
    assert lines.field("follower", 0, "db").line == 6
    assert lines.field("follower", 1, "master").line == 8
    assert lines.field("follower", 1, "nothing").line == 7
    assert lines.table("follower", 1).line == 7
    inner = Lines.inner("follower", 1, "site")
    assert str(lines.field(inner, 0, "http")) == "/etc/spgrepl.toml:10: [follower.site] http"
    assert lines.table("subscriber").line is None


def test_line_ends_of_another_system_are_read_too() -> None:
    lines = Lines(FILE, TEXT.replace("\n", "\r\n"))
    assert (lines.table("master").line, lines.field("master", 0, "db").line) == (2, 3)


@settings(max_examples=40)
@given(st.text(max_size=20), st.booleans(), st.lists(st.text(max_size=5), max_size=3), st.integers())
def test_what_stands_in_the_file_is_what_the_options_get(
    lag: str, everything: bool, names: list[str], number: int
) -> None:
    lines, options = Lines(FILE, TEXT), Options()
    options.parseOptions(as_words(options, {"lag": lag, "all": everything, "name": names}, lines, "master", 0))
    assert (options["lag"], bool(options["all"]), options["names"]) == (lag, everything, names)
    options.parseOptions(as_words(options, {"lag": number}, lines, "master", 0))
    assert options["lag"] == str(number)


def test_files_are_meant_from_the_folder_of_the_configuration_on(lines: Lines) -> None:
    assert words({"db": "a.db"}, lines) == ["--db=/etc/a.db"]
    assert words({"db": "/var/a.db", "lag": "a.db"}, lines) == ["--db=/var/a.db", "--lag=a.db"]
    assert words({"name": "x", "all": False}, lines) == ["--name=x"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"dbs": "a"},
            r":2: \[master\] dbs: there is no such option of a master \(is db meant\?\); there are all",
        ),
        ({"db": True}, r":3: \[master\] db: expected a text or a number, found True"),
        ({"db": ["a"]}, r"expected a text or a number, found \['a'\]"),
        ({"all": "yes"}, "expected true or false, found 'yes'"),
        ({"name": [{"a": 1}]}, "expected a text or a number"),
        ({"help": True}, "there is no such option"),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(lines: Lines, table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        words(table, lines)


def test_an_error_that_names_an_option_names_its_line(lines: Lines) -> None:
    place = TablePlace.of(lines, "master", 0, "main")
    assert str(place.error("--db cannot be")) == "/etc/spgrepl.toml:3: [master] db: --db cannot be"
    assert str(place.error("it cannot be")) == "/etc/spgrepl.toml:2: [master] main: it cannot be"
    assert str(Place(FILE, None, "x").error("why")) == "/etc/spgrepl.toml: x: why"


def test_kinds_of_options() -> None:
    assert option_names(Options()) == {"db": "value", "lag": "value", "all": "flag", "name": "list"}
