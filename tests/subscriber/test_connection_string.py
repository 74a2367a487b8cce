"""The CONNECTION of a CREATE SUBSCRIPTION."""

import pytest
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint

from spgrepl.errors import UsageError
from spgrepl.subscriber.connection_string import connection_endpoint, parse_connection


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("host=db.example.org port=7433", "db.example.org", "7433"),
        (" port = 1  host = ::1 ", "::1", "1"),
        (r"host='a\'b \\' port='7'", "a'b \\", "7"),
    ],
)
def test_pairs_are_read_as_libpq_does(text, host, port):
    assert parse_connection(text) == {"host": host, "port": port}


@pytest.mark.parametrize(
    "text", ["", "host=a", "port=1", "host=a port=1 user=b", "host=a host=b port=1", "nonsense", "host='a port=1"]
)
def test_anything_else_is_named(text):
    with pytest.raises(UsageError, match="connection string"):
        parse_connection(text)


def test_endpoints():
    assert isinstance(connection_endpoint(reactor, "host=localhost port=7433"), TCP4ClientEndpoint)
    found = connection_endpoint(reactor, "host=::1 port=7433")
    assert (found._host, found._port) == ("::1", 7433)
    found = connection_endpoint(reactor, "host=/run/spg:x.sock")
    assert isinstance(found, UNIXClientEndpoint)
    assert found._path == "/run/spg:x.sock"
    with pytest.raises(UsageError, match="70000"):
        connection_endpoint(reactor, "host=a port=70000")
