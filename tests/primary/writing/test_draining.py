"""A primary that takes no more writes says so in its database."""

from __future__ import annotations

from pathlib import Path

from spgrepl.primary.parts.settings import is_drained
from spgrepl.primary.writing.draining import store_drained
from tests.primary.copying import opened


def test_it_is_written_down_and_taken_back(tmp_path: Path) -> None:
    with opened(tmp_path, "CREATE TABLE t (a)") as writer:
        logged = writer.logged()
        for on in (True, False):
            session = writer.start_group(durable=False)
            session.rollback()
            store_drained(session, on)
            assert is_drained(session.connection) is on
            assert not session.in_transaction
            assert writer.rows("SELECT value FROM spgrepl_settings WHERE name = 'drained'") == [(int(on),)]
        assert writer.logged() == logged
