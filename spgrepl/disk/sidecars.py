"""Small files beside a log that other programs read too: the applied position, the cluster id."""

from __future__ import annotations

import secrets
import struct

from spgrepl.base.small_files import read_regular
from spgrepl.disk.files import DatabasePaths, replace_file
from spgrepl.errors import LocalFilesDamaged, unusable_file
from spgrepl.text.quantities import number_of

_U64 = struct.Struct("<Q")


def write_applied_position(paths: DatabasePaths, position: int) -> None:
    """Write the sidecar with the applied position. It is a copy only, so it is not fsynced."""
    replace_file(paths.applied_position, _U64.pack(position), durable=False)


def check_applied_position(paths: DatabasePaths) -> None:
    """See that nothing else has the name of the sidecar that is written again and again.

    Raises:
        LocalFilesDamaged: Something has.
    """
    path = paths.applied_position
    if path.is_symlink() or (path.exists() and not (path.is_file() and path.stat().st_size <= _U64.size)):
        raise LocalFilesDamaged(f"{path} is there and does not hold a position: move it away")


def load_cluster_id(paths: DatabasePaths) -> int:
    """Read the cluster id, or make one at first start.

    Returns:
        A number from 1 to 2⁶⁴ − 1.

    Raises:
        LocalFilesDamaged: The file is not 8 bytes long. It is never replaced: another id would hide a loop.
        ConfigurationError: It may not be read or made there.
        EngineFailed: The disk refuses.
    """
    try:
        try:
            content = read_regular(paths.cluster_id)
        except FileNotFoundError:
            made = secrets.randbits(64) or 1
            replace_file(paths.cluster_id, _U64.pack(made))
            return made
    except OSError as error:
        raise unusable_file(error, f"{paths.cluster_id} cannot be read or made") from error
    if len(content) != _U64.size:
        raise LocalFilesDamaged(
            f"{paths.cluster_id} holds {number_of(len(content), 'byte')}, expected 8; restore it, or "
            f"remove it to get a new id"
        )
    return int(_U64.unpack(content)[0])
