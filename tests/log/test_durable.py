"""What a writer says of its log's durable length, and what readers make of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from spgrepl.errors import LocalFilesDamaged
from spgrepl.log.durable import (
    DurableFile,
    DurableLength,
    DurableReader,
    boot_id,
    durable_path,
    read_durable,
    read_durable_of,
)

_U64 = st.integers(0, 2**64 - 1)
_BOOTS = st.binary(min_size=16, max_size=16)
_LENGTHS = st.builds(DurableLength, _U64, _U64, st.booleans(), st.booleans(), _BOOTS, st.booleans())


@given(_LENGTHS)
def test_what_is_written_is_read(length: DurableLength) -> None:
    assert DurableLength.decode(length.encode()) == length


@given(_LENGTHS, st.data())
def test_a_flipped_bit_is_noticed(length: DurableLength, data: st.DataObject) -> None:
    content = bytearray(length.encode())
    at = data.draw(st.integers(0, 8 * len(content) - 1))
    content[at // 8] ^= 1 << at % 8
    assert DurableLength.decode(bytes(content)) is None


@given(st.binary(max_size=100))
def test_anything_may_be_read(content: bytes) -> None:
    assert DurableLength.decode(content) is None


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        ({}, 60),
        ({"length": 200}, 100),
        ({"open": False}, 100),
        ({"inode": 8}, 100),
        ({"boot": b"another start..."}, 100),
    ],
)
def test_how_much_counts(change: dict[str, object], counted: int) -> None:
    """A log of 100 bytes, of which its writer says that 60 are durable."""
    length = attrs.evolve(DurableLength(7, 60, open=True), **change)  # type: ignore[arg-type] - a table of cases
    assert length.limit(7, 100) == counted
    assert length.governs(7) == (counted == 60 or length.length == 200)


def test_only_a_writer_of_this_start_is_exact() -> None:
    said = DurableLength(7, 60, open=True)
    assert said.is_exact
    assert not attrs.evolve(said, open=False).is_exact
    assert not attrs.evolve(said, boot=bytes(16)).is_exact
    assert len(boot_id()) == 16


@pytest.fixture
def wal(tmp_path: Path) -> Path:
    path = tmp_path / "x.wal"
    path.write_bytes(b"0123456789")
    return path


@pytest.fixture
def log(wal: Path) -> Iterator[int]:
    handle = os.open(wal, os.O_RDWR)
    yield handle
    os.close(handle)


def test_a_writer_and_a_reader(wal: Path, log: int) -> None:
    writer, reader = DurableFile(wal), DurableReader(wal)
    assert reader.read() is None
    writer.begin(log, 3, refused=False)
    inode = wal.stat().st_ino
    assert reader.read() == DurableLength(inode, 3, open=True)
    writer.publish(7)
    assert reader.read() == read_durable(wal) == DurableLength(inode, 7, open=True)
    writer.publish(9, refused=True)
    assert writer.mark_due
    assert reader.read() == DurableLength(inode, 9, open=True, refused=True)
    writer.publish(10)
    assert not writer.mark_due
    writer.end()
    assert reader.read() == DurableLength(inode, 10, open=False)
    writer.begin(log, 10, refused=True)
    writer.leave()
    assert reader.read() == DurableLength(inode, 10, open=True, refused=True)
    reader.close()


@pytest.mark.parametrize("content", [b"", bytes(5), bytes(len(DurableLength(0, 0, open=True).encode()))])
def test_what_a_loss_of_power_leaves_says_nothing(wal: Path, log: int, content: bytes) -> None:
    durable_path(wal).write_bytes(content)
    assert read_durable(wal) is None
    writer = DurableFile(wal)
    writer.begin(log, 10, refused=False)
    assert read_durable(wal) is not None
    writer.end()


_WHOLE = DurableLength(1, 2, open=True).encode()


@pytest.mark.parametrize("content", [_WHOLE[:20], _WHOLE[:5] + bytes(43), _WHOLE[:30] + bytes(18)])
def test_one_that_a_loss_of_power_has_torn(wal: Path, log: int, content: bytes) -> None:
    """Readers wait for the next writer, who knows it for its own."""
    durable_path(wal).write_bytes(content)
    with pytest.raises(LocalFilesDamaged, match="Start the primary that writes the log"):
        read_durable(wal)
    assert read_durable_of(wal, wal.stat().st_ino, 10) is None
    writer = DurableFile(wal)
    writer.begin(log, 10, refused=False)
    assert read_durable(wal) is not None
    writer.end()


@pytest.mark.parametrize("content", [b"a diary", bytes(200), DurableLength(1, 2, open=True).encode() + b"x"])
def test_a_file_of_somebody_else_is_left_alone(wal: Path, log: int, content: bytes) -> None:
    durable_path(wal).write_bytes(content)
    with pytest.raises(LocalFilesDamaged, match=r"x\.wal\.durable does not say how much of .*x\.wal is durable"):
        read_durable(wal)
    with pytest.raises(LocalFilesDamaged, match="or move it away"):
        read_durable_of(wal, 1, 10)
    with pytest.raises(LocalFilesDamaged, match="or move it away"):
        DurableFile(wal).begin(log, 10, refused=False)
    assert durable_path(wal).read_bytes() == content


def test_a_file_that_was_removed_is_made_again(wal: Path, log: int) -> None:
    """Whoever looks for it would take all of the log for durable."""
    writer, reader = DurableFile(wal), DurableReader(wal)
    writer.begin(log, 3, refused=False)
    reader.read()
    durable_path(wal).unlink()
    assert reader.read() is None
    writer.publish(4)
    found = reader.read()
    assert found is not None
    assert found.length == 4
    writer.end()
    reader.close()


@pytest.mark.parametrize("harm", [lambda path: path.mkdir(), lambda path: path.write_bytes(b"a diary")])
def test_one_that_cannot_be_written_is_named_once(wal: Path, log: int, harm: Callable[[Path], None]) -> None:
    """What is durable stays so; readers wait."""
    told: list[LogEvent] = []
    writer, path = DurableFile(wal), durable_path(wal)
    writer.begin(log, 3, refused=False)
    path.unlink()
    harm(path)
    globalLogPublisher.addObserver(told.append)
    try:
        writer.publish(4)
        writer.publish(5)
    finally:
        globalLogPublisher.removeObserver(told.append)
        writer.leave()
        (event,) = told
    assert "is not sent on before it can" in (formatEvent(event) or "")
    assert writer.complaint == formatEvent(event)
    assert path.is_dir() or path.read_bytes() == b"a diary"


@pytest.mark.parametrize(("mode", "expected"), [(0o600, 0o600), (0o640, 0o640), (0o755, 0o644)])
def test_who_may_read_the_log_may_read_this(wal: Path, log: int, mode: int, expected: int) -> None:
    wal.chmod(mode)
    writer = DurableFile(wal)
    writer.begin(log, 3, refused=False)
    assert stat.S_IMODE(durable_path(wal).stat().st_mode) == expected
    writer.end()
