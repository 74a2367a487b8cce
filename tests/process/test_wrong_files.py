"""Every option of every role that takes a file, with files that are something else."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.python import usage

from spgrepl.errors import SpgReplError
from spgrepl.process.tap import Options
from tests.server.test_roles import Site, end_of, site
from tests.wrong_files import KINDS, SQLITE, looks, make_files, names

__all__ = ["site"]

TCP = "tcp:0:interface=127.0.0.1"
COUNTED = (*SQLITE, "diary.txt", "empty", "other.db")
"""Where nothing is applied the database is a name only, for the files beside it."""

CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "master --db": (f"master --listen {TCP} --db {{}}", (*SQLITE, "empty", "other.db")),
    "master --wal": (f"master --listen {TCP} --db mine.db --wal {{}}", ()),
    "master of a new database --wal": (f"master --listen {TCP} --db fresh.db --wal {{}}", ("empty",)),
    "master of an archive --db": (
        f"master --engine archive --listen {TCP} --db {{}} --wal mine.wal",
        (*COUNTED, "other.wal"),
    ),
    "master of an archive --wal": (
        f"master --engine archive --listen {TCP} --db mine.db --wal {{}}",
        ("empty", "other.wal"),
    ),
    "master --listen": ("master --db mine.db --listen unix:{}", ()),
    "master --http": (f"master --listen {TCP} --db mine.db --http unix:{{}}", ()),
    "master --http-token-file": (f"master --listen {TCP} --http {TCP} --db mine.db --http-token-file {{}}", ()),
    "master --access": (f"master --listen {TCP} --db mine.db --access {{}}", ()),
    "master --tls-cert": (f"master --listen {TCP} --db mine.db --tls-cert {{}}", ()),
    "master --segment-dir": (f"master --listen {TCP} --db mine.db --segment-dir {{}}", ("folder",)),
    "follower --db": ("follower --master unix:none --db {}", ("empty",)),
    "follower --wal": ("follower --master unix:none --db copy.db --wal {}", ()),
    "follower without a copy --wal": ("follower --master unix:none --db fresh.db --wal {}", ("empty",)),
    "follower --tls-ca": ("follower --master 127.0.0.1:1 --db copy.db --tls-ca {}", ()),
    "archive --db": ("follower --engine archive --master unix:none --db {}", ()),
    "archive --wal": ("follower --engine archive --master unix:none --db fresh.db --wal {}", ("empty",)),
    "counting --db": ("follower --engine counting --master unix:none --db {}", COUNTED),
    "counting --wal": ("follower --engine counting --master unix:none --db fresh.db --wal {}", ("empty",)),
    "subscriber --db": ("subscriber --name s --all-tables --master unix:none --db {}", (*SQLITE, "empty")),
    "counting subscriber --db": (
        "subscriber --engine counting --name s --all-tables --master unix:none --db {}",
        COUNTED,
    ),
    "run --config": ("run --config {}", ()),
}
"""The words, and which kinds a role can be given."""


@pytest.fixture
def folder(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with files of all kinds, which roles are started in."""
    make_files(site.folder)
    monkeypatch.chdir(site.folder)
    return site.folder


async def refusal(site: Site, words: str, kind: str) -> str:
    """Start a role with a file in the place of the braces, and return why it does not run."""
    options: Any = Options()
    try:
        options.parseOptions([word.replace("{}", kind) for word in shlex.split(words)])
        role = options.subOptions.role(site.reactor)
    except (SpgReplError, usage.UsageError) as error:
        return str(error)
    site.roles.append(role)
    role.startService()
    return str(await end_of(role))


@pytest.mark.parametrize("case", CASES)
@pytest_twisted.ensureDeferred
async def test_what_is_something_else_is_named_and_stays(site: Site, folder: Path, case: str) -> None:
    words, fits = CASES[case]
    for kind in KINDS:
        if kind in fits:
            continue
        before = looks(folder)
        said = await refusal(site, words, kind)
        assert names(kind, said), (kind, said)
        assert looks(folder) == before, kind
