"""The way to what needs the packages of the extra ``tls``."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from spgrepl.access.interfaces import IServerTls
from spgrepl.access.tls_files import TlsFiles
from spgrepl.errors import UsageError

NEED_EXTRA = "TLS needs some more packages: pip install 'spgrepl[tls]'"


def server_tls(clock: IReactorTime, files: TlsFiles) -> IServerTls:
    """The TLS of a port that listens; see `spgrepl.access.tls.ServerTls`.

    Raises:
        UsageError: TLS needs packages that are not there, or a file is not what it should be.
    """
    made: IServerTls = _tls().ServerTls(clock, files)
    return made


def client_tls(
    reactor: IReactorTime, endpoint: IStreamClientEndpoint, files: TlsFiles, server_name: str
) -> IStreamClientEndpoint:
    """An endpoint that connects by TLS through another; see `spgrepl.access.tls.TlsClientEndpoint`.

    Raises:
        UsageError: TLS needs packages that are not there, or a file is not what it should be.
    """
    made: IStreamClientEndpoint = _tls().TlsClientEndpoint(reactor, endpoint, files, server_name)
    return made


def with_checked_name(endpoint: IStreamClientEndpoint, server_name: str) -> IStreamClientEndpoint:
    """Check the name on an endpoint of Twisted's that speaks TLS; see `spgrepl.access.tls.CheckedEndpoint`.

    Raises:
        UsageError: TLS needs packages that are not there.
    """
    made: IStreamClientEndpoint = _tls().CheckedEndpoint(endpoint, server_name)
    return made


def _tls() -> ModuleType:
    """Only where TLS is wanted are its packages needed."""
    try:
        return import_module("spgrepl.access.tls")
    except ImportError as error:
        raise UsageError(NEED_EXTRA) from error
