"""A follower's folder of cold segments, beside one of somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.counting import CountingEngine
from spgrepl.errors import LocalFilesDamaged
from spgrepl.replica.following.replay import Replay
from spgrepl.segments.format import segment_name
from spgrepl.segments.manifest import Manifest, ManifestSegment, write_manifest
from spgrepl.segments.store import SegmentStore


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """The folder of a server's database app.db."""
    paths = DatabasePaths.of(tmp_path / "app.db")
    paths.database.touch()
    paths.segments.mkdir(parents=True)
    for number in (1, 2):
        (paths.segments / segment_name(number)).write_bytes(b"segment")
    write_manifest(paths.manifest, Manifest(7, (ManifestSegment(1, "segments/seg_1.spg", 9),), 300))
    return paths.folder


@pytest.mark.parametrize("manifest", [True, False])
def test_the_folder_of_a_server_stays_as_it_is(tmp_path: Path, server: Path, manifest: bool) -> None:
    """app.copy would share it with app.db."""
    if not manifest:
        (server / "manifest.v10").unlink()
    before = _contents(server)
    for _ in range(2):
        with pytest.raises(LocalFilesDamaged, match=r"app\.spg holds cold segments"):
            SegmentStore(DatabasePaths.of(tmp_path / "app.copy")).open(None)
    assert _contents(server) == before


def _follow(paths: DatabasePaths, base: int | None, write: bool = False) -> None:
    replay = Replay(CountingEngine(paths.database), paths)
    replay.open()
    store = SegmentStore(paths)
    try:
        store.open(base)
        if write:
            store.installing(1, 100)
            store.installed(1)
    finally:
        store.close()
        replay.close()


def test_the_folder_of_another_follower_stays_as_it_is(tmp_path: Path) -> None:
    first = DatabasePaths.of(tmp_path / "app.db")
    second = DatabasePaths.of(tmp_path / "app.copy", tmp_path / "copy.wal")
    _follow(first, None, write=True)
    before = _contents(first.folder)
    with pytest.raises(LocalFilesDamaged, match=r"app\.spg holds cold segments"):
        _follow(second, None)
    assert _contents(first.folder) == before
    _follow(first, None)  # its own, with a copy or without


def test_what_the_process_writes_beside_its_copy_is_no_other_database(tmp_path: Path) -> None:
    """A copy that was removed, but for its folder, is taken again."""
    paths = DatabasePaths.of(tmp_path / "app.db")
    _follow(paths, None, write=True)
    for path in tmp_path.glob("app.wal*"):
        path.unlink()
    for name in ("app.pid", "app.log", "app.log.1"):
        (tmp_path / name).write_text("4711")
    _follow(paths, None)
    for path in tmp_path.glob("app.wal*"):
        path.unlink()
    (tmp_path / "app.login").write_text("a database, as far as one knows")
    with pytest.raises(LocalFilesDamaged, match=r"may be those of .*app\.login"):
        _follow(paths, None)


def test_segments_may_be_put_there_before_the_first_start(tmp_path: Path, server: Path) -> None:
    (tmp_path / "app.db").unlink()
    before = _contents(server)
    _follow(DatabasePaths.of(tmp_path / "app.db"), None)
    assert {name: before[name] for name in _contents(server)} | {"segments/seg_2.spg": b"segment"} == before


def test_a_folder_of_an_earlier_version_is_taken_over(tmp_path: Path, server: Path) -> None:
    (tmp_path / "app.db").unlink()
    paths = DatabasePaths.of(tmp_path / "app.db")
    _follow(paths, 100)
    _follow(paths, None)
    assert server.exists()
