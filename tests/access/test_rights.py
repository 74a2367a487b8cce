"""Who may do what: the table, the file that it is in, and how a client is known."""

from __future__ import annotations

import os
import socket
import tomllib
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock

from spgrepl.access.client import Client
from spgrepl.access.policy import Access
from spgrepl.access.rights import EVERYTHING, NOTHING, AccessFile, AccessTable, Rights
from spgrepl.errors import ConfigurationError, UsageError

TABLE = """
[[client]]
certificate = "copy"
may = "physical"

[[client]]
certificate = "reports"
address = "10.1.0.0/16"
may = ["Orders", '"Old"']

[[client]]
user = 0
may = "physical"

[[client]]
address = "10.0.0.0/8"
may = "nothing"

[[client]]
address = "2001:db8::/32"
may = ["p"]
"""


def at(host: str, *names: str) -> Client:
    kind = IPv6Address if ":" in host else IPv4Address
    return Client(kind("TCP", host, 4000), names)


def table(text: str = TABLE) -> AccessTable:
    return AccessTable.read(tomllib.loads(text))


@pytest.mark.parametrize(
    ("client", "rights"),
    [
        (at("192.0.2.1", "copy"), EVERYTHING),
        (at("192.0.2.1", "other", "copy"), EVERYTHING),
        (at("10.1.2.3", "reports"), Rights(publications=frozenset({"orders", "Old"}))),
        (at("10.2.2.3", "reports"), NOTHING),
        (at("::ffff:10.1.2.3", "reports"), Rights(publications=frozenset({"orders", "Old"}))),
        (at("192.0.2.1", "reports"), NOTHING),
        (at("192.0.2.1"), NOTHING),
        (at("127.0.0.1"), NOTHING),
        (at("2001:db8::1"), Rights(publications=frozenset({"p"}))),
        (Client(UNIXAddress(None), user=0), EVERYTHING),
        (Client(UNIXAddress(None), user=1), NOTHING),
    ],
)
def test_the_first_entry_that_fits_counts(client: Client, rights: Rights) -> None:
    assert table().rights_of(client) == rights


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"has \[\[client\]\] entries$"),
        ("more = 1", "and no 'more'"),
        ("client = []", "entries"),
        ('client = ["a"]', "client 1: 'a' is not a table"),
        ('[[client]]\nmay = "physical"', "says of nobody what he may do"),
        ('[[client]]\nuser = 0\nmay = "all"', "may = 'all' is not"),
        ("[[client]]\nuser = 0", "may = None is not"),
        ("[[client]]\nuser = 0\nmay = []", r"may = \[\] is not"),
        ("[[client]]\nuser = 0\nmay = [1]", r"may = \[1\] is not"),
        ("[[client]]\nuser = 0\nmay = ['\"a']", "is not a name"),
        ('[[client]]\nuser = "nobody at all"\nmay = "nothing"', "there is no user 'nobody at all'"),
        ('[[client]]\naddress = "10.0.0.1/8"\nmay = "nothing"', "is not an address or a network"),
        ('[[client]]\ncertificate = 1\nmay = "nothing"', "the certificate 1 is not a name"),
        ('[[client]]\nuser = 0\nrole = 1\nmay = "nothing"', "'role' has no meaning"),
    ],
)
def test_what_is_no_table(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        table(text)


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    clock, path, client = Clock(), tmp_path / "access.toml", at("192.0.2.1", "copy")
    with pytest.raises(UsageError, match=r"access.toml cannot be read: No such file"):
        AccessFile(clock, path)
    path.write_text(TABLE)
    access = Access(table=AccessFile(clock, path))
    assert access.rights_of(client) == EVERYTHING
    path.write_text("not TOML at all")
    assert access.rights_of(client) == EVERYTHING, "what is wrong shuts nobody out, and lets nobody in"
    path.write_text('[[client]]\ncertificate = "copy"\nmay = ["p"]')
    assert access.rights_of(client) == Rights(publications=frozenset({"p"}))
    os.unlink(path)
    path.write_text("[[client]]\nuser = 0\nmay = 1")
    with pytest.raises(UsageError, match=r"access.toml: client 1: may = 1"):
        AccessFile(clock, path)


def test_without_a_table() -> None:
    """This machine, and whoever has shown a certificate; everybody where the operator says so."""
    assert Access().rights_of(at("127.0.0.1")) == EVERYTHING
    assert Access().rights_of(Client(UNIXAddress(None), user=5)) == EVERYTHING
    assert Access().rights_of(at("192.0.2.1", "anybody")) == EVERYTHING
    assert Access().rights_of(at("192.0.2.1")) == NOTHING
    assert Access(insecure=True).rights_of(at("192.0.2.1")) == EVERYTHING
    assert Access(insecure=True, table=table()).rights_of(at("192.0.2.1")) == NOTHING


def test_where_one_may_listen() -> None:
    for address in (IPv4Address("TCP", "127.0.0.1", 1), IPv6Address("TCP", "::1", 1), UNIXAddress(b"/a")):
        Access().check_port(address, certificates=False)
    remote = IPv4Address("TCP", "0.0.0.0", 1)
    with pytest.raises(ConfigurationError, match=r"other machines can connect to 0.0.0.0"):
        Access().check_port(remote, certificates=False)
    Access().check_port(remote, certificates=True)
    Access(insecure=True).check_port(remote, certificates=False)


def test_the_user_of_a_unix_socket_is_what_the_kernel_says(tmp_path: Path) -> None:
    class Transport:
        def __init__(self, handle: Any) -> None:
            self.socket = handle

        def getPeer(self) -> UNIXAddress:
            return UNIXAddress(None)

    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        client = Client.of(Transport(one))
    assert client.user == os.getuid()
    assert str(client) == f"the UNIX user {os.getuid()}"
