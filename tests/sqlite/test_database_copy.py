"""Whole databases: looked at, copied beside, copied over one that others have open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import SnapshotError
from spgrepl.sqlite.database_copy import (
    SQLITE_MAGIC,
    check_head,
    inspect_snapshot,
    overwrite_database,
    save_database,
)
from spgrepl.sqlite.session import Patience
from tests.primary.copying import Writer, content, opened

ROWS = (
    "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200) "
    "INSERT INTO t (rowid, a) SELECT i * 7, i FROM n"
)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with opened(tmp_path, "CREATE TABLE t (a)", ROWS) as made:
        yield made


@given(st.binary(max_size=20))
def test_only_the_head_of_a_database_passes(head: bytes) -> None:
    check_head(SQLITE_MAGIC + head)
    check_head(b"SPGDB001" + head, spg=True)
    with pytest.raises(SnapshotError, match="an SPG server's own"):
        check_head(b"SPGENV01" + head)
    for other in (head, SQLITE_MAGIC[: len(head)][:15]):
        with pytest.raises(SnapshotError, match=r"expects a SQLite database.* follow that"):
            check_head(other, spg=True)


def test_a_copy_is_of_one_moment_and_has_the_same_row_numbers(writer: Writer, tmp_path: Path) -> None:
    position = save_database(writer.paths.database, tmp_path / "copy")
    assert position == writer.position
    inspect_snapshot(tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "copy-wal").exists()
    with (
        closing(apsw.Connection(str(tmp_path / "copy"))) as copy,
        closing(apsw.Connection(str(writer.paths.database))) as original,
    ):
        assert content(copy) == content(original)


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_it_replaces_one_that_others_read_whatever_its_page_size(
    writer: Writer, tmp_path: Path, page_size: int
) -> None:
    target = tmp_path / "target.db"
    with closing(apsw.Connection(str(target))) as connection, closing(apsw.Connection(str(target))) as reader:
        connection.execute(
            f"PRAGMA page_size = {page_size}; PRAGMA journal_mode = WAL; CREATE TABLE old (a)"
        ).fetchall()
        reader.execute("BEGIN; SELECT * FROM old").fetchall()
        overwrite_database(writer.paths.database, connection)
        assert reader.table_exists("main", "old")
        reader.execute("COMMIT")
        assert reader.execute("SELECT sum(rowid * a) FROM t").get == sum(7 * i * i for i in range(1, 201))
        assert not reader.table_exists("main", "old")
    assert not [path for path in tmp_path.iterdir() if "refitted" in path.name]


def test_it_ends_when_a_service_is_stopped(writer: Writer) -> None:
    patience = Patience()
    patience.stopped = True
    with closing(apsw.Connection(":memory:")) as connection, pytest.raises(apsw.InterruptError, match="stopped"):
        overwrite_database(writer.paths.database, connection, patience)


def test_a_damaged_page_is_found(writer: Writer, tmp_path: Path) -> None:
    with closing(apsw.Connection(str(tmp_path / "copy"))) as connection:
        connection.execute(f"CREATE TABLE t (a); {ROWS}")
    inspect_snapshot(tmp_path / "copy")
    with open(tmp_path / "copy", "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 100)
    with pytest.raises(SnapshotError, match="is a damaged SQLite database"):
        inspect_snapshot(tmp_path / "copy")


def test_one_without_a_state_is_not_served(tmp_path: Path) -> None:
    with closing(apsw.Connection(str(tmp_path / "a.db"))) as connection:
        connection.execute("CREATE TABLE t (a)")
    with pytest.raises(SnapshotError, match=r"has no replication state; run `spgrepl exec"):
        save_database(tmp_path / "a.db", tmp_path / "copy")
    with pytest.raises(SnapshotError, match="cannot be copied"):
        save_database(tmp_path / "nowhere.db", tmp_path / "other")
