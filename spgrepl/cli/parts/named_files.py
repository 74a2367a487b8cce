"""Files that a command was given: whether each is what the command takes it for.

What is said of a file that is something else is what it looks like, and never to cut or remove it.
"""

from __future__ import annotations

from pathlib import Path

from spgrepl.disk.files import require_utf8_name
from spgrepl.errors import LocalFilesDamaged, UsageError
from spgrepl.log.file_kinds import FileKind, what_it_looks_like

_LOGS = frozenset({FileKind.LOG, FileKind.TORN_LOG, FileKind.EMPTY})
_DATABASES = frozenset({FileKind.SQLITE, FileKind.EMPTY})
_NOT_SQL = frozenset(
    {
        FileKind.FOLDER,
        FileKind.SQLITE,
        FileKind.SQLITE_WAL,
        FileKind.SPG_SNAPSHOT,
        FileKind.SEGMENT,
        FileKind.MANIFEST,
        FileKind.LOG,
        FileKind.ZEROS,
    }
)
_ADVICE = {
    FileKind.SQLITE: "name its log, or look into it with `spgrepl snapshot show`",
    FileKind.SPG_SNAPSHOT: "look into it with `spgrepl snapshot show`",
    FileKind.SEGMENT: "look into it with `spgrepl segments cat`",
    FileKind.OTHER: "it was never one, or its first bytes are damaged; restore it from a copy",
}
_SEEN = {FileKind.SPG_SNAPSHOT: 8, FileKind.SEGMENT: 6, FileKind.MANIFEST: 8}
"""The kinds whose first bytes tell which version they are, and how many of them are shown."""


def require_log(path: Path) -> None:
    """See that a file is a log, be it damaged or empty.

    Raises:
        LocalFilesDamaged: It is something else.
        OSError: It is not there, or cannot be read.
    """
    kind = _kind_of(path)
    if kind not in _LOGS:
        advice = _ADVICE.get(kind, "name a log")
        raise LocalFilesDamaged(f"{path} is not a log: it is {described(path, kind)}; {advice}")


def require_database(path: Path) -> None:
    """See that a file is a SQLite database that can be opened. This process must not have it open.

    Raises:
        LocalFilesDamaged: It is something else.
        UsageError: SQLite cannot open a file of that name.
        OSError: It is not there, or cannot be read.
    """
    require_utf8_name(path)
    kind = _kind_of(path)
    if kind not in _DATABASES:
        raise LocalFilesDamaged(
            f"{path} is not a SQLite database: it is {described(path, kind)}; name another file"
        )


def require_sql(path: Path) -> None:
    """See that a file does not hold something other than SQL.

    Raises:
        UsageError: It does.
        OSError: It is not there, or cannot be read.
    """
    kind = _kind_of(path)
    if kind in _NOT_SQL:
        raise UsageError(f"{path} does not hold SQL: it is {described(path, kind)}")


def described(path: Path, kind: FileKind) -> str:
    """What a file is, in words, with the mark that it begins with where there are several."""
    shown = _SEEN.get(kind)
    if shown is None:
        return str(kind)
    with open(path, "rb") as file:
        mark = file.read(shown).decode("ascii", "backslashreplace")
    return f'{kind} ("{mark}")'


def _kind_of(path: Path) -> FileKind:
    kind = what_it_looks_like(path)
    if kind is FileKind.MISSING:
        path.stat()  # says what is missing
    return kind
