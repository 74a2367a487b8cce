"""``spgrepl segments verify|ls|cat``: check the cold segments of a database, list them, print the rows of one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import attrs

from spgrepl.cli.parts import segment_rows
from spgrepl.cli.parts.reading_line import ReadingLine
from spgrepl.errors import EXIT_DATA, SegmentDamaged, UsageError
from spgrepl.segments.format import SegmentCheck, SegmentSummary, reason_left_out, segment_id_of
from spgrepl.segments.manifest import Manifest, read_manifest
from spgrepl.text.quantities import number_of

_BLOCK = 1024 * 1024
_HEAD = 4096
_FOLDER = "segments"
_TEMPORARY = ".incoming"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl segments``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    verify = actions.add_parser(
        "verify",
        help="read all segments and check them",
        description="Read every segment to its end and check it against its own checksum and the manifest. Exit "
        "code 0: all are sound and registered; 65: what is wrong was printed.",
    )
    ls = actions.add_parser(
        "ls",
        help="list segments",
        description="List segments with their lengths, and the rows and keys that they state; nothing is checked.",
    )
    cat = actions.add_parser(
        "cat",
        help="print the rows of one segment",
        description="Print the rows of a segment as JSON, one a line: the key, whether it is alive by the "
        "snapshot, and the columns (binary values as hexadecimal digits). Exit code 65: a row does not fit.",
    )
    segment_rows.configure(cat)
    for action in (verify, ls):
        action.add_argument(
            "folder",
            type=Path,
            metavar="DIR",
            help="the folder of the segments, or the <stem>.spg that holds it and the manifest",
        )


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl segments``."""
    if arguments.action == "cat":
        return segment_rows.run(arguments)
    inventory = _Inventory.of(arguments.folder)
    return _verify(inventory) if arguments.action == "verify" else _ls(inventory)


@attrs.frozen
class _Inventory:
    """What there is and what there should be.

    Attributes:
        folder: The folder of the files.
        manifest: The manifest beside it; None where there is none.
        files: The files that are there, by id.
        registered: What the manifest states, by id: the file's name and its CRC-32.
        leftovers: The names of files that were never whole.
    """

    folder: Path
    manifest: Manifest | None
    files: dict[int, Path]
    registered: dict[int, tuple[str, int]]
    leftovers: list[str]
    left_out: list[str]

    @classmethod
    def of(cls, given: Path) -> _Inventory:
        if not given.is_dir():
            raise UsageError(f"{given} is not a folder; name that of the segments, or the <stem>.spg around it")
        folder = given / _FOLDER if (given / _FOLDER).is_dir() else given
        manifest = read_manifest(folder.parent / "manifest.v10")
        registered = {}
        present = sorted(folder.iterdir())
        refused = {path.name: reason_left_out(path.name, path.lstat().st_mode) for path in present}
        files = {
            number: path
            for path in present
            if (number := segment_id_of(path.name)) is not None and refused[path.name] is None
        }
        for one in manifest.segments if manifest is not None else ():
            name = PurePosixPath(one.path).name
            registered[one.id] = (name, one.crc)
            if (folder / name).is_file():
                files[one.id] = folder / name
        leftovers = sorted(path.name for path in folder.iterdir() if path.name.endswith(_TEMPORARY))
        listed = {path.name for path in files.values()}
        left_out = [f"{name!r}: {reason}" for name, reason in refused.items() if reason and name not in listed]
        found = manifest is not None or files or leftovers or left_out
        # A database without cold segments has an empty folder of that name.
        if not found and folder.name != _FOLDER:
            raise UsageError(
                f"{given} holds no segments (seg_….spg) and no manifest (manifest.v10); name the folder of the "
                f"segments, or the <stem>.spg around it"
            )
        return cls(folder, manifest, files, registered, leftovers, left_out)

    def ids(self) -> list[int]:
        return sorted(self.files.keys() | self.registered.keys())

    def standing(self, number: int) -> str:
        """How a segment stands in the manifest."""
        if self.manifest is None:
            return "no manifest"
        if number not in self.registered:
            return "not registered"
        return "registered" if number in self.files else "MISSING"


def _ls(inventory: _Inventory) -> int:
    for number in inventory.ids():
        path = inventory.files.get(number)
        size = "-" if path is None else f"{path.stat().st_size:,}"
        name = inventory.registered[number][0] if path is None else f"{path.name}  {_described(path)}"
        print(f"{number:>10} {size:>17}  {inventory.standing(number):<14} {name}")
    _print_leftovers(inventory)
    return 0


def _described(path: Path) -> str:
    """What a segment's head says."""
    check = SegmentCheck(path.name)
    with open(path, "rb") as file:
        while check.content is None and (block := file.read(_HEAD)):
            check.update(block)
    try:
        return check.so_far().described
    except SegmentDamaged as error:
        return str(error)


def _print_leftovers(inventory: _Inventory) -> None:
    for named in inventory.left_out:
        print(f"{'':>28}  never served   {named}")
    for name in inventory.leftovers:
        print(f"{'-':>10} {(inventory.folder / name).stat().st_size:>17,}  never whole    {name}")


def _verify(inventory: _Inventory) -> int:
    progress = _Reading(sum(path.stat().st_size for path in inventory.files.values()))
    wrong = 0
    for number in inventory.ids():
        verdict, detail = _judge(inventory, number, progress.add)
        wrong += verdict != "sound"
        progress.clear()
        print(f"{number:>10}  {verdict:<14} {detail}", flush=True)
    _print_leftovers(inventory)
    # Where a manifest lists the segments, other files harm nobody.
    left_out = len(inventory.left_out) if inventory.manifest is None else 0
    count, wrong = len(inventory.ids()) + left_out, wrong + left_out
    print(f"segments: {count}, wrong: {wrong}")
    if wrong:
        print(
            "A follower receives again what is missing or differs when it is started again; at a master, restore "
            "the files from a copy.",
            file=sys.stderr,
        )
    return EXIT_DATA if wrong else 0


def _judge(inventory: _Inventory, number: int, progress: Callable[[int], None]) -> tuple[str, str]:
    """A word on a segment, and what was found."""
    path = inventory.files.get(number)
    if path is None:
        return "MISSING", f"{inventory.registered[number][0]} is registered and not there"
    try:
        summary = _read(path, progress)
    except SegmentDamaged as error:
        return "DAMAGED", str(error)
    found = (
        f"{path.name}, {number_of(summary.length, 'byte', form=',')}, {summary.described}, CRC {summary.crc:08x}"
    )
    if inventory.manifest is not None:
        if number not in inventory.registered:
            return "not registered", found
        stated = inventory.registered[number][1]
        if stated != summary.crc:
            return "DIFFERS", f"{found}; the manifest states CRC {stated:08x}"
    return "sound", found


def _read(path: Path, progress: Callable[[int], None]) -> SegmentSummary:
    check = SegmentCheck(path.name)
    for block in _blocks(path):
        check.update(block)
        progress(len(block))
    return check.finish()


def _blocks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            yield block


class _Reading(ReadingLine):
    """Tells how far reading has come, over all segments."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._read = 0

    def add(self, size: int) -> None:
        self._read += size
        self(self._read)
