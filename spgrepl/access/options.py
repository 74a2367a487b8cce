"""What users say about TLS and access on a command line: options of ``twistd spgrepl``, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.interfaces import IStreamClientEndpoint

from spgrepl.access.endpoint_words import EndpointWords, host_and_port, host_of, is_unix, reaches_beyond
from spgrepl.access.endpoints import client_endpoint
from spgrepl.access.policy import Access
from spgrepl.access.rights import AccessFile, AccessTable
from spgrepl.access.tls_files import TlsFiles
from spgrepl.access.with_extra import client_tls
from spgrepl.base.small_files import read_small
from spgrepl.errors import UsageError

_SHORTEST_TOKEN = 16

Given = Mapping[str, Any]
"""The options of a role by their names; None, or 0 for a flag, where one was not given."""

TLS_FILES = [
    ["tls-cert", None, None, "This side's certificate for TLS, in PEM, and those between it and its authority's."],
    ["tls-key", None, None, "Its private key, in PEM without a password [default: in --tls-cert too]."],
    ["tls-ca", None, None, "The certificates, in PEM, of the authorities that the other side's has to come from."],
]
TLS_CLIENT = [
    ["tls-server-name", None, None, "The name in the master's certificate [default: the host of --master]."],
]
TLS_CLIENT_FLAGS = [["tls", None, "Connect by TLS, to a master with a certificate that this system trusts."]]
SERVING = [["access", None, None, "A TOML file that says what each client may do [default: everything]."]]
SERVING_FLAGS = [
    ["tls-require-client-cert", None, "Serve clients only that show a certificate of --tls-ca."],
    [
        "insecure",
        None,
        "Listen for other machines without TLS and certificates: anybody reads all.",
    ],
]


@attrs.frozen
class _Named:
    """An address that is known by its name only."""

    host: str


def read_access(reactor: Any, given: Given) -> Access:
    """Who may connect, and what they may do.

    Raises:
        UsageError: The table is not what it should be.
        ConfigurationError: The endpoint to listen on lets other machines in, and nobody is kept out.
    """
    listen, file = given["listen"], given["access"]
    if file is not None and listen is None:
        raise UsageError("--access is for followers of this follower; it needs --listen")
    table = file if file is None or isinstance(file, AccessTable) else _access_file(reactor, file)
    access = Access(insecure=bool(given["insecure"]), table=table)
    if listen is not None and reaches_beyond(listen):
        access.check_port(_Named(listen), bool(given["tls-require-client-cert"]))
    return access


def _access_file(reactor: Any, file: str) -> AccessFile:
    try:
        return AccessFile(reactor, Path(file).absolute())
    except UsageError as error:
        raise UsageError(f"--access: {error}") from error


def read_server_tls(given: Given) -> TlsFiles | None:
    """The TLS of ``--listen``; None listens without. A UNIX socket needs none.

    Raises:
        UsageError: The options do not go together.
    """
    listen, required = given["listen"], bool(given["tls-require-client-cert"])
    wanted = given["tls-cert"] is not None and listen is not None and not is_unix(listen)
    if listen is not None and is_unix(listen):
        _refuse_on_a_socket(given)
    if required and not wanted:
        raise UsageError("--tls-require-client-cert is for those who listen by TLS, with --listen and --tls-cert")
    if not wanted:
        if "master" not in given:
            _refuse_without_certificate(given)
        return None
    _refuse_twice(listen, "--listen")
    return _files(given, require_client=required)


def read_master(reactor: Any, given: Given) -> IStreamClientEndpoint:
    """The endpoint of ``--master``, which is connected to by TLS where the options say so.

    Raises:
        UsageError: The options do not go together, or are wrong.
        ConfigurationError: The endpoint names a file that cannot be read.
    """
    text: str = given["master"]
    try:
        endpoint = client_endpoint(reactor, text)
    except UsageError as error:
        raise UsageError(f"--master: {error}") from error
    listens = given.get("listen") is not None
    chosen = [name for name in ("tls", "tls-ca", "tls-server-name") if given[name]]
    alone = [name for name in ("tls-cert", "tls-key") if given[name]]
    if is_unix(text):
        if (chosen or alone) and not listens:
            raise UsageError(
                f"--{(chosen + alone)[0]}: --master is a UNIX socket, which is connected to without TLS"
            )
        return endpoint
    if not given["tls"] and given["tls-ca"] is None:
        if chosen or (alone and not listens):
            raise UsageError(f"--{(chosen + alone)[0]} is for connecting by TLS: say --tls-ca FILE, or --tls")
        return endpoint
    _refuse_twice(text, "--master")
    name = given["tls-server-name"] or host_of(text)
    if not name:
        raise UsageError(f"--tls-server-name: say what name the certificate of {text!r} has")
    return client_tls(reactor, endpoint, _files(given), name)


def _files(given: Given, require_client: bool = False) -> TlsFiles:
    paths = [given[name] and Path(given[name]).absolute() for name in ("tls-cert", "tls-key", "tls-ca")]
    if paths[1] and not paths[0]:
        raise UsageError("--tls-key is the key of a certificate: name that with --tls-cert")
    if require_client and not paths[2]:
        raise UsageError("--tls-require-client-cert: say with --tls-ca whose certificates are taken")
    return TlsFiles(paths[0] or None, paths[1] or None, paths[2] or None, require_client)


def _refuse_on_a_socket(given: Given) -> None:
    """A certificate may be for the connection to the master; else nobody is shown it."""
    connects = "master" in given and not is_unix(given["master"]) and (given["tls"] or given["tls-ca"])
    named = [name for name in ("tls-cert", "tls-key", "tls-ca") if given[name]]
    if named and not connects:
        raise UsageError(f"--{named[0]}: --listen is a UNIX socket, on which nobody speaks TLS")


def _refuse_without_certificate(given: Given) -> None:
    alone = [name for name in ("tls-key", "tls-ca") if given[name]]
    if alone and not given["tls-cert"]:
        raise UsageError(f"--{alone[0]} is for listening by TLS: name this side's certificate with --tls-cert")


def _refuse_twice(text: str, option: str) -> None:
    if host_and_port(text) is None and EndpointWords.of(text).kind in ("ssl", "tls"):
        raise UsageError(f"{option} {text!r} says TLS by itself: give it there, or by --tls options, not both")


def read_token(file: str) -> str:
    """The token in a file: its first line.

    Raises:
        UsageError: The file cannot be read, or begins with none.
    """
    try:
        token = read_small(Path(file)).decode("utf-8").split("\n", 1)[0].strip()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not text") from error
    if len(token) < _SHORTEST_TOKEN or not token.isascii():
        raise UsageError(f"{file} begins with no token: write {_SHORTEST_TOKEN} characters of ASCII or more")
    return token
