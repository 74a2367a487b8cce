"""What all targets are held to: a promise that is not kept is raised as `Broken`."""

from __future__ import annotations


class Broken(AssertionError):
    """A promise that the code under test did not keep."""


def equal(what: str, found: object, expected: object) -> None:
    """Raise `Broken` unless two ways came to the same."""
    if found != expected:
        raise Broken(f"{what}: {found!r} against {expected!r}")


def ways_to_cut(data: bytes) -> tuple[bytes, list[list[bytes]]]:
    """Take the size of pieces from the first byte; return the rest whole, and cut in several ways."""
    size, rest = (data[0] % 32 + 1, data[1:]) if data else (1, b"")
    return rest, [[rest], cut(rest, size), cut(rest, 1)]


def cut(data: bytes, size: int) -> list[bytes]:
    """Cut bytes into pieces of one size."""
    return [data[at : at + size] for at in range(0, len(data), size)]
