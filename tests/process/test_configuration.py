"""Configuration files: all of the command line is in them; a mistake is named by file, line and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from spgrepl.errors import ConfigurationError
from spgrepl.process.configuration import KINDS, ProcessConfiguration, load_configuration
from spgrepl.process.words import option_names

CONTRIB = Path(__file__).parent.parent.parent / "contrib"
GOOD = '[[master]]\nname = "a"\nlisten = "127.0.0.1:1"\ndb = "a.db"\n'


CLIENT = '[[master.access]]\naddress = "10.1.0.0/16"\nmay = ["p", "q"]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def load(folder: Path, text: str) -> ProcessConfiguration:
    file = folder / "c.toml"
    file.write_text(text)
    found = load_configuration(file)
    found.check(MemoryReactorClock())
    return found


@pytest.mark.parametrize(
    ("http", "meant"),
    [
        ("8080", "127.0.0.1:8080"),
        ("tcp:8080", "tcp:8080:interface=127.0.0.1"),
        ("10.0.0.1:8080", "10.0.0.1:8080"),
    ],
)
def test_the_site_of_the_process_is_for_this_machine_unless_another_address_is_named(
    folder: Path, http: str, meant: str
) -> None:
    """As with --http of a role."""
    assert load(folder, f'[process]\nhttp = "{http}"\n{GOOD}').http == meant


def test_roles_and_what_is_for_all_of_them(folder: Path) -> None:
    found = (
        load(
            folder,
            '[process]\nhttp = "127.0.0.1:2"\nready-lag = 3\non-failure = "go-on"\n'
            + GOOD
            + "strict-publications = true\ninsecure = false\nmax-connections = 7\n"
            'peer = ["x=10.0.0.1", "y=10.0.0.2"]\n'
            '[[follower]]\nname = "b"\ndb = "/var/b.db"\nmaster = "127.0.0.1:1"\n'
            'stalled-reader = 1.5\nlisten = "unix:/b"\n'
            '[[subscriber]]\nname = "c"\ndb = "c.db"\nmaster = "127.0.0.1:1"\npublication = "p"\n',
        )
        if Path("/var").is_dir()
        else None
    )
    assert found is not None
    assert (found.http, found.ready_lag, found.keep_going) == ("127.0.0.1:2", 3.0, True)
    assert [entry.key for entry in found.roles] == [("master", "a"), ("follower", "b"), ("subscriber", "c")]
    assert found.roles[0].words == (
        "--listen=127.0.0.1:1",
        f"--db={folder}/a.db",
        "--strict-publications",
        "--max-connections=7",
        "--peer=x=10.0.0.1",
        "--peer=y=10.0.0.2",
    )
    assert found.roles[1].words[0] == "--db=/var/b.db"
    assert "--name=c" in found.roles[2].words


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_of_the_command_line_is_a_field(folder: Path, kind: str) -> None:
    options = KINDS[kind]()
    kinds = option_names(options)
    assert set(kinds) == {name.removesuffix("=") for name in options.longOpt} - {"help", "version"}
    values: dict[str, Any] = {"value": '"1"', "flag": "true", "list": '["1"]'}
    fields = {name: values[form] for name, form in kinds.items()}
    fields["name"] = '"n"'
    text = f"[[{kind}]]\n" + "".join(f"{name} = {value}\n" for name, value in fields.items())
    file = folder / "c.toml"
    file.write_text(text)
    (entry,) = load_configuration(file).roles
    said = {word.removeprefix("--").split("=")[0] for word in entry.words}
    assert said | {"name"} == set(kinds) | {"name"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "c.toml: it names no role"),
        ("[[master\n", "c.toml:1: it is not TOML"),
        ("x = 1\n" + GOOD, "c.toml:1: [] x: there is no such table"),
        (GOOD + "[other]\n", "c.toml:5: [other]: there is no such table; there are process, master"),
        (
            GOOD + "max-conections = 5\n",
            "c.toml:5: [master] max-conections: there is no such option of a master (is max-connections meant?)",
        ),
        (GOOD + "insecure = 1\n", "c.toml:5: [master] insecure: expected true or false, found 1"),
        (GOOD + "max-connections = true\n", "c.toml:5: [master] max-connections: expected a text or a number"),
        (
            GOOD + "max-connections = 0\n",
            "c.toml:5: [master] max-connections: --max-connections: '0' is not a number",
        ),
        (GOOD + 'peer = ["x"]\n', "c.toml:5: [master] peer: --peer: 'x' is not NAME=ADDRESS"),
        (GOOD + "\n# a comment\n\n" + GOOD, "c.toml:8: [master] a: there are two of the name 'a'"),
        ('[[master]]\nname = "a"\nlisten = "127.0.0.1:1"\n', "c.toml:1: [master] db: --db is missing"),
        ('[[master]]\ndb = "a.db"\n', "c.toml:1: [master]: 'name' is missing"),
        ("[[master]]\nname = 5\n", "c.toml:2: [master] name: expected a text, found 5"),
        ("master = 5\n", "c.toml:1: [] master: expected a table"),
        ("process = 5\n" + GOOD, "c.toml:1: [] process: expected a table"),
        ("[process]\nhtpp = 5\n" + GOOD, "c.toml:2: [process] htpp: there is no such option; there are http"),
        (GOOD + "access = []\n", "c.toml:5: [master] access: it names no client"),
        (GOOD + "access = 5\n", "c.toml:5: [master] access: --access: "),
        (
            GOOD + "[[master.access]]\nmay = 'nothing'\n",
            "c.toml:6: [master.access] may: client 1: it says of nobody",
        ),
        (
            GOOD + CLIENT + GOOD.replace('"a"', '"b"') + CLIENT + "# two\n[[master.access]]\nuser = 0\nmay = 7\n",
            "c.toml:18: [master.access] may: client 2: may = 7 is not",
        ),
        (GOOD + CLIENT + "nay = 1\n", "c.toml:8: [master.access] nay: client 1: 'nay' has no meaning"),
        (
            GOOD + 'access = [{ address = "10.0.0.0/99", may = "physical" }]\n',
            "c.toml:5: [master] access: client 1: the address",
        ),
        ("[process]\nhttp = 5\n" + GOOD, "c.toml:2: [process] http: expected an endpoint, found 5"),
        ('[process]\nhttp = "nowhere:x"\n' + GOOD, "c.toml:2: [process] http: 'nowhere:x' is not an endpoint"),
        ("[process]\nready-lag = -1\n" + GOOD, "c.toml:2: [process] ready-lag: '-1' is not a duration"),
        ('[process]\non-failure = "x"\n' + GOOD, "c.toml:2: [process] on-failure: expected exit or go-on"),
    ],
)
def test_a_mistake_is_named_by_file_line_and_field(folder: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(folder, text)
    assert expected in str(raised.value)


def test_what_clients_may_do_stands_in_the_configuration(folder: Path) -> None:
    (entry,) = load(folder, GOOD + CLIENT + '[[master.access]]\nuser = 0\nmay = "physical"\n').roles
    assert entry.access is not None
    one, other = entry.access.rules
    assert (str(one.network), one.rights.publications) == ("10.1.0.0/16", {"p", "q"})
    assert (other.user, other.rights.physical) == (0, True)
    (changed,) = load(folder, GOOD + CLIENT).roles
    assert entry != changed
    assert changed == load(folder, "# moved\n" + GOOD + CLIENT).roles[0]


def test_a_follower_without_followers_has_no_access_to_say(folder: Path) -> None:
    text = '[[follower]]\nname = "f"\nmaster = "127.0.0.1:1"\ndb = "f.db"\n' + CLIENT.replace("master", "follower")
    with pytest.raises(ConfigurationError, match=r"\[follower\] access: --access is for followers"):
        load(folder, text)


def test_a_file_that_is_missing_or_no_text(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing\.toml: No such file"):
        load_configuration(folder / "nothing.toml")
    (folder / "c.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_configuration(folder / "c.toml")


def test_the_example_is_good() -> None:
    found = load_configuration(CONTRIB / "spgrepl.toml")
    found.check(MemoryReactorClock())
    assert [entry.kind for entry in found.roles] == ["master", "follower", "subscriber"]
