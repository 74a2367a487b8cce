"""What a master and a follower are told: which files, which endpoints, which limits."""

from __future__ import annotations

from pathlib import Path

import attrs
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

from spgrepl.access.policy import Access
from spgrepl.access.tls_files import TlsFiles
from spgrepl.disk.files import DatabasePaths
from spgrepl.disk.limits import ReplicaLimits
from spgrepl.engines.archive import ArchiveEngine
from spgrepl.engines.counting import CountingEngine
from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.interfaces.engine import IEngine
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.log.transactions.groups import DEFAULT_CHOICES, TransactionChoices
from spgrepl.log.wal_level import WalLevel
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.shared.peers import NamedPeer
from spgrepl.postgresql.address import ServerAddress, names_server, shown_engine
from spgrepl.replica.following.progress import SkipRequest
from spgrepl.replica.following.states import OnDivergence
from spgrepl.spgsql.replay import Nondeterministic
from spgrepl.watch.settings import WatchSettings
from spgrepl.wire.frames import DEFAULT_MAX_FRAME
from spgrepl.wire.segment_chunks import DEFAULT_CHUNK

FOLLOWER_ENGINES = {"sqlite": SqliteEngine, "archive": ArchiveEngine, "counting": CountingEngine}
"""Where a follower can apply a log, by the names that users type."""


MASTER_ENGINES = ("sqlite", "archive")
"""What a master can serve, by the names that users type."""


@attrs.frozen
class MasterSettings:
    """What a master serves, and where.

    Attributes:
        paths: The database and its log.
        listen: Where followers connect.
        engine: ``sqlite`` for a database that `spgrepl.Primary` writes, ``archive`` for a log and snapshot that
            another program keeps.
        limits: What peers are allowed.
        http: Where ``/status`` and ``/wait`` are answered; None for nowhere.
        max_record: The most bytes of SQL or payload that a record may have.
        segment_folder: Where the cold segments are; None for the folder beside the database.
        segment_chunk: At how many bytes they are cut, 16 MiB at most.
        wal_level: Whether subscribers are served too; None for a level of the role's own, or its primary's.
        strict_publications: Whether to turn subscribers away who ask for an unknown publication.
        transactions: What is done about transactions of an SPG server that the log cannot tell.
        peers: Who is expected to follow; they are listed by name, also while they are away.
        watch: How it is watched.
        access: Who may connect; without more, this machine.
        tls: The files of its TLS, where it listens by TLS.
    """

    paths: DatabasePaths
    listen: IStreamServerEndpoint
    engine: str = "sqlite"
    limits: MasterLimits = attrs.field(factory=MasterLimits)
    http: IStreamServerEndpoint | None = None
    max_record: int = DEFAULT_MAX_RECORD
    segment_folder: Path | None = None
    segment_chunk: int = DEFAULT_CHUNK
    wal_level: WalLevel | None = None
    strict_publications: bool = False
    transactions: TransactionChoices = DEFAULT_CHOICES
    peers: tuple[NamedPeer, ...] = ()
    watch: WatchSettings = attrs.field(factory=WatchSettings)
    access: Access = attrs.field(factory=Access)
    tls: TlsFiles | None = None


def _shown(engine: str | IEngine) -> str:
    return shown_engine(engine) if isinstance(engine, str) else repr(engine)


@attrs.frozen
class FollowerSettings:
    """Whose copy a follower keeps, and how.

    Attributes:
        paths: The copy and its own log.
        master: Where the master listens.
        engine: Where the log is applied: one of `FOLLOWER_ENGINES`, the ``postgresql://`` URI of a server (or its
            keywords and values for libpq), or an engine of your own. What of it is secret is shown nowhere.
        listen: Where followers of this follower connect; None for nowhere.
        limits: What those followers are allowed.
        http: Where ``/status`` and ``/wait`` are answered; None for nowhere.
        on_divergence: What to do when the master's history is another one.
        without_cold_rows: Whether to do without rows of an SPG snapshot whose cold segments never come.
        skip: A record to skip, once.
        max_record: The most bytes of SQL or payload that a record may have.
        max_frame: The longest frame that is accepted, in bytes.
        segment_chunk: At how many bytes cold segments are cut for those followers, 16 MiB at most.
        wal_level: Whether subscribers are served too; None for a level of the role's own.
        strict_publications: Whether to turn subscribers away who ask for an unknown publication.
        nondeterministic: What to do about values in an SPG server's log that every replica computes for itself.
        transactions: What is done about transactions of an SPG server that the log cannot tell.
        peers: Who is expected to follow; they are listed by name, also while they are away.
        watch: How it is watched.
        master_name: What the master is called in the status; its address as it was typed, or another name.
        access: Who may connect; without more, this machine.
        tls: The files of its TLS, where it listens by TLS.
        replica: What is taken from the master.
    """

    paths: DatabasePaths
    master: IStreamClientEndpoint
    engine: str | IEngine = attrs.field(default="sqlite", repr=_shown)
    listen: IStreamServerEndpoint | None = None
    limits: MasterLimits = attrs.field(factory=MasterLimits)
    http: IStreamServerEndpoint | None = None
    on_divergence: OnDivergence = OnDivergence.STOP
    without_cold_rows: bool = False
    skip: SkipRequest | None = None
    max_record: int = DEFAULT_MAX_RECORD
    max_frame: int = DEFAULT_MAX_FRAME
    segment_chunk: int = DEFAULT_CHUNK
    wal_level: WalLevel | None = None
    strict_publications: bool = False
    nondeterministic: Nondeterministic = Nondeterministic.STOP
    transactions: TransactionChoices = DEFAULT_CHOICES
    peers: tuple[NamedPeer, ...] = ()
    watch: WatchSettings = attrs.field(factory=WatchSettings)
    master_name: str = ""
    access: Access = attrs.field(factory=Access)
    tls: TlsFiles | None = None
    replica: ReplicaLimits = attrs.field(factory=ReplicaLimits)


def make_engine(settings: FollowerSettings) -> IEngine:
    """The engine that settings name, or are."""
    if not isinstance(settings.engine, str):
        return settings.engine
    database = settings.paths.database
    seconds = settings.replica.statement_seconds
    engine: IEngine
    if names_server(settings.engine):
        engine = PostgresqlEngine(ServerAddress.parse(settings.engine), settings.nondeterministic, seconds=seconds)
    elif settings.engine == SqliteEngine.name:
        engine = SqliteEngine(
            database,
            nondeterministic=settings.nondeterministic,
            statement_seconds=seconds,
        )
    else:
        engine = FOLLOWER_ENGINES[settings.engine](database)
    return engine
