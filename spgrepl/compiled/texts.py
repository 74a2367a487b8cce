"""The statements of many records, in a list or held by the compiled core: what is asked of all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard, cast

from spgrepl.compiled.core import CORE, CompiledTexts

Texts = Sequence[bytes | None]
"""For each record its statement as UTF-8; None where there is none."""


def is_compiled(texts: Texts) -> TypeGuard[CompiledTexts]:
    """Whether the compiled core holds these, so that its functions can read them."""
    return CORE is not None and isinstance(texts, cast("type", CORE.Statements))


def front_of(texts: Texts, count: int) -> Texts:
    """The first of them."""
    return texts.part(0, count) if is_compiled(texts) else texts[:count]


def part_of(texts: Texts, first: int, stop: int) -> Texts:
    """Some that follow each other; not copied where these are all, or the compiled core holds them."""
    if first == 0 and stop == len(texts):
        return texts
    return texts.part(first, stop) if is_compiled(texts) else texts[first:stop]


def has_empty(texts: Sequence[bytes]) -> bool:
    """Whether one of them is empty."""
    return b"" in texts if is_compiled(texts) else not all(texts)


def with_semicolon(texts: Texts, stop: int) -> list[int]:
    """The indices below `stop` of those that hold a semicolon: they may be several statements."""
    if is_compiled(texts):
        return texts.containing(b";", stop)
    # One look at all of them at once settles it for nearly every batch.
    if b";" not in _joined(texts):
        return []
    return [index for index, text in enumerate(texts[:stop]) if text is not None and b";" in text]


def ending_with(texts: Texts, end: bytes) -> list[int]:
    """The indices of those that end so."""
    if is_compiled(texts):
        return texts.ending(end)
    # As above: what ends so is nowhere in most batches. Often not even its last byte, which is found much faster.
    joined = _joined(texts)
    if end[-1:] not in joined or end not in joined:
        return []
    return [index for index, text in enumerate(texts) if text is not None and text.endswith(end)]


def _joined(texts: Texts) -> bytes:
    """All texts, one to a line."""
    try:
        return b"\n".join(texts)  # type: ignore[arg-type]  # mostly none is None
    except TypeError:
        return b"\n".join(filter(None, texts))
