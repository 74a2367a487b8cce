"""Who may connect at all."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress

from spgrepl.access.client import Client
from spgrepl.access.policy import Access
from spgrepl.access.rights import EVERYTHING, NOTHING
from spgrepl.errors import ConfigurationError

HERE, AWAY = IPv4Address("TCP", "127.0.0.1", 1), IPv4Address("TCP", "192.0.2.1", 1)


@pytest.mark.parametrize(
    ("client", "insecure", "everything"),
    [
        (Client(HERE), False, True),
        (Client(UNIXAddress("/run/x.socket")), False, True),
        (Client(AWAY), False, False),
        (Client(AWAY, ("berlin",)), False, True),
        (Client(AWAY), True, True),
    ],
)
def test_without_a_table_whoever_may_connect_may_have_everything(
    client: Client, insecure: bool, everything: bool
) -> None:
    assert Access(insecure).rights_of(client) == (EVERYTHING if everything else NOTHING)


@pytest.mark.parametrize(
    ("address", "certificates", "insecure", "allowed"),
    [
        (HERE, False, False, True),
        (AWAY, False, False, False),
        (AWAY, True, False, True),
        (AWAY, False, True, True),
    ],
)
def test_where_one_may_listen(address: object, certificates: bool, insecure: bool, allowed: bool) -> None:
    if allowed:
        Access(insecure).check_port(address, certificates)
        return
    with pytest.raises(ConfigurationError, match=r"other machines can connect to 192\.0\.2\.1"):
        Access(insecure).check_port(address, certificates)
