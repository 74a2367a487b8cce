"""What is fuzzed: one function a target, which takes any bytes and returns, or raises where a promise is broken.

The promise is the same everywhere: any bytes whatever, cut anywhere, are read the same way or raise a `PeerError`.
Where there is a second way to the same result it is taken too, and both must agree. Nothing here needs atheris, so
the tests run the seeds through these functions as well.
"""

from __future__ import annotations

from collections.abc import Callable

from fuzz.connection_targets import follower_connection, subscriber_connection
from fuzz.core_targets import core_changes, core_frames, core_lzss, core_owners, core_records, core_rows
from fuzz.log_targets import lzss, reader, records, repaired_records
from fuzz.spg_sql_targets import shown, spg_sql
from fuzz.spg_targets import envelope, lzss_stream, payload, segment, snapshot
from fuzz.subscription_targets import control, owners, record_frames, walk
from fuzz.text_targets import manifest, sqltext
from fuzz.transaction_targets import transactions, units
from fuzz.wire_targets import frames, hello, reply

Target = Callable[[bytes], None]

TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        lzss,
        records,
        repaired_records,
        reader,
        units,
        frames,
        hello,
        reply,
        manifest,
        sqltext,
        transactions,
        record_frames,
        owners,
        control,
        envelope,
        snapshot,
        segment,
        payload,
        lzss_stream,
        walk,
        spg_sql,
        shown,
        follower_connection,
        subscriber_connection,
        core_lzss,
        core_records,
        core_owners,
        core_frames,
        core_rows,
        core_changes,
    )
}
"""All targets by name."""
