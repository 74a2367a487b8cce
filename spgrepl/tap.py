"""``twistd spgrepl master``, ``… follower`` and ``… subscriber``: options in, a service out.

Wrong options end the process with a usage message and exit code 64, settings that cannot work with 78; a follower
whose master has another history ends it with 76. All codes are those of `sysexits`.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

from spgrepl import options as read
from spgrepl.errors import EXIT_CONFIGURATION, EXIT_USAGE, ConfigurationError, SpgReplError, UsageError
from spgrepl.files import DatabasePaths
from spgrepl.follower.replay import SkipRequest
from spgrepl.follower.states import OnDivergence
from spgrepl.master.limits import MasterLimits
from spgrepl.role import Role
from spgrepl.service import (
    FOLLOWER_ENGINES,
    MASTER_ENGINES,
    FollowerRole,
    FollowerSettings,
    MasterRole,
    MasterSettings,
)
from spgrepl.subscriber.role import SUBSCRIBER_ENGINES, SubscriberRole, SubscriberSettings
from spgrepl.subscriber.service import Subscription
from spgrepl.wal.records import DEFAULT_MAX_RECORD
from spgrepl.wal_level import WalLevel
from spgrepl.wire.frames import DEFAULT_MAX_FRAME
from spgrepl.wire.segment_chunks import DEFAULT_CHUNK

_T = TypeVar("_T")

_ENDPOINT = "a Twisted endpoint such as tcp:7433:interface=127.0.0.1 or unix:/path, or HOST:PORT"

_FILES = [
    ["db", "d", None, "The database."],
    ["wal", "w", None, "Its log [default: the database's name with .wal]."],
]
_HTTP = ["http", None, None, f"Where to answer /status and /wait [default: nowhere]: {_ENDPOINT}."]
_SERVING = [
    ["stalled-reader", None, None, "Drop a reader that takes nothing for so many seconds [default: 60]."],
    ["max-connections", None, None, "The most connections at once [default: 1000]."],
    ["max-snapshots", None, None, "The most snapshots at once [default: 2]."],
]
_SEGMENT_CHUNK = ["segment-chunk", None, None, "Cut cold segments at so many bytes, up to 16M [default: 4M]."]
_WAL_LEVEL = ["wal-level", None, "replica", "replica: serve followers only; logical: serve subscribers too."]
_STRICT = ["strict-publications", None, "Turn subscribers away who ask for a publication that is unknown."]
_MAX_RECORD = ["max-record", None, None, "The longest record that is accepted, such as 256M [default: 64M]."]


class _RoleOptions(usage.Options):
    """What the options of all roles have in common."""

    engines: ClassVar[Sequence[str]]
    required: ClassVar[Sequence[str]]

    def parseArgs(self, *words: str) -> None:
        """Refuse words that belong to no option."""
        if words:
            raise usage.UsageError(f"{' '.join(words)!r} belongs to no option; servers take none but options")

    def postOptions(self) -> None:
        """Judge the options that were given; the settings are made when a reactor is there."""
        for name in self.required:
            if not self[name]:
                raise usage.UsageError(f"--{name} is missing")
        if self["engine"] not in self.engines:
            raise usage.UsageError(self._unknown_engine())
        if self["wal"] and Path(self["wal"]).absolute() == Path(self["db"]).absolute():
            raise usage.UsageError("--wal and --db name the same file")

    def _unknown_engine(self) -> str:
        named = self["engine"]
        why = "is not built into this version" if "://" in named else "is unknown"
        return f"the engine {named!r} {why}; there are {', '.join(self.engines)}"

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
            Path(self["db"]).absolute(), Path(self["wal"]).absolute() if self["wal"] else None
        )
        if paths.wal == paths.database:
            raise UsageError(f"the log of {paths.database} would have the same name: name another with --wal")
        for folder in {paths.database.parent, paths.wal.parent}:
            if not folder.is_dir():
                raise ConfigurationError(f"there is no folder {folder}; make it first")
        return paths

    def limits(self) -> MasterLimits:
        """What peers are allowed."""
        usual = MasterLimits()
        return MasterLimits(
            connections=self.value_or("max-connections", read.parse_count, usual.connections),
            snapshots=self.value_or("max-snapshots", read.parse_count, usual.snapshots),
            stalled=self.value_or("stalled-reader", read.parse_seconds, usual.stalled),
        )

    def endpoint(self, reactor: object, name: str) -> Any:
        """The endpoint to listen on that an option names, None where it was not given."""
        return self.value_or(name, lambda text: read.server_endpoint(reactor, text), None)


class MasterOptions(_RoleOptions):
    """The options of ``twistd spgrepl master``."""

    synopsis = "twistd [options] spgrepl master --listen ENDPOINT --db FILE [options]"
    longdesc = "Serves a database and its log to followers. Write with `spgrepl exec`, or with spgrepl.Primary."
    engines = MASTER_ENGINES
    required = ("listen", "db")
    optFlags = [_STRICT]
    optParameters = [
        ["listen", "l", None, f"Where followers connect: {_ENDPOINT}."],
        *_FILES,
        ["engine", "e", "sqlite", "sqlite, or archive for a snapshot and a log that another program writes."],
        _HTTP,
        *_SERVING,
        ["segment-dir", None, None, "Where the cold segments are [default: <stem>.spg/segments beside --db]."],
        _SEGMENT_CHUNK,
        _WAL_LEVEL,
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
            http=self.endpoint(reactor, "http"),
            max_record=self.value_or("max-record", read.parse_size, DEFAULT_MAX_RECORD),
            segment_folder=Path(self["segment-dir"]).absolute() if self["segment-dir"] else None,
            segment_chunk=self.value_or("segment-chunk", read.parse_chunk, DEFAULT_CHUNK),
            wal_level=self.value("wal-level", WalLevel),
            strict_publications=bool(self["strict-publications"]),
        )
        if settings.segment_folder is not None and not settings.segment_folder.is_dir():
            raise ConfigurationError(f"--segment-dir: there is no folder {settings.segment_folder}; make it first")
        return MasterRole(reactor, settings)


class FollowerOptions(_RoleOptions):
    """The options of ``twistd spgrepl follower``."""

    synopsis = "twistd [options] spgrepl follower --master ENDPOINT --db FILE [options]"
    longdesc = "Keeps an exact copy of a master's database, and serves followers of its own with --listen."
    engines = tuple(FOLLOWER_ENGINES)
    required = ("master", "db")
    optFlags = [_STRICT]
    optParameters = [
        ["master", "m", None, "Where the master listens: HOST:PORT, unix:/path or another Twisted endpoint."],
        *_FILES,
        ["engine", "e", "sqlite", "sqlite; archive (keep snapshot and log as they are); counting (only count)."],
        ["listen", "l", None, f"Where followers of this follower connect [default: nowhere]: {_ENDPOINT}."],
        _HTTP,
        *_SERVING,
        ["on-divergence", None, "stop", "When the master's history is another one: stop (exit 76) or resnapshot."],
        ["skip-at", None, None, "Pass over the record at this position, once; with --skip-crc."],
        ["skip-crc", None, None, "The CRC-32 of the record to pass over, as the error names it."],
        _SEGMENT_CHUNK,
        _WAL_LEVEL,
        _MAX_RECORD,
        ["max-frame", None, None, "The longest frame that is accepted, such as 256M [default: 64M]."],
    ]

    def postOptions(self) -> None:
        """See `_RoleOptions`."""
        super().postOptions()
        _check_skip(self)
        if self["on-divergence"] not in [choice.value for choice in OnDivergence]:
            raise usage.UsageError(f"--on-divergence is stop or resnapshot, not {self['on-divergence']!r}")
        for name in ("stalled-reader", "max-connections", "max-snapshots", "segment-chunk", "strict-publications"):
            if self[name] and self["listen"] is None:
                raise usage.UsageError(f"--{name} is for followers of this follower; it needs --listen")
        if self["wal-level"] != "replica" and self["listen"] is None:
            raise usage.UsageError("--wal-level is for subscribers of this follower; it needs --listen")
        if self["listen"] is not None and self["engine"] == "counting":
            raise usage.UsageError("a follower that only counts has no snapshot to give: leave out --listen")

    def role(self, reactor: Any) -> Role:
        """Make the service.

        Raises:
            LocalError: An option does not fit.
        """
        settings = FollowerSettings(
            paths=self.paths(),
            master=self.value("master", lambda text: read.client_endpoint(reactor, text)),
            engine=self["engine"],
            listen=self.endpoint(reactor, "listen"),
            limits=self.limits(),
            http=self.endpoint(reactor, "http"),
            on_divergence=OnDivergence(self["on-divergence"]),
            skip=_skip_request(self),
            max_record=self.value_or("max-record", read.parse_size, DEFAULT_MAX_RECORD),
            max_frame=self.value_or("max-frame", read.parse_size, DEFAULT_MAX_FRAME),
            segment_chunk=self.value_or("segment-chunk", read.parse_chunk, DEFAULT_CHUNK),
            wal_level=self.value("wal-level", WalLevel),
            strict_publications=bool(self["strict-publications"]),
        )
        return FollowerRole(reactor, settings)


class SubscriberOptions(_RoleOptions):
    """The options of ``twistd spgrepl subscriber``."""

    synopsis = (
        "twistd [options] spgrepl subscriber --master ENDPOINT --name NAME --publication P … --db FILE [options]"
    )
    longdesc = "Keeps the tables of some publications of a master up to date in a database of your own."
    engines = SUBSCRIBER_ENGINES
    required = ("master", "name", "db")
    optFlags = [
        ["no-copy-data", None, "Do not copy the rows that are there already: begin at the master's current end."],
        ["all-tables", None, "Ask for every table, by no publication; instead of --publication."],
    ]
    optParameters = [
        ["master", "m", None, "Where the master listens: HOST:PORT, unix:/path or another Twisted endpoint."],
        ["name", "n", None, "The subscription's name: its place in the target is found by it."],
        ["db", "d", None, "The database that rows are put into; it may hold other tables."],
        ["engine", "e", "sqlite", "sqlite; counting (only count, for measuring)."],
        ["start", None, None, "Begin at this position of the master's log, without copying rows."],
        ["on-error", None, "stop", "When the database refuses a record: stop before it, or skip: put it aside."],
        _HTTP,
        ["skip-at", None, None, "Pass over the record at this position, once; with --skip-crc."],
        ["skip-crc", None, None, "The CRC-32 of the record to pass over, as the error names it."],
        _MAX_RECORD,
        ["max-frame", None, None, "The longest frame that is accepted, such as 256M [default: 64M]."],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["publications"] = []
        self["wal"] = None

    def opt_publication(self, name: str) -> None:
        """Ask for this publication; may be given several times."""
        self["publications"].append(name)

    opt_p = opt_publication

    def postOptions(self) -> None:
        """See `_RoleOptions`."""
        super().postOptions()
        if bool(self["publications"]) == bool(self["all-tables"]):
            raise usage.UsageError("name the publications with --publication, or ask for --all-tables")
        if self["on-error"] not in ("stop", "skip"):
            raise usage.UsageError(f"--on-error is stop or skip, not {self['on-error']!r}")
        _check_skip(self)

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
            publications=tuple(_publication(name) for name in self["publications"]),
            copy_data=start is None and not self["no-copy-data"],
            start=start,
            keep_refused=self["on-error"] == "skip",
            skip=_skip_request(self),
            max_record=self.value_or("max-record", read.parse_size, DEFAULT_MAX_RECORD),
            max_frame=self.value_or("max-frame", read.parse_size, DEFAULT_MAX_FRAME),
        )
        settings = SubscriberSettings(
            paths=self.paths(),
            master=self.value("master", lambda text: read.client_endpoint(reactor, text)),
            subscription=subscription,
            engine=self["engine"],
            http=self.endpoint(reactor, "http"),
        )
        return SubscriberRole(reactor, settings)


def _publication(text: str) -> str:
    try:
        return read.parse_name(text)
    except UsageError as error:
        raise UsageError(f"--publication: {error}") from error


def _check_skip(options: _RoleOptions) -> None:
    if (options["skip-at"] is None) != (options["skip-crc"] is None):
        raise usage.UsageError("--skip-at and --skip-crc belong together: one record is meant, by both")


def _skip_request(options: _RoleOptions) -> SkipRequest | None:
    """The record that an operator ordered to pass over; None where there is none."""
    if options["skip-at"] is None:
        return None
    return SkipRequest(options.value("skip-at", read.parse_position), options.value("skip-crc", read.parse_crc))


class Options(usage.Options):
    """The options of ``twistd spgrepl``."""

    synopsis = "twistd [options] spgrepl master|follower|subscriber [options]"
    subCommands = [
        ["master", None, MasterOptions, "Serve a database and its log to followers."],
        ["follower", None, FollowerOptions, "Keep an exact copy of a master's database."],
        ["subscriber", None, SubscriberOptions, "Keep some tables of a master's database."],
    ]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse, and end the process with exit code 64 where that fails: twistd would end it with 1."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            refused: Any = getattr(self, "subOptions", self)
            print(f"Usage: {refused.synopsis}\n\ntwistd spgrepl: {error}", file=sys.stderr)
            print(
                "See `twistd spgrepl --help`; for one role, `twistd spgrepl master --help` and so on.",
                file=sys.stderr,
            )
            raise SystemExit(EXIT_USAGE) from error

    def postOptions(self) -> None:
        """Refuse to run without a role."""
        if self.subCommand is None:
            raise usage.UsageError("say what to run: master, follower or subscriber")


def makeService(options: Options) -> IService:
    """Make the service that twistd runs."""
    from twisted.internet import reactor  # the process's reactor: it is twistd's, and there is no other way to it

    chosen = options.subOptions
    try:
        role: Role = chosen.role(reactor)
    except SpgReplError as error:
        print(f"twistd spgrepl {options.subCommand}: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    exit_code = _ExitCode()
    role.finished.addErrback(_end_process, exit_code, reactor)
    service: IService = role
    return service


class _ExitCode:
    """The code that the process ends with. twistd itself ends with 0, whatever made its reactor stop.

    Made before anything else that wants to do its part at the end of the process, and so called after all of it.
    """

    def __init__(self) -> None:
        self.code = 0
        atexit.register(self._leave)

    def _leave(self) -> None:
        if self.code:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self.code)


def _end_process(failure: Failure, exit_code: _ExitCode, reactor: Any) -> None:
    """Let the process end because its one role cannot go on."""
    error = failure.value
    exit_code.code = error.exit_code if isinstance(error, SpgReplError) else EXIT_CONFIGURATION
    Logger("spgrepl").critical("giving up, exit code {code}: {error}", code=exit_code.code, error=str(error))
    reactor.callWhenRunning(reactor.stop)
