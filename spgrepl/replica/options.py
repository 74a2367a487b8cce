"""What users say about the most that a copy takes from its master."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spgrepl.disk.limits import ReplicaLimits
from spgrepl.errors import UsageError
from spgrepl.text.options import parse_seconds, parse_size

REPLICA_OPTIONS = [
    ["max-snapshot-bytes", None, None, "The longest snapshot that is accepted, such as 10G [default: 1024G]."],
    ["min-free-bytes", None, None, "So much room is left on the disks of the copy [default: 64M]."],
    ["max-open-segment-bytes", None, None, "The most bytes of segments that are not whole yet [default: 16G]."],
    ["max-statement-seconds", None, None, "How long a statement of the log may run [default: 600]."],
]

_FIELDS: dict[str, tuple[str, Callable[[str], float]]] = {
    "max-snapshot-bytes": ("snapshot_bytes", parse_size),
    "min-free-bytes": ("free_bytes", parse_size),
    "max-open-segment-bytes": ("open_segment_bytes", parse_size),
    "max-statement-seconds": ("statement_seconds", parse_seconds),
}


def read_replica_limits(given: Mapping[str, Any]) -> ReplicaLimits:
    """What the options come to.

    Raises:
        UsageError: One is wrong.
    """
    values: dict[str, Any] = {}
    for name, (field, parse) in _FIELDS.items():
        if given[name] is not None:
            try:
                values[field] = parse(given[name])
            except UsageError as error:
                raise UsageError(f"--{name}: {error}") from error
    return ReplicaLimits(**values)
