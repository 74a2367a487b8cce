"""SPG replication for Twisted: masters that stream a database's log, followers that keep an exact copy.

The names below are the public ones. They are imported when they are first used, so that a command line that
reads a log does not load a web server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from spgrepl._version import __version__

if TYPE_CHECKING:
    from spgrepl.comparison import Comparison, compare_databases
    from spgrepl.engines.interfaces import Fence, IEngine, ReplayState
    from spgrepl.errors import LocalError, PeerError, SpgReplError
    from spgrepl.files import DatabasePaths
    from spgrepl.follower.replay import SkipRequest
    from spgrepl.follower.service import FollowerService
    from spgrepl.follower.states import FollowerState, OnDivergence
    from spgrepl.master.limits import MasterLimits
    from spgrepl.master.service import MasterService
    from spgrepl.master.sources import FileSnapshotSource, ISnapshotSource, SqliteSnapshotSource
    from spgrepl.primary import Position, Primary, QueryResult
    from spgrepl.role import HttpService, Role
    from spgrepl.service import FollowerRole, FollowerSettings, MasterRole, MasterSettings
    from spgrepl.status.resource import build_site
    from spgrepl.subscriber.interfaces import ITarget, SubscriptionState
    from spgrepl.subscriber.role import SubscriberRole, SubscriberSettings
    from spgrepl.subscriber.runner import SubscriptionRunner
    from spgrepl.subscriber.service import SubscriberService, Subscription
    from spgrepl.wal.reader import Damage, LogReport, iterate_records, scan_log
    from spgrepl.wal.records import Record
    from spgrepl.wal.source import ILogListener, ILogSource
    from spgrepl.wal.tailer import WalTailer
    from spgrepl.wal_level import WalLevel

_MODULES = {
    "Comparison": "comparison",
    "Damage": "wal.reader",
    "DatabasePaths": "files",
    "Fence": "engines.interfaces",
    "FileSnapshotSource": "master.sources",
    "FollowerRole": "service",
    "FollowerService": "follower.service",
    "FollowerSettings": "service",
    "FollowerState": "follower.states",
    "HttpService": "role",
    "IEngine": "engines.interfaces",
    "ILogListener": "wal.source",
    "ILogSource": "wal.source",
    "ISnapshotSource": "master.sources",
    "ITarget": "subscriber.interfaces",
    "LocalError": "errors",
    "LogReport": "wal.reader",
    "MasterLimits": "master.limits",
    "MasterRole": "service",
    "MasterService": "master.service",
    "MasterSettings": "service",
    "OnDivergence": "follower.states",
    "PeerError": "errors",
    "Position": "primary",
    "Primary": "primary",
    "QueryResult": "primary",
    "Record": "wal.records",
    "ReplayState": "engines.interfaces",
    "Role": "role",
    "SkipRequest": "follower.replay",
    "SpgReplError": "errors",
    "SqliteSnapshotSource": "master.sources",
    "SubscriberRole": "subscriber.role",
    "SubscriberService": "subscriber.service",
    "SubscriberSettings": "subscriber.role",
    "Subscription": "subscriber.service",
    "SubscriptionRunner": "subscriber.runner",
    "SubscriptionState": "subscriber.interfaces",
    "WalLevel": "wal_level",
    "WalTailer": "wal.tailer",
    "build_site": "status.resource",
    "compare_databases": "comparison",
    "iterate_records": "wal.reader",
    "scan_log": "wal.reader",
}

__all__ = [
    "Comparison",
    "Damage",
    "DatabasePaths",
    "Fence",
    "FileSnapshotSource",
    "FollowerRole",
    "FollowerService",
    "FollowerSettings",
    "FollowerState",
    "HttpService",
    "IEngine",
    "ILogListener",
    "ILogSource",
    "ISnapshotSource",
    "ITarget",
    "LocalError",
    "LogReport",
    "MasterLimits",
    "MasterRole",
    "MasterService",
    "MasterSettings",
    "OnDivergence",
    "PeerError",
    "Position",
    "Primary",
    "QueryResult",
    "Record",
    "ReplayState",
    "Role",
    "SkipRequest",
    "SpgReplError",
    "SqliteSnapshotSource",
    "SubscriberRole",
    "SubscriberService",
    "SubscriberSettings",
    "Subscription",
    "SubscriptionRunner",
    "SubscriptionState",
    "WalLevel",
    "WalTailer",
    "__version__",
    "build_site",
    "compare_databases",
    "iterate_records",
    "scan_log",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"spgrepl.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, imported already or not."""
    return sorted({*globals(), *__all__})
