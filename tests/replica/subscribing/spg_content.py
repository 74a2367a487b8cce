"""The snapshot of an SPG server, for the tests of an initial copy."""

from __future__ import annotations

from tests.spg import writer as w

INT, TEXT = w.u8(1), w.u8(4)


def content(cold: bool = False) -> bytes:
    """Two tables; the publication `news` takes one of them, `rest` all but that one."""
    key = {7: w.list16(w.u8(1) + w.list16(w.u16(0)) + w.u8(0))}
    columns = [w.column("id", INT, 0), w.column("text", TEXT)]
    stored = [w.row(w.i32(1), w.text("one")), w.row(w.i32(2), w.text("dead")), w.row(w.i32(3), None)]
    entries = [(1, [w.hot(0)]), *([(9, [w.cold(4)])] if cold else [])]
    tables = [
        w.table(100, "articles", columns, stored, [w.btree(100, "by_text", 1)], dead=[1], blocks=key),
        w.table(100, "other", columns, stored[:1], [w.btree(100, "i", 0, entries)], blocks=key),
    ]
    published = w.publications(("news", 1, ("articles",)), ("rest", 2, ("articles",)), ("every", 0, ()))
    return w.envelope(5, w.catalog(100, *tables), b"", published)
