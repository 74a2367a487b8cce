"""The way to TLS: without its packages it is an error that says what to install, and nothing else breaks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from spgrepl.access.interfaces import IServerTls
from spgrepl.access.tls import TlsClientEndpoint
from spgrepl.access.tls_files import TlsFiles
from spgrepl.access.with_extra import NEED_EXTRA, client_tls, server_tls, with_checked_name
from spgrepl.errors import UsageError
from tests.access.authority import Authority

NO_FILES = TlsFiles(None, None, None, False)


def endpoint() -> HostnameEndpoint:
    return HostnameEndpoint(MemoryReactorClock(), "localhost", 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: server_tls(Clock(), NO_FILES),
        lambda: client_tls(MemoryReactorClock(), endpoint(), NO_FILES, "localhost"),
        lambda: with_checked_name(endpoint(), "localhost"),
    ],
)
def test_without_the_packages_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], object]
) -> None:
    monkeypatch.setitem(sys.modules, "spgrepl.access.tls", None)
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == NEED_EXTRA
    assert "pip install" in NEED_EXTRA


def test_with_them_it_is_made(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    assert IServerTls.providedBy(server_tls(Clock(), authority.files("localhost")))
    found = client_tls(MemoryReactorClock(), endpoint(), authority.files("localhost"), "localhost")
    assert isinstance(found, TlsClientEndpoint)


def test_importing_it_needs_no_package_of_the_extra() -> None:
    program = (
        "import sys\n"
        "sys.modules['OpenSSL'] = sys.modules['cryptography'] = sys.modules['service_identity'] = None\n"
        "import spgrepl.access.with_extra\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
