"""The `counting` target: applies nothing and counts, for measuring and for checking a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from zope.interface import implementer

from spgrepl.base.small_files import read_regular
from spgrepl.disk.files import remove_own, replace_file
from spgrepl.engines.statement_digest import StatementDigest
from spgrepl.engines.targets.initial_copy import state_at_copy
from spgrepl.engines.targets.stored_state import history_of, history_values, publications_of
from spgrepl.errors import ConfigurationError, EngineFailed, LocalFilesDamaged, unusable_file
from spgrepl.interfaces.engine import Mark
from spgrepl.interfaces.target import ITarget, SubscriptionState
from spgrepl.log.format.records import RecordType


def subscription_path(path: Path) -> Path:
    """The file of the state: the name that was given, with ``.subscription.json``."""
    return path.with_name(path.name + ".subscription.json")


@implementer(ITarget)
class CountingTarget:
    """Counts records and keeps a digest of them.

    The digest is the CRC-32 over ``u32 length ‖ SQL`` of every record that came, in their order, since the
    subscription began. It is stored with the position, so that after any crash it says whether each record was
    counted exactly once.

    Args:
        path: The file of ``--db``: the state lies beside it, the file itself is not made.
    """

    kind = "counting"
    files = ()

    def __init__(self, path: Path) -> None:
        self._file = subscription_path(path)
        self._digest = StatementDigest()
        self._skipped = self._pending_skipped = 0

    def open(self) -> SubscriptionState | None:
        """See `ITarget`."""
        if self._file.parent.is_dir():
            remove_own(self._file, "tmp")
        try:
            content = json.loads(read_regular(self._file))
            state = SubscriptionState(
                publications_of(content["publications"]),
                int(content["effective_start"]),
                int(content["position"]),
                **history_of(content["fence"]),
            )
            self._digest.reset(int(content["digest"]))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable_file(error, f"{self._file} cannot be read") from error
        except (ValueError, KeyError, TypeError) as error:
            raise LocalFilesDamaged(
                f"{self._file} cannot be read as a subscription's state ({error!r}); restore it, or move it away "
                f"to begin the subscription again"
            ) from error
        return state

    def start(self, state: SubscriptionState) -> None:
        """See `ITarget`. The digest begins again."""
        if not self._file.parent.is_dir():
            raise ConfigurationError(f"{self._file.parent} is not a folder: make it, or name another place")
        self._store(state, 0)
        self._digest.reset(0)

    def check_snapshot_head(self, head: bytes) -> None:
        """See `ITarget`. Every snapshot will do: it is not looked at."""

    def copy_snapshot(
        self,
        path: Path,
        publications: Sequence[str],
        position: int,
        segments: Path | None = None,
        before: Mark | None = None,
    ) -> SubscriptionState:
        """See `ITarget`. No row is counted: the subscription begins where the snapshot stands."""
        state = state_at_copy(path, publications, position, before)
        self.start(state)
        return state

    def begin(self) -> None:
        """See `ITarget`."""
        self.rollback()

    def execute(self, statements: Sequence[bytes], types: Mapping[int, RecordType], rows: bool = False) -> None:
        """See `ITarget`."""
        self._digest.add(statements)

    def keep_skipped(self, position: int, record: bytes, sql: bytes, reason: str) -> None:
        """See `ITarget`. It is counted."""
        self._pending_skipped += 1

    def commit(self, state: SubscriptionState) -> None:
        """See `ITarget`."""
        self._store(state, self._digest.pending)
        self._digest.commit()
        self._skipped += self._pending_skipped
        self._pending_skipped = 0

    def rollback(self) -> None:
        """See `ITarget`."""
        self._digest.rollback()
        self._pending_skipped = 0

    def statistics(self) -> Mapping[str, object]:
        """See `ITarget`: ``statements``, ``skipped``, and ``digest`` as eight hex digits."""
        return {"statements": self._digest.statements, "skipped": self._skipped, "digest": str(self._digest)}

    def interrupt(self) -> None:
        """See `ITarget`. Nothing here takes long."""

    def close(self) -> None:
        """See `ITarget`."""
        self.rollback()

    def _store(self, state: SubscriptionState, digest: int) -> None:
        content = {
            "publications": state.publications,
            "effective_start": state.effective_start,
            "position": state.position,
            "fence": history_values(state),
            "digest": digest,
        }
        try:
            replace_file(self._file, json.dumps(content).encode() + b"\n")
        except OSError as error:
            raise EngineFailed(f"{self._file} cannot be written: {error}") from error
