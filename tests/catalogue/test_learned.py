"""What a master learned from its log is kept beside it: a restart reads what is new, or all where nothing fits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spgrepl.catalogue import learned, sources
from spgrepl.catalogue.definitions import Publications
from spgrepl.log.format.records import encode_statement, encode_v2
from tests.catalogue.test_sources import Rig, log_of, named
from tests.log.transactions.reference import effects
from tests.replica.following.copies import quick_folder

ROW = "INSERT INTO t VALUES (1)"
P = "CREATE PUBLICATION p FOR TABLE t"


class KeptRig(Rig):
    """A log, and the file with what was learned of it; it can be started again."""

    def __init__(self, folder: Path, wal: bytes = b"") -> None:
        self.folder = folder
        self.kept = folder / "data.wal.learned"
        super().__init__(folder, wal, b"opaque", kept=self.kept)

    def again(self, wal: bytes | None = None) -> KeptRig:
        """As after a restart, with another log where one is given."""
        content = (self.folder / "data.wal").read_bytes() if wal is None else wal
        self.source.close()
        self.log.close()
        (self.folder / "data.wal").unlink()
        found = object.__new__(KeptRig)
        found.folder, found.kept = self.folder, self.kept
        identity = self.snapshot.stat()
        Rig.__init__(found, self.folder, content, None, kept=self.kept)
        assert found.snapshot.stat() == identity
        return found


@pytest.fixture
def rigs(tmp_path: Path) -> Iterator[list[KeptRig]]:
    made = [KeptRig(tmp_path)]
    yield made
    made[-1].log.close()


@pytest.fixture
def began(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where reading began, each time."""
    found: list[int] = []
    learn = sources.learn

    def noted(handle: int, known: Any, *more: Any) -> Any:
        found.append(known.end)
        return learn(handle, known, *more)

    monkeypatch.setattr(sources, "learn", noted)
    return found


def test_a_restart_reads_what_is_new(rigs: list[KeptRig], began: list[int]) -> None:
    rigs[0].log.grow(log_of(P, ROW))
    length = rigs[0].log.length
    assert rigs[0].load() == (named(P), length)
    rigs.append(rigs[0].again())
    rigs[-1].log.grow(log_of("CREATE PUBLICATION q"))
    assert rigs[-1].load() == (named(P, "CREATE PUBLICATION q"), rigs[-1].log.length)
    assert began == [0, length]


