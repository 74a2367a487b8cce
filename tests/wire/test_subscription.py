"""The opening bytes of a subscriber's connection."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import HandshakeError
from spgrepl.wire.handshake import HelloParser
from spgrepl.wire.subscription import (
    MAGIC_SUBSCRIBER,
    MAX_HELLO,
    MAX_PUBLICATIONS,
    SubscriberHello,
    SubscriberHelloParser,
    SubscriberReply,
    SubscriberReplyParser,
)
from tests.wire.reference_hello import decode_subscriber_hello

VECTORS = Path(__file__).parent.parent / "vectors"
NAMES = sorted(path.stem for path in VECTORS.glob("sub_*.json"))

names = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=6)
u64 = st.integers(0, 2**64 - 1)


def recorded(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_recorded_hellos_and_replies_are_read_and_written_as_they_are(name):
    vector = recorded(name)
    hello = bytes.fromhex(vector["hello"])
    found, rest = HelloParser().feed(hello + b"more")
    assert isinstance(found, SubscriberHello)
    assert found.encode() == hello
    assert rest == b"more"
    reply = bytes.fromhex(vector["reply_head"])
    parsed, behind = SubscriberReplyParser().feed(reply + b"x")
    assert parsed.encode() == reply
    assert parsed.cluster_id == 0x0123456789ABCDEF
    assert behind == b"x"


def test_what_a_recorded_hello_says():
    found, _ = HelloParser().feed(bytes.fromhex(recorded("sub_two")["hello"]))
    assert found == SubscriberHello(48, ("p_t1", "p_q"), 0x4D)


@given(u64, names, u64, st.binary(max_size=5), st.lists(st.integers(0, 200), max_size=8))
def test_a_hello_is_read_the_same_way_however_it_is_cut(start, publications, cluster_id, behind, cuts):
    hello = SubscriberHello(start, tuple(publications), cluster_id)
    data = hello.encode() + behind
    parser = HelloParser()
    edges = [0, *sorted(min(cut, len(hello.encode()) - 1) for cut in cuts), len(data)]
    found = [parser.feed(data[a:b]) for a, b in itertools.pairwise(edges)]
    assert found[:-1] == [None] * (len(found) - 1)
    assert found[-1] == (hello, behind)


@given(u64, u64, st.integers(0, 16))
def test_a_reply_is_read_the_same_way_however_it_is_cut(start, cluster_id, cut):
    reply = SubscriberReply(start, cluster_id)
    parser = SubscriberReplyParser()
    first = parser.feed(reply.encode()[:cut])
    found = first if cut == 16 else parser.feed(reply.encode()[cut:])
    assert found == (reply, b"")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_hello_or_a_named_error(data):
    try:
        found = decode_subscriber_hello(MAGIC_SUBSCRIBER + data)
    except HandshakeError:
        return
    assert found is None or found[0].encode() == (MAGIC_SUBSCRIBER + data)[: found[1]]


def test_a_name_that_is_not_utf_8_is_refused():
    hello = SubscriberHello(1, ("ab",), 2).encode().replace(b"ab", b"\xff\xfe")
    with pytest.raises(HandshakeError, match=r"publication 1 .* not UTF-8"):
        HelloParser().feed(hello)


def test_a_long_hello_is_refused_before_it_is_waited_for():
    many = MAGIC_SUBSCRIBER + b"\0" * 8 + b"\x03\0" + (b"\xff\xff" + b"n" * 0xFFFF) * 3
    with pytest.raises(HandshakeError, match=f"the limit is {MAX_HELLO}"):
        HelloParser().feed(many[:20])


def test_a_hello_may_ask_for_so_many_publications_and_no_more():
    longest = MAGIC_SUBSCRIBER + b"\0" * 8
    with pytest.raises(HandshakeError, match="asks for 1001 publications, the limit is 1000"):
        HelloParser().feed(longest + (MAX_PUBLICATIONS + 1).to_bytes(2, "little"))
    names = tuple(map(str, range(MAX_PUBLICATIONS)))
    hello = SubscriberHello(0, names, 1)
    assert HelloParser().feed(hello.encode()) == (hello, b"")


@given(st.lists(st.text(max_size=10), max_size=4), st.lists(st.integers(0, 60), max_size=3))
def test_position_0_is_asked_for_by_one_more_name(publications, cuts):
    """A master that does not know it reads a publication that does not exist."""
    hello = SubscriberHello(0, tuple(publications), 7, from_zero=True)
    data = hello.encode()
    count, name = (len(publications) + 1).to_bytes(2, "little"), b"/* spgrepl: from position 0 */"
    assert data[16:18] == count
    assert data[:-8].endswith(len(name).to_bytes(2, "little") + name)
    parser = HelloParser()
    edges = [0, *sorted(cuts), len(data)]
    assert [parser.feed(data[a:b]) for a, b in itertools.pairwise(edges)][-1] == (hello, b"")


def test_position_0_is_not_asked_for_where_there_is_no_room():
    for names in (tuple(map(str, range(MAX_PUBLICATIONS))), ("n" * (MAX_HELLO - 40),)):
        assert HelloParser().feed(SubscriberHello(0, names, 1, True).encode()) == (
            SubscriberHello(0, names, 1),
            b"",
        )
    assert HelloParser().feed(SubscriberHello(5, ("p",), 1, True).encode())[0].from_zero is False


def test_more_than_the_protocol_carries_cannot_be_asked_for():
    with pytest.raises(ValueError, match="make a hello of 70028 bytes"):
        SubscriberHello(0, ("n" * 70_000,), 1).encode()


def test_a_hello_that_comes_byte_by_byte_is_looked_at_once():
    """A thousand empty names, each byte by itself: the work is that of the bytes, not of their square."""
    whole = SubscriberHello(0, ("",) * MAX_PUBLICATIONS, 1).encode()

    class Counting(SubscriberHelloParser):
        taken = 0

        def _take_name(self, count):
            self.taken += 1
            return super()._take_name(count)

    parser = Counting()
    for at in range(len(whole)):
        found = parser.feed(whole[at : at + 1])
    assert found is not None
    assert parser.taken <= 3 * MAX_PUBLICATIONS
