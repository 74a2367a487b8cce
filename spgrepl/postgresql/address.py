"""A server's connection string: as libpq takes it, and as it may be shown."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote

import attrs

from spgrepl.errors import UsageError

_SCHEMES = ("postgresql://", "postgres://")
_SECRETS = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})
_AUTHORITY = re.compile(r"(?P<scheme>\w+://)(?P<authority>[^/]*)(?P<rest>.*)", re.DOTALL)
_PAIR = re.compile(
    r"\s*(?P<key>\w+)\s*=\s*(?P<value>'(?:[^'\\]|\\.)*'|(?:[^'\s\\]|\\.)(?:[^\s\\]|\\.)*|)(?:\s+|\Z)", re.DOTALL
)


def is_address(text: str) -> bool:
    """Whether a text is the URI of a server of PostgreSQL's protocol, and no file's or engine's name."""
    return text.lower().startswith(_SCHEMES)


def names_server(engine: str) -> bool:
    """Whether an engine is such a server: by its URI, or by keywords and values as libpq takes them."""
    return is_address(engine) or ("=" in engine and "://" not in engine.partition("=")[0])


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
            UsageError: It is neither a ``postgresql://`` URI nor ``keyword=value`` pairs. The message holds no
                password.
        """
        if "\0" in text:
            raise UsageError("a connection string cannot hold a zero byte")
        if not is_address(text):
            return cls._of_pairs(text)
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

    @classmethod
    def _of_pairs(cls, text: str) -> ServerAddress:
        """Read ``keyword=value`` pairs; a value may be in quotes, a backslash keeps the next character."""
        secrets: set[str] = set()
        kept = []
        at = 0
        while at < len(text) and (found := _PAIR.match(text, at)) is not None:
            at = found.end()
            key, value = found["key"], found["value"]
            plain = re.sub(r"\\(.)", r"\1", value[1:-1] if value.startswith("'") else value, flags=re.DOTALL)
            if key.lower() in _SECRETS:
                secrets |= {value, plain}
            elif "://" in plain or (key == "dbname" and "=" in plain):
                raise UsageError(f"{key} holds another connection string: write its parts as keyword=value")
            else:
                kept.append(f"{key}={value}")
        if at < len(text) or not text.strip():
            raise UsageError(
                "a server is named by a URI, postgresql://USER@HOST:PORT/DATABASE, or by keyword=value pairs: "
                "host=HOST dbname=DATABASE user=USER"
            )
        return cls(text, " ".join(kept), tuple(sorted(secrets - {""}, key=len, reverse=True)))

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
    if names_server(engine):
        try:
            return repr(ServerAddress.parse(engine).shown)
        except UsageError:
            return "of a connection string that cannot be read"
    scheme, is_other, _ = engine.partition("://")
    return repr(f"{scheme}://…" if is_other else engine)


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
