"""Small files that a user names: settings, tokens, certificates."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST_BYTES = 4 * 1024 * 1024
"""A file that is longer is something else."""


def read_small(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a file whole, and neither a device without an end nor a pipe that nobody writes into.

    Args:
        path: The file.
        most: The most bytes that it may have.

    Raises:
        OSError: It cannot be read, is not a regular file, or is longer; `strerror` says which.
    """
    # A pipe without a writer would let a blocking open wait for ever.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        found = file.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, f"it is longer than {most} bytes, and so not what is expected here", str(path))
    return found
