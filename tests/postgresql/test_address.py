"""Connection strings of libpq: read, and shown without what is secret."""

from __future__ import annotations

import pytest

from spgrepl.errors import UsageError
from spgrepl.postgresql.address import ServerAddress, names_server, shown_engine


@pytest.mark.parametrize(
    ("text", "shown", "secrets"),
    [
        ("host=/tmp user=a  dbname=x", "host=/tmp user=a dbname=x", ()),
        (" host = h password = secret ", "host=h", ("secret",)),
        (r"password='ge heim\'s' dbname=d", "dbname=d", (r"'ge heim\'s'", "ge heim's")),
        (r"password=a\ b host=h", "host=h", (r"a\ b", "a b")),
        ("PASSWORD=secret sslpassword=other", "", ("secret", "other")),
        ("service=reports", "service=reports", ()),
        (
            "postgresql://u:se%20cret@h/d?sslpassword=o&x=y",
            "postgresql://u@h/d?x=y",
            ("se%20cret", "se cret", "o"),
        ),
    ],
)
def test_what_is_secret_is_known_and_not_shown(text: str, shown: str, secrets: tuple[str, ...]) -> None:
    address = ServerAddress.parse(text)
    assert address.shown == shown
    assert set(address.secrets) == set(secrets)
    assert names_server(text)
    assert address.clean("; ".join(secrets)).strip("; …") == ""


@pytest.mark.parametrize(
    "text",
    [
        "host='x secret",
        "host=h secret",
        "=secret",
        "dbname=postgresql://u:secret@h/d",
        r"password=secret\ ".strip(),
    ],
)
def test_what_cannot_be_read_is_not_quoted(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        ServerAddress.parse(text)
    assert "secret" not in str(caught.value)
    assert "secret" not in shown_engine(text)


def test_another_kind_of_server_is_named_without_the_rest() -> None:
    assert shown_engine("mysql://u:secret@h/d?a=b") == "'mysql://…'"
    assert not names_server("mysql://u:secret@h/d?a=b")
    assert shown_engine("sqlite") == "'sqlite'"
