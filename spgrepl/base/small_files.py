"""Files that a user names: opened where they are files, and read whole where they are small."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from spgrepl.text.quantities import number_of

MOST_BYTES = 4 * 1024 * 1024
"""A file that is longer is something else."""


def descriptor_of_regular(path: Path) -> int:
    """Open a file for reading, and neither a device without an end nor a pipe that nobody writes into.

    Returns:
        A descriptor, which the caller closes.

    Raises:
        OSError: It cannot be opened, or is not a regular file; `strerror` says which.
    """
    # A pipe without a writer would let a blocking open wait for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, "it is not a regular file", str(path))
    return handle


def open_regular(path: Path) -> BinaryIO:
    """Open a file as `descriptor_of_regular` does."""
    return open(descriptor_of_regular(path), "rb")


def read_regular(path: Path) -> bytes:
    """Read a file of ours whole, whatever has its name.

    Raises:
        OSError: It cannot be read, or is not a regular file; `strerror` says which.
    """
    with open_regular(path) as file:
        return file.read()


def read_small(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a file whole.

    Args:
        path: The file.
        most: The most bytes that it may have.

    Raises:
        OSError: It cannot be read, is not a regular file, or is longer; `strerror` says which.
    """
    with open_regular(path) as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise OSError(
            errno.EFBIG,
            f"it is longer than {number_of(most, 'byte')}, and so not what is expected here",
            str(path),
        )
    return found
