"""The file of statements that put a copy right: all of them, or no file."""

from __future__ import annotations

import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.comparing.repairing import SERVER_HEAD, RepairFile
from spgrepl.errors import UsageError


@attrs.frozen
class Difference:
    """Rows of a table with a unique column, at both ends."""

    key: int
    here: int | None
    there: int | None

    def statements(self) -> tuple[bytes | None, bytes | None]:
        return (
            None if self.there is None else b"DELETE FROM t WHERE k = %d" % self.key,
            None if self.here is None else b"INSERT INTO t VALUES (%d, %d)" % (self.key, self.here),
        )


tables = st.dictionaries(st.integers(0, 5), st.integers(0, 9), max_size=6).filter(
    lambda table: len(set(table.values())) == len(table)
)


@settings(max_examples=30)
@given(tables, tables)
def test_no_two_rows_are_in_each_others_way(
    tmp_path_factory: pytest.TempPathFactory, here: dict[int, int], there: dict[int, int]
) -> None:
    path = tmp_path_factory.mktemp("repair") / "repair.sql"
    with closing(apsw.Connection(":memory:")) as connection:
        connection.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v UNIQUE)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", list(there.items()))
        with RepairFile(path) as file:
            for key in sorted(here.keys() | there.keys()):
                if here.get(key) != there.get(key):
                    file.add(Difference(key, here.get(key), there.get(key)))
        connection.execute(path.read_text())
        assert dict(connection.execute("SELECT * FROM t")) == here
        assert not connection.in_transaction


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    with RepairFile(tmp_path / "a.sql", SERVER_HEAD) as file:
        file.add(Difference(1, 2, 3))
    assert file.statements == 2
    assert stat.S_IMODE((tmp_path / "a.sql").stat().st_mode) == 0o600
    assert (tmp_path / "a.sql").read_bytes().startswith(SERVER_HEAD)


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.sql"
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is there already"):
        RepairFile(path)
    assert path.is_symlink()


def test_less_than_all_leaves_no_file(tmp_path: Path) -> None:
    def write() -> None:
        with RepairFile(tmp_path / "a.sql") as file:
            file.add(Difference(1, 2, 3))
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"), RepairFile(tmp_path / "a.sql") as file:
        file.add(Difference(1, 2, 3))
    assert list(tmp_path.iterdir()) == []
