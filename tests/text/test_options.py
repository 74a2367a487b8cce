"""What users type becomes numbers and endpoints, or an error that says what to write."""

from __future__ import annotations

import pytest
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.testing import MemoryReactorClock

from spgrepl.access import endpoints
from spgrepl.errors import UsageError
from spgrepl.text import options
from spgrepl.wire.segment_chunks import MAX_CHUNK


@pytest.fixture
def reactor() -> MemoryReactorClock:
    return MemoryReactorClock()


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("64M", 64 * 2**20), ("1 GiB", 2**30), ("3kb", 3072), (" 5K ", 5120)]
)
def test_sizes(text: str, size: int) -> None:
    assert options.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5M", "M", "1T", "many"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size: write bytes above 0"):
        options.parse_size(text)


def test_chunk_sizes() -> None:
    assert options.parse_chunk("16M") == options.LARGEST_CHUNK == MAX_CHUNK
    with pytest.raises(UsageError, match="'17M' is more than a chunk may carry: 16M at most"):
        options.parse_chunk("17M")


@pytest.mark.parametrize(("text", "seconds"), [("60", 60.0), ("0.5", 0.5), ("1e3", 1000.0)])
def test_seconds(text: str, seconds: float) -> None:
    assert options.parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "soon"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        options.parse_seconds(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "²"])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(UsageError, match="is not a number from 1 on"):
        options.parse_count(text)


def test_positions_and_counts() -> None:
    assert options.parse_position("0") == 0
    assert options.parse_position(str(2**64 - 1)) == 2**64 - 1
    assert options.parse_count("7") == 7


@pytest.mark.parametrize("text", ["", "-1", str(2**64), "0x10", "٣"])
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(UsageError, match="is not a position"):
        options.parse_position(text)


@pytest.mark.parametrize("text", ["deadbeef", "0xDEADBEEF"])
def test_checksums(text: str) -> None:
    assert options.parse_crc(text) == 0xDEADBEEF


@pytest.mark.parametrize("text", ["", "0x", "123456789", "xyz", "-1"])
def test_what_is_no_checksum(text: str) -> None:
    with pytest.raises(UsageError, match="is not a CRC-32"):
        options.parse_crc(text)


@pytest.mark.parametrize(
    ("text", "kind", "where"),
    [
        ("127.0.0.1:7433", TCP4ServerEndpoint, ("127.0.0.1", 7433)),
        ("tcp:7433:interface=127.0.0.1", TCP4ServerEndpoint, ("127.0.0.1", 7433)),
        ("tcp:7433", TCP4ServerEndpoint, ("", 7433)),
        ("[::1]:7433", TCP6ServerEndpoint, ("::1", 7433)),
    ],
)
def test_endpoints_to_listen_on(
    reactor: MemoryReactorClock, text: str, kind: type, where: tuple[str, int]
) -> None:
    endpoint = endpoints.server_endpoint(reactor, text)
    assert isinstance(endpoint, kind)
    assert (endpoint._interface, endpoint._port) == where  # type: ignore[attr-defined]


def test_a_socket_file_to_listen_on(reactor: MemoryReactorClock) -> None:
    assert isinstance(endpoints.server_endpoint(reactor, "unix:/run/spgrepl"), UNIXServerEndpoint)


@pytest.mark.parametrize(
    ("text", "backlog"),
    [
        ("127.0.0.1:7433", 1024),
        ("[::1]:7433", 1024),
        ("tcp:7433", 1024),
        ("tcp:7433:backlog=7", 7),
        ("unix:/run/spgrepl:mode=660", 1024),
        ("unix:/run/spgrepl:backlog=7", 7),
    ],
)
def test_many_may_wait_to_be_accepted(reactor: MemoryReactorClock, text: str, backlog: int) -> None:
    """With Twisted's own 50, a flood of strangers keeps those away who belong there."""
    endpoint = endpoints.server_endpoint(reactor, text)
    assert endpoint._backlog == backlog  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["", "7433x", "localhost", "tcp", "tcp:many", "unix", "localhost:70000"])
def test_what_is_no_endpoint_to_listen_on(reactor: MemoryReactorClock, text: str) -> None:
    with pytest.raises(UsageError, match=r"endpoint to listen on|names port 70000"):
        endpoints.server_endpoint(reactor, text)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("db.example.org:7433", ("db.example.org", 7433)),
        ("127.0.0.1:7433", ("127.0.0.1", 7433)),
        ("[2001:db8::1]:7433", ("2001:db8::1", 7433)),
        ("tcp:db.example.org:7433", ("db.example.org", 7433)),
    ],
)
def test_endpoints_to_connect_to(reactor: MemoryReactorClock, text: str, where: tuple[str, int]) -> None:
    endpoint = endpoints.client_endpoint(reactor, text)
    assert (
        (endpoint._hostText, endpoint._port) == where
        if isinstance(endpoint, HostnameEndpoint)
        else (
            endpoint._host,  # type: ignore[attr-defined]
            endpoint._port,  # type: ignore[attr-defined]
        )
        == where
    )


def test_a_socket_file_to_connect_to(reactor: MemoryReactorClock) -> None:
    assert isinstance(endpoints.client_endpoint(reactor, "unix:/run/spgrepl"), UNIXClientEndpoint)


@pytest.mark.parametrize("text", ["", "7433", "localhost", "tcp", "tcp:7433", "unix", "localhost:70000"])
def test_what_is_no_endpoint_to_connect_to(reactor: MemoryReactorClock, text: str) -> None:
    with pytest.raises(UsageError, match=r"endpoint to connect to|names port 70000"):
        endpoints.client_endpoint(reactor, text)


@pytest.mark.parametrize("text", ["ssl:0:privateKey=/no/key.pem", "ssl:0"])
def test_a_tls_endpoint_that_cannot_be_is_named(reactor: MemoryReactorClock, text: str) -> None:
    with pytest.raises(UsageError, match=r"^'ssl:0[^']*' cannot be used: \S+.pem cannot be read: No such file"):
        endpoints.server_endpoint(reactor, text)


def test_a_plugin_for_endpoints_may_raise_anything(
    reactor: MemoryReactorClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr(endpoints, "serverFromString", broken)
    with pytest.raises(
        UsageError, match=r"'odd:1:2' is not an endpoint to listen on \(no luck\); write HOST:PORT"
    ):
        endpoints.server_endpoint(reactor, "odd:1:2")
