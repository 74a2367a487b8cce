"""A count and a digest of statements, which move with transactions."""

from __future__ import annotations

import struct
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from spgrepl.engines.statement_digest import StatementDigest, python_digest

statements = st.lists(st.binary(max_size=20) | st.just(b"x" * 4096) | st.just(b"y" * 5000), max_size=5)


def plain(texts: list[bytes], before: int = 0) -> int:
    for text in texts:
        before = crc32(struct.pack("<I", len(text)) + text, before)
    return before


@given(statements, st.integers(0, 2**32 - 1))
def test_the_digest_is_the_documented_one(texts: list[bytes], before: int) -> None:
    digest = StatementDigest()
    digest.reset(before)
    digest.add(texts)
    assert digest.pending == python_digest(texts, before) == plain(texts, before)


def test_it_moves_with_transactions() -> None:
    digest = StatementDigest()
    digest.add([b"a", b"b"])
    assert (digest.statements, digest.committed) == (0, 0)
    digest.rollback()
    digest.add([b"a"])
    digest.commit()
    digest.add([b"lost"])
    digest.rollback()
    digest.commit()
    assert (digest.statements, digest.committed) == (1, plain([b"a"]))
    assert str(digest) == f"{plain([b'a']):08x}"
