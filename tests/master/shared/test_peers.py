"""Peers by their configured names."""

from __future__ import annotations

import pytest

from spgrepl.errors import UsageError
from spgrepl.master.shared.peers import NamedPeer, PeerNames, SentCounts
from spgrepl.watch.status import ConnectedPeer, Sent, SubscriberPeer


def names(*texts: str) -> PeerNames:
    return PeerNames([NamedPeer.parse(text) for text in texts])


@pytest.mark.parametrize("text", ["berlin", "=10.0.0.1", "berlin=", "berlin=nowhere", "a=10.0.0.0/99"])
def test_what_is_no_peer(text: str) -> None:
    with pytest.raises(UsageError, match="NAME=ADDRESS"):
        NamedPeer.parse(text)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.0.0.7:4711", "berlin"),
        ("10.1.200.3:4711", "lab"),
        ("[2001:db8::5]:4711", "six"),
        ("[::ffff:10.0.0.7]:4711", "berlin"),
        ("[fe80::1%eth0]:1", None),
        ("10.0.0.8:4711", None),
        ("unix:/run/x", None),
        ("a local process", None),
    ],
)
def test_a_name_goes_by_the_address(address: str, name: str | None) -> None:
    known = names("berlin=10.0.0.7", "lab=10.1.0.0/16", "six=2001:db8::/32")
    assert known.seen(address, 1.0) == name
    assert known.seen(address, 2.0) == name


def test_of_two_that_match_the_first_one_counts() -> None:
    assert names("one=10.0.0.7", "all=0.0.0.0/0").seen("10.0.0.7:1", 0.0) == "one"


def peer(subscriber: SubscriberPeer | None = None, name: str | None = None) -> ConnectedPeer:
    return ConnectedPeer(
        name=name, address="10.0.0.7:1", state="streaming", certificate=None, subscriber=subscriber
    )


def test_who_is_away() -> None:
    known = names("berlin=10.0.0.7", "lab=10.1.0.0/16")
    known.seen("10.0.0.7:4711", 100.0)
    here = [peer(name="berlin")]
    assert [(one.name, one.address, one.away_seconds) for one in known.away(here, 110.0)] == [
        ("lab", "10.1.0.0/16", None)
    ]
    assert [(one.name, one.address, one.away_seconds) for one in known.away([], 110.0)] == [
        ("berlin", "10.0.0.7", 10.0),
        ("lab", "10.1.0.0/16", None),
    ]


def test_what_was_sent_to_those_that_have_gone_is_not_forgotten() -> None:
    sent = SentCounts()
    sent.add(peer(SubscriberPeer(None, (), (), 3, {"ddl": 10})))
    sent.add(peer())
    still = peer(SubscriberPeer(None, (), (), 4, {"ddl": 1, "control": 2}))
    assert sent.with_those([still, peer()]) == Sent(7, {"ddl": 11, "control": 2})
