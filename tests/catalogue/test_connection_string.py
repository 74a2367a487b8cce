"""The CONNECTION of a CREATE SUBSCRIPTION."""

import pytest
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint

from spgrepl.catalogue.connection_string import connection_endpoint, parse_connection
from spgrepl.errors import UsageError


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
    ("text", "reason"),
    [
        ("", "names no host"),
        ("port=1", "names no host"),
        ("host='' port=1", "names no host"),
        ("user=repl dbname=shop", "names no host"),
        ("host=a", "names no port"),
        ("host=a port=1 user=b", "names user, which means nothing here"),
        ("host=a port=1 sslmode=require", "names the sslmode 'require', expected disable or verify-full"),
        ("host=a host=b port=1", "names host twice"),
        ("nonsense", "cannot be read from character 1"),
        ("host=a port", "cannot be read from character 7"),
        ("host='a port=1", "cannot be read from character 1"),
        ("localhost:7433", "cannot be read"),
        ("host=a port=0", "expected 1 to 65535"),
        ("host=a port=65536", "expected 1 to 65535"),
        ("host=a port=x", "expected 1 to 65535"),
        ("host=/run/m port=99999999999", "expected 1 to 65535"),
        ("postgresql://db.example.org:7433/shop", "write 'host=db.example.org port=7433'"),
        ("postgres://db.example.org", "write 'host=db.example.org port=NUMBER'"),
        ("postgresql://u:hidden@[::1]:7433/shop?sslmode=require", "write 'host=::1 port=7433'"),
        ("postgresql://u@a:99999/", "write 'host=NAME port=NUMBER'"),
        ("postgresql:///shop", "write 'host=NAME port=NUMBER'"),
    ],
)
def test_anything_else_is_named_with_the_form_that_is_meant(text, reason):
    with pytest.raises(UsageError, match="the connection string") as caught:
        parse_connection(text)
    assert reason in str(caught.value)
    assert "host=" in str(caught.value)


@pytest.mark.parametrize("text", ["postgresql://u:hidden@a:1/d", "user=u password=hidden"])
def test_a_password_is_not_repeated(text):
    with pytest.raises(UsageError) as caught:
        parse_connection(text)
    assert "hidden" not in str(caught.value)


def test_endpoints():
    assert isinstance(connection_endpoint(reactor, "host=localhost port=7433"), TCP4ClientEndpoint)
    found = connection_endpoint(reactor, "host=::1 port=7433")
    assert (found._host, found._port) == ("::1", 7433)
    found = connection_endpoint(reactor, "host=/run/spg:x.sock")
    assert isinstance(found, UNIXClientEndpoint)
    assert found._path == "/run/spg:x.sock"
    with pytest.raises(UsageError, match="70000"):
        connection_endpoint(reactor, "host=a port=70000")
