"""A server's connection string: as libpq takes it, and as it may be shown."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote

import attrs

from spgrepl.errors import UsageError

_SCHEMES = ("postgresql://", "postgres://")
_SECRETS = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})
_AUTHORITY = re.compile(r"(?P<scheme>\w+://)(?P<authority>[^/]*)(?P<rest>.*)", re.DOTALL)


def is_address(text: str) -> bool:
    """Whether a text names a server of PostgreSQL's protocol, and no engine by its name."""
    return text.lower().startswith(_SCHEMES)


@attrs.frozen(repr=False)
class ServerAddress:
    """Where a server is, and as whom to connect.

    What is missing libpq takes from a service file, the environment (``PGHOST`` and so on) and, for the
    password, the file of ``PGPASSFILE``.

    Attributes:
        conninfo: The text for libpq. It may hold a password: show `shown` instead.
        shown: The same without secrets, for messages and the status.
        secrets: The secrets that it holds.
    """

    conninfo: str
    shown: str
    secrets: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> ServerAddress:
        """Read a connection string; libpq judges what is in it when it connects.

        Raises:
            UsageError: It is not a ``postgresql://`` URI. The message holds no password.
        """
        if not is_address(text):
            raise UsageError("a server is named by a URI: postgresql://USER@HOST:PORT/DATABASE")
        if "\0" in text:
            raise UsageError("a connection string cannot hold a zero byte")
        found = _AUTHORITY.fullmatch(text)
        assert found is not None
        authority, rest = found["authority"], found["rest"]
        # libpq ends the credentials at the first "@", or not at all where "/" comes first; a "?" may be in them.
        credentials, at, hosts = authority.rpartition("@")
        user, colon, password = credentials.partition(":")
        secrets = [password, *password.split("@")] if colon else []
        if not at:
            hosts, question, query = authority.partition("?")
            rest = question + query + rest
        elif "?" in hosts:
            hosts, question, query = hosts.partition("?")
            rest = question + query + rest
        path, question, query = rest.partition("?")
        kept = []
        for part in query.split("&") if question else []:
            key, _, value = part.partition("=")
            if unquote(key).lower() in _SECRETS:
                secrets.append(value)
            else:
                kept.append(part)
        secrets += [value for key, value in parse_qsl(query) if key.lower() in _SECRETS]
        every = {one for secret in secrets for one in (secret, unquote(secret)) if one}
        listed = "?" + "&".join(kept) if kept else ""
        shown = f"{found['scheme']}{user + '@' if user else ''}{hosts}{path}{listed}"
        return cls(text, shown, tuple(sorted(every, key=len, reverse=True)))

    @property
    def has_secret(self) -> bool:
        """Whether a password stands in the text."""
        return bool(self.secrets)

    def clean(self, message: str) -> str:
        """A message of libpq or the server without what is secret in the connection string."""
        for secret in self.secrets:
            if len(secret) > 2:
                message = message.replace(secret, "…")
            else:
                message = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "…", message)
        return " ".join(message.split())

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"<ServerAddress {self.shown}>"


def shown_engine(engine: str) -> str:
    """An engine's name, or a server's address, as it may be shown."""
    return repr(ServerAddress.parse(engine).shown if is_address(engine) else engine)


def for_command_line(text: str) -> ServerAddress:
    """Read a connection string of a command line, which every user of the machine sees.

    Raises:
        UsageError: It is not one, or holds a password.
    """
    address = ServerAddress.parse(text)
    if address.has_secret:
        raise UsageError(
            f"{address}: a password on a command line is seen by every user of the machine (ps); leave it out, "
            f"and put it into ~/.pgpass or the file of PGPASSFILE, into a service file, or into PGPASSWORD"
        )
    return address