def test_it_is_written_while_the_log_grows(rigs: list[KeptRig], monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed leaves what it knew some time before."""
    monkeypatch.setattr(sources, "SAVE_EVERY", 100)
    rigs[0].log.grow(log_of(P, ROW, ROW, ROW))
    rigs[0].load()
    written = rigs[0].kept.read_bytes()
    rigs[0].log.grow(log_of(ROW))
    rigs[0].load()
    assert rigs[0].kept.read_bytes() == written
    rigs[0].log.grow(log_of(*[ROW] * 10))
    rigs[0].load()
    assert rigs[0].kept.read_bytes() != written


def test_what_is_open_is_known_without_reading_it_again(rigs: list[KeptRig], began: list[int]) -> None:
    rigs[0].log.grow(log_of(P, "BEGIN", ROW, "BEGIN", ROW, "COMMIT"))
    begin = len(log_of(P))
    assert rigs[0].load() == (named(P), begin)
    length = rigs[0].log.length
    rigs.append(rigs[0].again())
    rigs[-1].log.grow(log_of("DROP PUBLICATION p", "COMMIT", ROW))
    assert rigs[-1].load() == (Publications(), rigs[-1].log.length)
    assert began == [0, length]


@pytest.mark.parametrize("texts", [["BEGIN", P], ["BEGIN", "SAVEPOINT a", ROW]])
def test_what_is_not_so_plain_is_read_from_the_begin_again(
    rigs: list[KeptRig], began: list[int], texts: list[str]
) -> None:
    rigs[0].log.grow(log_of(ROW, *texts))
    rigs[0].load()
    rigs.append(rigs[0].again())
    rigs[-1].log.grow(log_of("ROLLBACK"))
    assert rigs[-1].load() == (Publications(), rigs[-1].log.length)
    assert began == [0, len(log_of(ROW))]


def test_transactions_that_were_taken_for_dead(rigs: list[KeptRig]) -> None:
    log = log_of("BEGIN", P)
    rigs[0].log.grow(log)
    assert rigs[0].load() == (Publications(), 0)
    rigs[0].source.dropped[0] = len(log)
    more = log_of("CREATE PUBLICATION q")
    rigs[0].log.grow(more)
    assert rigs[0].load() == (named("CREATE PUBLICATION q"), len(log + more))
    rigs.append(rigs[0].again())
    assert rigs[-1].load() == (named("CREATE PUBLICATION q"), len(log + more))
    assert rigs[-1].source.dropped == {0: len(log)}


def lost_file(rig: KeptRig) -> None:
    rig.kept.unlink()


def damaged(rig: KeptRig) -> None:
    content = bytearray(rig.kept.read_bytes())
    content[len(content) // 2] ^= 1
    rig.kept.write_bytes(content)


def of_another_version(rig: KeptRig) -> None:
    content = json.loads(rig.kept.read_text().partition(" ")[2])
    text = json.dumps({**content, "version": 99})
    rig.kept.write_text(f"{crc32(text.encode()):08x} {text}\n")


def another_snapshot(rig: KeptRig) -> None:
    rig.snapshot.write_bytes(b"another one")


@pytest.mark.parametrize("happens", [lost_file, damaged, of_another_version, another_snapshot])
def test_a_file_that_does_not_fit_is_made_again(rigs: list[KeptRig], began: list[int], happens: Any) -> None:
    rigs[0].log.grow(log_of(P, ROW))
    rigs[0].load()
    rigs.append(rigs[0].again())
    happens(rigs[-1])
    assert rigs[-1].load() == (named(P), rigs[-1].log.length)
    assert began == [0, 0]
    rigs[-1].source.close()
    assert learned._content(rigs[-1].kept) is not None


@pytest.mark.parametrize("other", [log_of(ROW), log_of("CREATE PUBLICATION z FOR TABLE t", ROW), b""])
def test_another_log_is_read_from_its_start(rigs: list[KeptRig], other: bytes) -> None:
    rigs[0].log.grow(log_of(P, ROW))
    rigs[0].load()
    rigs.append(rigs[0].again(other))
    publications, position = rigs[-1].load()
    assert position == len(other)
    assert "p" not in publications.by_name


def test_a_file_of_somebody_else_stays(rigs: list[KeptRig]) -> None:
    rigs[0].kept.write_text("a letter")
    rigs[0].log.grow(log_of(P))
    rigs[0].load()
    rigs[0].source.close()
    assert rigs[0].kept.read_text() == "a letter"


def test_a_disk_that_refuses_is_no_concern_of_subscribers(
    rigs: list[KeptRig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(learned, "replace_file", full)
    monkeypatch.setattr(sources, "SAVE_EVERY", 1)
    rigs[0].log.grow(log_of(P))
    assert rigs[0].load() == (named(P), rigs[0].log.length)


texts = st.sampled_from(["BEGIN", "COMMIT", "ROLLBACK", ROW, P, "DROP PUBLICATION p", "CREATE PUBLICATION q"])


@given(
    st.lists(st.tuples(texts, st.booleans()), max_size=16), st.lists(st.integers(0, 800), max_size=5).map(sorted)
)
def test_restarts_change_nothing(items: list[tuple[str, bool]], stops: list[int]) -> None:
    log = b"".join((encode_statement if alone else encode_v2)(text.encode()) for text, alone in items)
    judged = effects([(text.encode(), alone) for text, alone in items])
    assume(judged.ambiguous is None)
    with quick_folder() as folder:
        rig = KeptRig(folder)
        plain = Rig(folder / ".", b"")
        plain.log.close()
        for low, high in zip([0, *stops], [*stops, len(log)], strict=True):
            rig.log.grow(log[low : max(low, high)])
            rig.load()
            rig = rig.again()
        found = rig.load()
        rig.kept.unlink(missing_ok=True)
        rig = rig.again()
        rig.kept.unlink(missing_ok=True)
        assert found == rig.load()
        rig.log.close()
