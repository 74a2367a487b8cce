"""What is made of files: made again when they change, and kept while they do not fit together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from spgrepl.access.reloading import Reloading
from spgrepl.errors import UsageError


class Files:
    """Two files that fit where they hold the same."""

    def __init__(self, folder: Path) -> None:
        self.paths = [folder / "one", folder / "two"]
        self.loads = 0
        self._stamps = 0
        self.write("a", "a")
        self.clock = Clock()

    def write(self, *contents: str | None) -> None:
        """Write both, or remove one."""
        self._stamps += 1
        for path, content in zip(self.paths, contents, strict=True):
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_text(content)
                os.utime(path, (self._stamps, self._stamps))

    def load(self) -> str:
        """What they hold."""
        self.loads += 1
        found = {path.read_text() if path.exists() else None for path in self.paths}
        if len(found) > 1 or None in found:
            raise UsageError(f"they do not fit: {sorted(map(str, found))}")
        return str(found.pop())

    def made(self) -> Reloading[str]:
        """What is made of them."""
        return Reloading(self.clock, self.paths, self.load)


def test_nothing_is_read_again_while_nothing_changes(tmp_path: Path) -> None:
    files = Files(tmp_path)
    made = files.made()
    for _ in range(5):
        assert made.current() == "a"
    assert (files.loads, made.reloads, made.error) == (1, 0, None)


def test_what_does_not_fit_is_not_taken_and_tried_again_after_a_second(tmp_path: Path) -> None:
    files = Files(tmp_path)
    made = files.made()
    files.clock.advance(10)
    files.write("b", "a")
    assert [made.current(), made.current()] == ["a", "a"]
    assert files.loads == 2
    assert "they do not fit" in str(made.error)
    files.clock.advance(1.1)
    assert made.current() == "a"
    assert files.loads == 3
    files.write("b", "b")
    assert (made.current(), made.reloads, made.error) == ("b", 1, None)


def test_files_that_are_put_back_are_not_an_error(tmp_path: Path) -> None:
    files = Files(tmp_path)
    made = files.made()
    stamps = [path.stat() for path in files.paths]
    files.clock.advance(10)
    os.rename(files.paths[1], tmp_path / "away")
    assert made.current() == "a"
    assert made.error is not None
    os.rename(tmp_path / "away", files.paths[1])
    assert [path.stat().st_ino for path in files.paths] == [stamp.st_ino for stamp in stamps]
    assert (made.current(), made.error, made.reloads) == ("a", None, 0)


def test_the_first_time_it_has_to_fit(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.write("a", None)
    with pytest.raises(UsageError, match="do not fit"):
        files.made()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["a", "b", None]), st.booleans()), max_size=8))
def test_in_use_is_what_fitted_last(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str | None, bool]]
) -> None:
    files = Files(tmp_path_factory.mktemp("files"))
    made = files.made()
    last = "a"
    for one, other, wait in steps:
        files.clock.advance(2 if wait else 0)
        files.write(one, other)
        last = one if one == other else last
        assert made.current() == last
        assert (made.error is None) == (one == other)
