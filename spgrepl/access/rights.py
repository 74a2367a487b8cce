"""What a client may do, and the table that says so."""

from __future__ import annotations

import ipaddress
import pwd
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime

from spgrepl.access.client import Client
from spgrepl.access.places import ip_of
from spgrepl.access.reloading import Reloading
from spgrepl.base.small_files import read_small
from spgrepl.errors import UsageError
from spgrepl.text.options import parse_name

_KEYS = frozenset({"certificate", "address", "user", "may"})


@attrs.frozen
class Rights:
    """What a client may have.

    Attributes:
        physical: The whole database, and with it every publication.
        publications: These publications, where it may not have the whole.
    """

    physical: bool = False
    publications: frozenset[str] = frozenset()

    @property
    def none(self) -> bool:
        """Whether it may have nothing."""
        return not (self.physical or self.publications)

    def missing(self, publications: Sequence[str]) -> list[str]:
        """Those of some publications that it may not have."""
        return [] if self.physical else [name for name in publications if name not in self.publications]

    def __str__(self) -> str:
        if self.physical:
            return "the whole database"
        return "the publications " + ", ".join(sorted(self.publications)) if self.publications else "nothing"


EVERYTHING = Rights(physical=True)
NOTHING = Rights()


@attrs.frozen
class AccessRule:
    """One line of a table. What it names of a client has to fit, all of it.

    Attributes:
        rights: What such a client may have.
        certificate: A name in its certificate.
        network: Where its address is.
        user: The id of its UNIX user.
    """

    rights: Rights
    certificate: str | None = None
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    user: int | None = None

    def fits(self, client: Client) -> bool:
        """Whether it speaks of a client."""
        if self.certificate is not None and self.certificate not in client.names:
            return False
        if self.user is not None and self.user != client.user:
            return False
        if self.network is None:
            return True
        address = ip_of(client.address)
        return address is not None and address in self.network


@attrs.frozen
class AccessTable:
    """Says what clients may do: the first rule that fits counts, and whom none fits may have nothing.

    Attributes:
        rules: The rules.
    """

    rules: tuple[AccessRule, ...]

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> AccessTable:
        """Read what a TOML file holds: a list ``client`` of tables.

        Raises:
            UsageError: It is not such a thing; the message says which entry is wrong.
        """
        unknown = set(content) - {"client"}
        entries = content.get("client")
        if unknown or not isinstance(entries, list) or not entries:
            named = f" and no {min(unknown)!r}" if unknown else ""
            raise UsageError(f"an access table has [[client]] entries{named}")
        return cls(tuple(_numbered_rule(number, entry) for number, entry in enumerate(entries, 1)))

    def rights_of(self, client: Client) -> Rights:
        """What a client may have."""
        return next((rule.rights for rule in self.rules if rule.fits(client)), NOTHING)


class AccessFile:
    """A table in a file, which is read again when the file changes.

    Args:
        clock: The reactor, or a clock.
        path: The file, in TOML.

    Raises:
        UsageError: The file cannot be read, or holds something else.
    """

    def __init__(self, clock: IReactorTime, path: Path) -> None:
        self._path = path
        self._table = Reloading(clock, (path,), self._load)

    def rights_of(self, client: Client) -> Rights:
        """What a client may have, as the file says now."""
        return self._table.current().rights_of(client)

    def _load(self) -> AccessTable:
        try:
            return AccessTable.read(tomllib.loads(read_small(self._path).decode("utf-8")))
        except OSError as error:
            raise UsageError(f"{self._path} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{self._path} is not TOML: {error}") from error
        except UsageError as error:
            raise UsageError(f"{self._path}: {error}") from error


def _numbered_rule(number: int, entry: object) -> AccessRule:
    try:
        return read_rule(entry)
    except UsageError as error:
        raise UsageError(f"client {number}: {error}") from error


def read_rule(entry: object) -> AccessRule:
    """Read one entry of a table.

    Raises:
        UsageError: It is not what it should be; the message names the key.
    """
    if not isinstance(entry, Mapping):
        raise UsageError(f"{entry!r} is not a table")
    unknown = set(entry) - _KEYS
    if unknown:
        raise UsageError(f"{min(unknown)!r} has no meaning; there are {', '.join(sorted(_KEYS))}")
    if not set(entry) & {"certificate", "address", "user"}:
        raise UsageError("it says of nobody what he may do: name a certificate, an address or a user")
    certificate = entry.get("certificate")
    if certificate is not None and not (isinstance(certificate, str) and certificate):
        raise UsageError(f"the certificate {certificate!r} is not a name")
    try:
        network = ipaddress.ip_network(entry["address"]) if "address" in entry else None
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"the address {entry['address']!r} is not an address or a network such as 10.1.0.0/16"
        ) from error
    rights = _read_rights(entry.get("may"))
    user = _read_user(entry["user"]) if "user" in entry else None
    return AccessRule(rights, certificate, network, user)


def _read_rights(may: object) -> Rights:
    if may == "physical":
        return EVERYTHING
    if may == "nothing":
        return NOTHING
    if isinstance(may, list) and may and all(isinstance(name, str) for name in may):
        return Rights(publications=frozenset(map(parse_name, may)))
    raise UsageError(f'may = {may!r} is not "physical", "nothing" or a list of publications')


def _read_user(user: object) -> int:
    if isinstance(user, int) and not isinstance(user, bool) and user >= 0:
        return user
    try:
        return pwd.getpwnam(str(user)).pw_uid
    except KeyError as error:
        raise UsageError(f"there is no user {user!r} on this machine") from error
