"""SPG replication for Twisted: masters that stream a database's log, followers that keep an exact copy.

The names below are the public ones. They are imported when they are first used, so that a command line that
reads a log does not load a web server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from spgrepl._public import MODULES as _MODULES
from spgrepl._version import __version__

if TYPE_CHECKING:
    from spgrepl.access.client import Client
    from spgrepl.access.endpoints import client_endpoint, server_endpoint
    from spgrepl.access.policy import Access
    from spgrepl.access.rights import AccessFile, AccessRule, AccessTable, Rights
    from spgrepl.access.tls_files import TlsFiles
    from spgrepl.access.with_extra import client_tls
    from spgrepl.base.histories import Histories, History
    from spgrepl.base.measures import Histogram
    from spgrepl.base.reading import RunInThread
    from spgrepl.catalogue.sources import ICatalogSource
    from spgrepl.disk.files import DatabasePaths
    from spgrepl.disk.limits import ReplicaLimits
    from spgrepl.errors import (
        AmbiguousTransactions,
        ChunkBeyondTotal,
        ChunkError,
        ChunkHeaderTooShort,
        ChunkLengthMismatch,
        ChunkOutOfOrder,
        ChunkTooLong,
        ChunkTotalChanged,
        ColdRowsMissing,
        CompressionError,
        ConfigurationError,
        ConnectionRefused,
        CopyRefused,
        DatabaseLocked,
        DatabaseMissing,
        DifferentHistory,
        EngineFailed,
        FileLost,
        FrameTooLong,
        HandshakeError,
        HistoryDiverged,
        LimitReached,
        LocalError,
        LocalFilesDamaged,
        LoggedNotApplied,
        LogTruncated,
        MalformedFrame,
        MalformedManifest,
        MalformedRecord,
        MalformedSpgFile,
        ManifestChecksumMismatch,
        ManifestError,
        ManifestTruncated,
        OutcomeUnknown,
        Overloaded,
        PeerClosed,
        PeerError,
        PeerTimeout,
        PositionTooLarge,
        PromotionRefused,
        RecordChecksumMismatch,
        RecordError,
        RecordTooLong,
        ReplayStopped,
        ReplicationLoop,
        SegmentChanged,
        SegmentDamaged,
        SegmentNotStored,
        ServiceStopped,
        SnapshotError,
        SnapshotUnusable,
        SpgChecksumMismatch,
        SpgFileError,
        SpgFileTruncated,
        SpgReplError,
        StartInsideRecord,
        StartLost,
        StatementFailed,
        StatementRefused,
        SubscriptionGone,
        TableMismatch,
        TlsFailed,
        TooManySegments,
        TransactionExpired,
        UnknownRecordType,
        UnknownSpgTag,
        UnknownSpgVersion,
        UnsupportedManifest,
        UnsupportedRecordFormat,
        UsageError,
        WaitTimeout,
        WritesRefused,
    )
    from spgrepl.failover.promotion import Dropped, EndedTransactions, Promoted
    from spgrepl.feed.applied_rows import AppliedRows
    from spgrepl.feed.reader import FeedLimits
    from spgrepl.feed.service import ChangeFeed
    from spgrepl.feed.source import FeedSource
    from spgrepl.feed.units import IUnits
    from spgrepl.feed.values import Change, FeedKind, FeedPosition, FeedStart, FeedTransaction
    from spgrepl.interfaces.engine import Fence, IEngine, Mark, ReplayState, TransactionNotes
    from spgrepl.interfaces.target import FenceRecord, ITarget, SubscriptionState
    from spgrepl.log.format.parser import RecordBatch
    from spgrepl.log.format.records import Record, RecordFormat, RecordType
    from spgrepl.log.reader import Damage, LogReport, iterate_records, scan_log
    from spgrepl.log.source import ILogListener, ILogSource
    from spgrepl.log.tailer import WalTailer
    from spgrepl.log.transactions.groups import OnAmbiguity, TransactionChoices
    from spgrepl.log.wal_level import Level, WalLevel
    from spgrepl.log.watch import LogWarning, TransactionCounts
    from spgrepl.master.judged.publisher import PublisherSettings
    from spgrepl.master.service import MasterService, Serving
    from spgrepl.master.shared.limits import MasterLimits
    from spgrepl.master.shared.peers import NamedPeer, PeerNames
    from spgrepl.master.snapshots.sources import (
        FileSnapshotSource,
        ISnapshotSource,
        LoggedDatabase,
        SqliteSnapshotSource,
    )
    from spgrepl.primary import Position, Primary, QueryResult
    from spgrepl.primary.parts.marks import SubscriptionMark
    from spgrepl.primary.parts.requests import Parameters, Request
    from spgrepl.primary.reading.row_stream import RowStream
    from spgrepl.primary.service import PrimaryService
    from spgrepl.primary.writing.request_queue import PrimaryLimits
    from spgrepl.primary.writing.transactions import Transaction
    from spgrepl.replica.following.connection import LinkTimeouts
    from spgrepl.replica.following.progress import SkipRequest
    from spgrepl.replica.following.service import FollowerService
    from spgrepl.replica.following.states import FollowerState, Following, OnDivergence
    from spgrepl.replica.subscribing.connection import SubscriptionTimeouts
    from spgrepl.replica.subscribing.origins import Origin
    from spgrepl.replica.subscribing.service import SubscriberService, SubscriberSide, Subscription
    from spgrepl.replica.subscribing.settings import SubscriberState
    from spgrepl.rows.values import RawText, RowValue
    from spgrepl.segments.outgoing import SegmentFolder
    from spgrepl.server.role import HttpService, Role
    from spgrepl.server.role_settings import FollowerSettings, MasterSettings
    from spgrepl.server.roles import FollowerRole, MasterRole
    from spgrepl.server.status.resource import build_site
    from spgrepl.server.subscriber_role import SubscriberRole, SubscriberSettings
    from spgrepl.server.subscription_runner import SubscriptionRunner
    from spgrepl.spgsql.replay import Nondeterministic
    from spgrepl.sqlite.comparison import Comparison, compare_databases
    from spgrepl.sqlite.session import Patience
    from spgrepl.text.sqltext import SqlValue
    from spgrepl.watch.metrics import Watched
    from spgrepl.watch.settings import HttpGuard, WatchSettings
    from spgrepl.watch.site import SiteWatch

__all__ = [
    "Access",
    "AccessFile",
    "AccessRule",
    "AccessTable",
    "AmbiguousTransactions",
    "AppliedRows",
    "Change",
    "ChangeFeed",
    "ChunkBeyondTotal",
    "ChunkError",
    "ChunkHeaderTooShort",
    "ChunkLengthMismatch",
    "ChunkOutOfOrder",
    "ChunkTooLong",
    "ChunkTotalChanged",
    "Client",
    "ColdRowsMissing",
    "Comparison",
    "CompressionError",
    "ConfigurationError",
    "ConnectionRefused",
    "CopyRefused",
    "Damage",
    "DatabaseLocked",
    "DatabaseMissing",
    "DatabasePaths",
    "DifferentHistory",
    "Dropped",
    "EndedTransactions",
    "EngineFailed",
    "FeedKind",
    "FeedLimits",
    "FeedPosition",
    "FeedSource",
    "FeedStart",
    "FeedTransaction",
    "Fence",
    "FenceRecord",
    "FileLost",
    "FileSnapshotSource",
    "FollowerRole",
    "FollowerService",
    "FollowerSettings",
    "FollowerState",
    "Following",
    "FrameTooLong",
    "HandshakeError",
    "Histogram",
    "Histories",
    "History",
    "HistoryDiverged",
    "HttpGuard",
    "HttpService",
    "ICatalogSource",
    "IEngine",
    "ILogListener",
    "ILogSource",
    "ISnapshotSource",
    "ITarget",
    "IUnits",
    "Level",
    "LimitReached",
    "LinkTimeouts",
    "LocalError",
    "LocalFilesDamaged",
    "LogReport",
    "LogTruncated",
    "LogWarning",
    "LoggedDatabase",
    "LoggedNotApplied",
    "MalformedFrame",
    "MalformedManifest",
    "MalformedRecord",
    "MalformedSpgFile",
    "ManifestChecksumMismatch",
    "ManifestError",
    "ManifestTruncated",
    "Mark",
    "MasterLimits",
    "MasterRole",
    "MasterService",
    "MasterSettings",
    "NamedPeer",
    "Nondeterministic",
    "OnAmbiguity",
    "OnDivergence",
    "Origin",
    "OutcomeUnknown",
    "Overloaded",
    "Parameters",
    "Patience",
    "PeerClosed",
    "PeerError",
    "PeerNames",
    "PeerTimeout",
    "Position",
    "PositionTooLarge",
    "Primary",
    "PrimaryLimits",
    "PrimaryService",
    "Promoted",
    "PromotionRefused",
    "PublisherSettings",
    "QueryResult",
    "RawText",
    "Record",
    "RecordBatch",
    "RecordChecksumMismatch",
    "RecordError",
    "RecordFormat",
    "RecordTooLong",
    "RecordType",
    "ReplayState",
    "ReplayStopped",
    "ReplicaLimits",
    "ReplicationLoop",
    "Request",
    "Rights",
    "Role",
    "RowStream",
    "RowValue",
    "RunInThread",
    "SegmentChanged",
    "SegmentDamaged",
    "SegmentFolder",
    "SegmentNotStored",
    "ServiceStopped",
    "Serving",
    "SiteWatch",
    "SkipRequest",
    "SnapshotError",
    "SnapshotUnusable",
    "SpgChecksumMismatch",
    "SpgFileError",
    "SpgFileTruncated",
    "SpgReplError",
    "SqlValue",
    "SqliteSnapshotSource",
    "StartInsideRecord",
    "StartLost",
    "StatementFailed",
    "StatementRefused",
    "SubscriberRole",
    "SubscriberService",
    "SubscriberSettings",
    "SubscriberSide",
    "SubscriberState",
    "Subscription",
    "SubscriptionGone",
    "SubscriptionMark",
    "SubscriptionRunner",
    "SubscriptionState",
    "SubscriptionTimeouts",
    "TableMismatch",
    "TlsFailed",
    "TlsFiles",
    "TooManySegments",
    "Transaction",
    "TransactionChoices",
    "TransactionCounts",
    "TransactionExpired",
    "TransactionNotes",
    "UnknownRecordType",
    "UnknownSpgTag",
    "UnknownSpgVersion",
    "UnsupportedManifest",
    "UnsupportedRecordFormat",
    "UsageError",
    "WaitTimeout",
    "WalLevel",
    "WalTailer",
    "WatchSettings",
    "Watched",
    "WritesRefused",
    "__version__",
    "build_site",
    "client_endpoint",
    "client_tls",
    "compare_databases",
    "iterate_records",
    "scan_log",
    "server_endpoint",
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
