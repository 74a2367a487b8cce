"""What belongs to this machine: UNIX sockets and the loopback interface."""

from __future__ import annotations

import ipaddress

from twisted.internet.address import UNIXAddress

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def ip_of(address: object) -> IpAddress | None:
    """The IP address in an address of Twisted's, an IPv4 one taken out of an IPv6 one; None without one."""
    host = getattr(address, "host", None)
    try:
        found = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return None
    # On a socket for both, an IPv4 address stands inside an IPv6 one.
    return getattr(found, "ipv4_mapped", None) or found


def is_local(address: object) -> bool:
    """Whether an address is a UNIX socket's or one of the loopback interface."""
    if isinstance(address, UNIXAddress):
        return True
    found = ip_of(address)
    return found is not None and found.is_loopback
