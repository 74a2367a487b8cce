"""The rows of a table that were frozen into segments: which of them are alive, and what they hold.

Only the catalog says which rows of which segments live: a file that exists says nothing. A row whose segment is
not there is named by its table and key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from spgrepl.segments.format import segment_name
from spgrepl.spg.blocks.schema import Table
from spgrepl.spg.segment import PayloadDecoder, SegmentFile
from spgrepl.spg.snapshot import Snapshot
from spgrepl.spg.values.rows import Row
from spgrepl.text.quantities import number_of

MOST_OPEN = 256
"""How many segments are open at once."""

NAMED = 20
"""How many missing rows are named."""


@attrs.define
class MissingRows:
    """The rows of one table that are in segments which are not there.

    Attributes:
        table: The table's name.
        count: How many rows.
        keys: The first of them: the column's name, key and segment of each.
        segments: The segments, by id, and how many rows each should bring.
    """

    table: str
    column: str
    count: int = 0
    keys: list[tuple[int, int]] = attrs.field(factory=list)
    segments: dict[int, int] = attrs.field(factory=dict)

    def add(self, key: int, segment: int) -> None:
        """Note a row."""
        self.count += 1
        if len(self.keys) < NAMED:
            self.keys.append((key, segment))
        self.segments[segment] = self.segments.get(segment, 0) + 1

    def __str__(self) -> str:
        named = ", ".join(f"{self.column} = {key} (segment {segment})" for key, segment in self.keys)
        more = f" and {self.count - len(self.keys):,} more" if self.count > len(self.keys) else ""
        return f"{number_of(self.count, 'row', form=',')} of {self.table}: {named}{more}"


class ColdRows:
    """Reads the rows of segments that a snapshot says to be alive. Blocking; close it.

    Args:
        snapshot: The snapshot.
        folder: Where the segments' files are; None where there are none.
    """

    def __init__(self, snapshot: Snapshot, folder: Path | None) -> None:
        self._snapshot = snapshot
        self._folder = folder
        self._open: dict[int, SegmentFile | None] = {}

    def close(self) -> None:
        """Close all segments."""
        files, self._open = self._open, {}
        for file in files.values():
            if file is not None:
                file.close()

    def rows(self, table: Table, missing: Callable[[int, int], object]) -> Iterator[Row]:
        """The rows of a table that are in segments and alive.

        Args:
            table: The table.
            missing: Called with key and segment of each row whose segment is not there.

        Raises:
            SegmentDamaged: A segment is there and damaged.
            SpgFileError: The catalog says that a row lives in a segment which has none with that key, or whose
                row does not fit the table's columns.
        """
        decoder = PayloadDecoder([column.type for column in table.columns], self._snapshot.catalogue.file_version)
        for cold in self._snapshot.cold_keys(table):
            file = self._file(cold.segment)
            if file is None:
                missing(cold.key, cold.segment)
                continue
            yield decoder.row_of(file, cold.key, table.name)

    def _file(self, segment: int) -> SegmentFile | None:
        if segment in self._open:
            # At the end stands what was used last.
            found = self._open[segment] = self._open.pop(segment)
            return found
        path = None if self._folder is None else self._folder / segment_name(segment)
        if path is None or not path.is_file():
            self._open[segment] = None
            return None
        open_ones = [number for number, file in self._open.items() if file is not None]
        if len(open_ones) >= MOST_OPEN:
            oldest = self._open.pop(open_ones[0])
            assert oldest is not None
            oldest.close()
        found = self._open[segment] = SegmentFile(path)
        return found
