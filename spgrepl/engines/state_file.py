"""The replay state of engines without rows: a small file beside the database."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from spgrepl.base.histories import histories_of, histories_values
from spgrepl.base.small_files import read_regular
from spgrepl.disk.files import DatabasePaths, replace_file, sync_folder
from spgrepl.errors import EngineFailed, LocalFilesDamaged
from spgrepl.interfaces.engine import NO_NOTES, Fence, ReplayState
from spgrepl.sqlite.state import decode_marks, decode_notes, encode_marks, encode_notes

SNAPSHOT_LENGTH = "snapshot_length"
"""The name of the length in bytes of the snapshot that an engine keeps."""


def state_path(database: Path) -> Path:
    """The file's name: the database's with ``.replay.json``."""
    return DatabasePaths(database, database).engine_state


def save_state(database: Path, state: ReplayState, extra: Mapping[str, int]) -> None:
    """Write the state, durably; a crash leaves the old or the new.

    Args:
        database: The file of ``--db``.
        state: How far the copy has come.
        extra: Numbers that the engine keeps beside it.

    Raises:
        EngineFailed: It could not be written; the old state is whole.
    """
    path = state_path(database)
    try:
        replace_file(path, _encode(state, extra))
    except OSError as error:
        raise EngineFailed(f"{path} cannot be written: {error}") from error


def _encode(state: ReplayState, extra: Mapping[str, int]) -> bytes:
    fence = None if state.fence is None else {"start": state.fence.start, "crc": state.fence.crc}
    where = {"position": state.position, "base": state.base}
    content: dict[str, object] = {**where, "fence": fence, "pair": state.pair, **extra}
    if state.marks:
        content["marks"] = encode_marks(state.marks)
    if state.diverged is not None:
        content["diverged"] = state.diverged
    if state.histories:
        content["histories"] = histories_values(state.histories)
    if state.notes != NO_NOTES:
        content["transactions"] = encode_notes(state.notes)
    return json.dumps(content).encode() + b"\n"


def install_with_state(snapshot: Path, database: Path, state: ReplayState) -> None:
    """Put a snapshot in the place of the database file, and its state in the place of the old one.

    The new state waits under another name, with the snapshot's inode number, while the snapshot is renamed.
    After a crash `adopt_installed` sees by that number which of the two files stands in place.

    Args:
        snapshot: A durable file on the same file system.
        database: The file of ``--db``.
        state: The state that belongs to the snapshot.

    Raises:
        EngineFailed: The disk refused; the old copy is whole.
    """
    try:
        found = os.stat(snapshot)
        waiting = {"inode": found.st_ino, SNAPSHOT_LENGTH: found.st_size}
        replace_file(_waiting_path(database), _encode(state, waiting))
        os.rename(snapshot, database)
        sync_folder(database.parent)
    except OSError as error:
        raise EngineFailed(f"{database} cannot be replaced: {error}") from error
    adopt_installed(database)


def adopt_installed(database: Path) -> None:
    """End an installation that was interrupted: with the new state, or with the old where nothing was renamed.

    Args:
        database: The file of ``--db``.

    Raises:
        LocalFilesDamaged: The trace of the interrupted installation cannot be read.
    """
    waiting = _waiting_path(database)
    try:
        inode = json.loads(read_regular(waiting))["inode"]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError) as error:
        raise LocalFilesDamaged(
            f"{waiting}, the trace of an interrupted bootstrap, cannot be read ({error!r}); move it away together "
            f"with {database} to start from a fresh snapshot"
        ) from error
    if database.exists() and os.stat(database).st_ino == inode:
        os.rename(waiting, state_path(database))
    else:
        waiting.unlink()
    sync_folder(database.parent)


def _waiting_path(database: Path) -> Path:
    return database.with_name(database.name + ".replay.json.next")


def load_state(
    database: Path, extra: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> tuple[ReplayState, dict[str, int]] | None:
    """Read the state; None where there is none.

    Args:
        database: The file of ``--db``.
        extra: The names of the numbers that the engine keeps beside it.
        optional: The names of further ones, which earlier versions did not keep.

    Raises:
        LocalFilesDamaged: The file is not one that `save_state` wrote.
    """
    path = state_path(database)
    try:
        content = json.loads(read_regular(path))
        fence = content["fence"]
        state = ReplayState(
            int(content["position"]),
            int(content["base"]),
            None if fence is None else Fence(int(fence["start"]), int(fence["crc"])),
            content.get("pair"),
            decode_marks(content.get("marks")),
            content.get("diverged"),
            histories_of(content.get("histories", ())),
            decode_notes(content.get("transactions")),
        )
        names = (*extra, *(name for name in optional if name in content))
        return state, {name: int(content[name]) for name in names}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LocalFilesDamaged(
            f"{path} cannot be read as a replay state ({error!r}); restore it, or move it away with the copy to "
            f"start from a fresh snapshot"
        ) from error
