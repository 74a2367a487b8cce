"""The options of each role: what is typed in, settings out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from twisted.python import usage

from spgrepl.access import options as access
from spgrepl.access.endpoints import server_endpoint
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import ConfigurationError, UsageError
from spgrepl.log.transactions.groups import OnAmbiguity
from spgrepl.log.wal_level import WalLevel
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.shared.peers import NamedPeer
from spgrepl.postgresql.address import for_command_line, names_server, shown_engine
from spgrepl.replica.following.states import OnDivergence
from spgrepl.replica.options import REPLICA_OPTIONS, read_replica_limits
from spgrepl.replica.subscribing.origins import Origin
from spgrepl.replica.subscribing.service import Subscription
from spgrepl.server.log_options import (
    AMBIGUOUS,
    EXPECTED,
    FILES,
    NONDETERMINISTIC,
    ON_DIVERGENCE,
    OPEN_TRANSACTIONS,
    SKIP,
    WAL_LEVEL,
    TransactionOptions,
    check_publications,
    check_replica_choices,
    check_skip,
    read_max_frame,
    read_max_record,
    skip_request,
)
from spgrepl.server.role import Role
from spgrepl.server.role_settings import FOLLOWER_ENGINES, MASTER_ENGINES, FollowerSettings, MasterSettings
from spgrepl.server.roles import FollowerRole, MasterRole
from spgrepl.server.site_options import HTTP_OPTIONS, LOG_SQL, SITE_OPTIONS, NamedSite, read_http, read_watch
from spgrepl.server.subscriber_role import SUBSCRIBER_ENGINES, SubscriberRole, SubscriberSettings
from spgrepl.spgsql.replay import Nondeterministic
from spgrepl.text import options as read
from spgrepl.wire.segment_chunks import DEFAULT_CHUNK

_T = TypeVar("_T")

_ENDPOINT = "a Twisted endpoint such as tcp:7433:interface=127.0.0.1 or unix:/path, or HOST:PORT"

_SERVING = [
    ["stalled-reader", None, None, "Drop a reader that takes nothing for so many seconds [default: 60]."],
    ["max-connections", None, None, "The most connections at once [default: 1000]."],
    ["max-connections-per-address", None, None, "The most connections of one address [default: 100]."],
    ["max-handshakes", None, None, "The most connections that have not said hello yet [default: 100]."],
    ["max-snapshots", None, None, "The most snapshots at once [default: 2]."],
]
_SEGMENT_CHUNK = ["segment-chunk", None, None, "Cut cold segments at so many bytes, up to 16M [default: 4M]."]
_STRICT = ["strict-publications", None, "Turn subscribers away who ask for a publication that is unknown."]
_NO_COLD_ROWS = ["without-cold-rows", None, "Do without rows of an SPG snapshot whose segments never come."]
_MAX_RECORD = ["max-record", None, None, "The longest record that is accepted, such as 256M [default: 64M]."]


class _RoleOptions(NamedSite):
    """What the options of all roles have in common."""

    engines: ClassVar[Sequence[str]]
    takes_server: ClassVar[bool] = False
    db_may_miss: ClassVar[bool] = False  # where a server is the database, and no log is kept
    required: ClassVar[Sequence[str]]
    label = ""  # a name for the status, metrics and logs; a configuration file gives one
    without_db = "spgrepl-server"  # what files are named after where a server is the database

    def parseArgs(self, *words: str) -> None:
        """Refuse words that belong to no option."""
        if words:
            raise usage.UsageError(f"{' '.join(words)!r} belongs to no option; servers take none but options")

    def postOptions(self) -> None:
        """Judge the options that were given; the settings are made when a reactor is there."""
        server = self.takes_server and names_server(self["engine"])
        for name in self.required:
            if not self[name] and not (server and name == "db" and self.db_may_miss):
                raise usage.UsageError(f"--{name} is missing: {EXPECTED[name]}")
        if server:
            self._judge_server()
        elif self["engine"] not in self.engines:
            raise usage.UsageError(self._unknown_engine())
        if self["db"] and self["wal"] and Path(self["wal"]).absolute() == Path(self["db"]).absolute():
            raise usage.UsageError("--wal and --db name the same file")

    def _judge_server(self) -> None:
        try:
            for_command_line(self["engine"])
        except UsageError as error:
            raise usage.UsageError(f"--engine: {error}") from error

    def _unknown_engine(self) -> str:
        named = self["engine"]
        more = " and postgresql://…" if self.takes_server else ""
        why = "is not built into this version" if "://" in named else "is unknown"
        return f"the engine {shown_engine(named)} {why}; there are {', '.join(self.engines)}{more}"

    def value(self, name: str, parse: Callable[[str], _T]) -> _T:
        """The value of an option that was given; what is wrong with it names the option."""
        try:
            return parse(self[name])
        except UsageError as error:
            raise UsageError(f"--{name}: {error}") from error

    def value_or(self, name: str, parse: Callable[[str], _T], default: _T) -> _T:
        """The value of an option, or a default where it was not given."""
        return default if self[name] is None else self.value(name, parse)

    def paths(self) -> DatabasePaths:
        """The files that are named, as absolute paths: a daemon may change its folder."""
        paths = DatabasePaths.of(
            Path(self["db"] or self.without_db).absolute(), Path(self["wal"]).absolute() if self["wal"] else None
        )
        for folder in {paths.database.parent, paths.wal.parent}:
            if not folder.is_dir():
                raise ConfigurationError(f"there is no folder {folder}; make it first")
        return paths

    def limits(self) -> MasterLimits:
        """What peers are allowed."""
        usual = MasterLimits()
        return MasterLimits(
            connections=self.value_or("max-connections", read.parse_count, usual.connections),
            of_one_address=self.value_or("max-connections-per-address", read.parse_count, usual.of_one_address),
            handshakes=self.value_or("max-handshakes", read.parse_count, usual.handshakes),
            snapshots=self.value_or("max-snapshots", read.parse_count, usual.snapshots),
            stalled=self.value_or("stalled-reader", read.parse_seconds, usual.stalled),
        )

    def endpoint(self, reactor: object, name: str) -> Any:
        """The endpoint to listen on that an option names, None where it was not given."""
        return self.value_or(name, lambda text: server_endpoint(reactor, text), None)


class _ServingOptions(TransactionOptions, _RoleOptions):
    """The options of roles that peers connect to."""

    def __init__(self) -> None:
        super().__init__()
        self["peers"] = []

    def opt_peer(self, text: str) -> None:
        """Expect a peer, NAME=ADDRESS or NAME=NETWORK, and list it while it is away; may be repeated."""
        try:
            self["peers"].append(NamedPeer.parse(text))
        except UsageError as error:
            raise usage.UsageError(f"--peer: {error}") from error


class MasterOptions(_ServingOptions):
    """The options of ``twistd spgrepl master``."""

    synopsis = "twistd [options] spgrepl master --listen ENDPOINT --db FILE [options]"
    longdesc = "Serves a database and its log to followers. Write with `spgrepl exec`, or with spgrepl.Primary."
    engines = MASTER_ENGINES
    required = ("listen", "db")
    optFlags = [_STRICT, LOG_SQL, *access.SERVING_FLAGS]
    optParameters = [
        ["listen", "l", None, f"Where followers connect: {_ENDPOINT}."],
        *FILES,
        *access.TLS_FILES,
        ["engine", "e", "sqlite", "sqlite, or archive for a snapshot and a log that another program writes."],
        *HTTP_OPTIONS,
        *access.SERVING,
        *_SERVING,
        ["segment-dir", None, None, "Where the cold segments are [default: <stem>.spg/segments beside --db]."],
        _SEGMENT_CHUNK,
        WAL_LEVEL,
        OPEN_TRANSACTIONS,
        ["ambiguous-transactions", None, "stop", f"{AMBIGUOUS} stop (end subscribers' connections) or merge."],
        _MAX_RECORD,
    ]

    def role(self, reactor: Any) -> Role:
        """Make the service.

        Raises:
            LocalError: An option does not fit.
        """
        settings = MasterSettings(
            paths=self.paths(),
            listen=self.endpoint(reactor, "listen"),
            engine=self["engine"],
            limits=self.limits(),
            http=read_http(reactor, self),
            max_record=read_max_record(self),
            segment_folder=Path(self["segment-dir"]).absolute() if self["segment-dir"] else None,
            segment_chunk=self.value_or("segment-chunk", read.parse_chunk, DEFAULT_CHUNK),
            wal_level=self.value_or("wal-level", WalLevel, None),
            strict_publications=bool(self["strict-publications"]),
            access=access.read_access(reactor, self),
            tls=access.read_server_tls(self),
            transactions=self.choices(),
            peers=tuple(self["peers"]),
            watch=read_watch(self),
        )
        if settings.segment_folder is not None and not settings.segment_folder.is_dir():
            raise ConfigurationError(f"--segment-dir: there is no folder {settings.segment_folder}; make it first")
        return MasterRole(reactor, settings)


class FollowerOptions(_ServingOptions):
    """The options of ``twistd spgrepl follower``."""

    synopsis = "twistd [options] spgrepl follower --master ENDPOINT --db FILE [options]"
    longdesc = "Keeps an exact copy of a master's database, and serves followers of its own with --listen."
    engines = tuple(FOLLOWER_ENGINES)
    ambiguous = tuple(OnAmbiguity)
    takes_server = True
    required = ("master", "db")
    optFlags = [_STRICT, LOG_SQL, _NO_COLD_ROWS, *access.TLS_CLIENT_FLAGS, *access.SERVING_FLAGS]
    optParameters = [
        ["master", "m", None, "Where the master listens: HOST:PORT, unix:/path or another Twisted endpoint."],
        *FILES,
        *access.TLS_FILES,
        *access.TLS_CLIENT,
        ["engine", "e", "sqlite", "sqlite; postgresql://USER@HOST/DATABASE; archive (keep bytes); counting."],
        ["listen", "l", None, f"Where followers of this follower connect [default: nowhere]: {_ENDPOINT}."],
        *SITE_OPTIONS,
        *access.SERVING,
        *_SERVING,
        ON_DIVERGENCE,
        NONDETERMINISTIC,
        *SKIP,
        _SEGMENT_CHUNK,
        WAL_LEVEL,
        OPEN_TRANSACTIONS,
        ["ambiguous-transactions", None, "stop", f"{AMBIGUOUS} stop, resnapshot or merge."],
        _MAX_RECORD,
        ["max-frame", None, None, "The longest frame that is accepted [default: what --max-record needs]."],
        *REPLICA_OPTIONS,
    ]

    def postOptions(self) -> None:
        """See `_RoleOptions`."""
        super().postOptions()
        check_skip(self)
        check_replica_choices(self)
        for name in (
            "peers",
            "stalled-reader",
            "max-connections",
            "max-connections-per-address",
            "max-handshakes",
            "max-snapshots",
            "segment-chunk",
            "strict-publications",
            "insecure",
        ):
            if self[name] and self["listen"] is None:
                option = "peer" if name == "peers" else name
                raise usage.UsageError(f"--{option} is for followers of this follower; it needs --listen")
        if self["wal-level"] not in (None, "replica") and self["listen"] is None:
            raise usage.UsageError("--wal-level is for subscribers of this follower; it needs --listen")
        if self["listen"] is not None and names_server(self["engine"]):
            raise usage.UsageError("a follower into a server has no snapshot to give: leave out --listen")
        if self["listen"] is not None and self["engine"] == "counting":
            raise usage.UsageError("a follower that only counts has no snapshot to give: leave out --listen")

    def role(self, reactor: Any) -> Role:
        """Make the service.

        Raises:
            LocalError: An option does not fit.
        """
        settings = FollowerSettings(
            paths=self.paths(),
            master=access.read_master(reactor, self),
            engine=self["engine"],
            listen=self.endpoint(reactor, "listen"),
            limits=self.limits(),
            http=read_http(reactor, self),
            on_divergence=OnDivergence(self["on-divergence"]),
            nondeterministic=Nondeterministic(self["nondeterministic"]),
            without_cold_rows=bool(self["without-cold-rows"]),
            skip=skip_request(self),
            max_record=read_max_record(self),
            max_frame=read_max_frame(self),
            segment_chunk=self.value_or("segment-chunk", read.parse_chunk, DEFAULT_CHUNK),
            wal_level=self.value_or("wal-level", WalLevel, None),
            strict_publications=bool(self["strict-publications"]),
            replica=read_replica_limits(self),
            access=access.read_access(reactor, self),
            tls=access.read_server_tls(self),
            transactions=self.choices(),
            peers=tuple(self["peers"]),
            watch=read_watch(self),
            master_name=self["master"],
        )
        return FollowerRole(reactor, settings)


class SubscriberOptions(_RoleOptions):
    """The options of ``twistd spgrepl subscriber``."""

    synopsis = (
        "twistd [options] spgrepl subscriber --master ENDPOINT --name NAME --publication P … --db FILE [options]"
    )
    longdesc = "Keeps the tables of some publications of a master up to date in a database of your own."
    engines = SUBSCRIBER_ENGINES
    takes_server = True
    db_may_miss = True
    required = ("master", "name", "db")
    optFlags = [
        LOG_SQL,
        ["same-history", None, "Start once although the master may have a different history."],
        ["no-copy-data", None, "Do not copy the rows that are there already: begin at the master's current end."],
        ["all-tables", None, "Ask for every table, by no publication; instead of --publication."],
        ["fire-triggers", None, "Let the database's own triggers fire when rows arrive."],
        ["accept-changed-tables", None, "Take tables that were changed since they were copied as they are."],
        _NO_COLD_ROWS,
        *access.TLS_CLIENT_FLAGS,
    ]
    optParameters = [
        ["master", "m", None, "Where the master listens: HOST:PORT, unix:/path or another Twisted endpoint."],
        *access.TLS_FILES,
        *access.TLS_CLIENT,
        ["name", "n", None, "The subscription's name: its place in the target is found by it."],
        ["db", "d", None, "The database that rows are put into; it may hold other tables."],
        ["engine", "e", "sqlite", "sqlite; postgresql://USER@HOST/DATABASE; counting (only count)."],
        ["start", None, None, "Begin at this position of the master's log, without copying rows."],
        ["origin", None, "any", "Which rows to take: any, or none: only those that originated at the master."],
        ["on-error", None, "stop", "When the database refuses a record: stop before it, or skip: put it aside."],
        *SITE_OPTIONS,
        *SKIP,
        ON_DIVERGENCE,
        NONDETERMINISTIC,
        _MAX_RECORD,
        ["max-frame", None, None, "The longest frame that is accepted [default: what --max-record needs]."],
        *REPLICA_OPTIONS,
    ]

    def __init__(self) -> None:
        super().__init__()
        self["publications"] = []
        self["wal"] = None

    def opt_publication(self, name: str) -> None:
        """Ask for this publication; may be given several times."""
        self["publications"].append(name)

    opt_p = opt_publication

    def postOptions(self) -> None:
        """See `_RoleOptions`."""
        super().postOptions()
        check_publications(self)
        for name, one, other in (("origin", "any", "none"), ("on-error", "stop", "skip")):
            if self[name] not in (one, other):
                raise usage.UsageError(f"--{name} is {one} or {other}, not {self[name]!r}")
        check_replica_choices(self)
        check_skip(self)

    def role(self, reactor: Any) -> Role:
        """Make the service.

        Raises:
            LocalError: An option does not fit.
        """
        start = self.value_or("start", read.parse_position, None)
        if start == 0:
            raise UsageError("--start: position 0 cannot be asked for; 0 means the end, as with --no-copy-data")
        subscription = Subscription(
            name=self.value("name", read.parse_name),
            publications=tuple(read.parse_publication(name) for name in self["publications"]),
            copy_data=start is None and not self["no-copy-data"],
            start=start,
            keep_refused=self["on-error"] == "skip",
            skip=skip_request(self),
            same_history=bool(self["same-history"]),
            origin=Origin(self["origin"]),
            max_record=read_max_record(self),
            max_frame=read_max_frame(self),
            limits=read_replica_limits(self),
            on_divergence=OnDivergence(self["on-divergence"]),
        )
        settings = SubscriberSettings(
            paths=self.paths(),
            master=access.read_master(reactor, self),
            subscription=subscription,
            engine=self["engine"],
            http=read_http(reactor, self),
            without_cold_rows=bool(self["without-cold-rows"]),
            fire_triggers=bool(self["fire-triggers"]),
            accept_changed_tables=bool(self["accept-changed-tables"]),
            nondeterministic=Nondeterministic(self["nondeterministic"]),
            watch=read_watch(self),
            master_name=self["master"],
        )
        return SubscriberRole(reactor, settings)
