"""A configuration file: read whole, judged whole, before anything of it takes effect."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.python import usage

from spgrepl.access.endpoint_words import local_by_default
from spgrepl.access.endpoints import server_endpoint
from spgrepl.access.rights import AccessRule, AccessTable, read_rule
from spgrepl.base.small_files import read_small
from spgrepl.errors import ConfigurationError, SpgReplError, UsageError
from spgrepl.process.words import Lines, TablePlace, as_words, option_names
from spgrepl.server.role import Role
from spgrepl.server.role_options import FollowerOptions, MasterOptions, SubscriberOptions
from spgrepl.text.options import parse_seconds
from spgrepl.watch.health import DEFAULT_READY_LAG

KINDS: dict[str, Callable[[], Any]] = {
    "master": MasterOptions,
    "follower": FollowerOptions,
    "subscriber": SubscriberOptions,
}
"""The tables that stand for roles, and their options."""

_PROCESS = frozenset({"http", "ready-lag", "on-failure"})


@attrs.frozen
class RoleEntry:
    """A role of a configuration.

    Attributes:
        kind: ``master``, ``follower`` or ``subscriber``.
        name: Its name, unique among those of its kind.
        words: What it is told, as words of a command line.
        place: Where it stands.
        access: What its clients may do, where the configuration itself says so; None where it does not.
    """

    kind: str
    name: str
    words: tuple[str, ...]
    place: TablePlace = attrs.field(eq=False)
    access: AccessTable | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by when the file is read again."""
        return self.kind, self.name

    def role(self, reactor: Any) -> Role:
        """Make the role; nothing of it is opened yet.

        Raises:
            ConfigurationError: What it is told does not fit together; the message names the place.
        """
        options = KINDS[self.kind]()
        options.label = self.name
        try:
            options.parseOptions(list(self.words))
            if self.access is not None:
                options["access"] = self.access
            role: Role = options.role(reactor)
        except (usage.UsageError, SpgReplError) as error:
            raise self.place.error(str(error)) from error
        return role


@attrs.frozen
class ProcessConfiguration:
    """What a file says.

    Attributes:
        file: The file.
        roles: The roles, in the file's order.
        http: Where all roles are shown; None for nowhere.
        ready_lag: How old a copy may be, in seconds, and still be ready.
        keep_going: Whether the others go on when a role cannot.
    """

    file: Path
    roles: tuple[RoleEntry, ...]
    http: str | None = None
    ready_lag: float = DEFAULT_READY_LAG
    keep_going: bool = False

    def check(self, reactor: Any) -> None:
        """Make every role and throw it away: what is wrong with any of them shows.

        Raises:
            ConfigurationError: Something is; the message names file, line and field.
        """
        for entry in self.roles:
            entry.role(reactor)


def load_configuration(file: Path) -> ProcessConfiguration:
    """Read a configuration file.

    Raises:
        ConfigurationError: It cannot be read, is not TOML, or says what is not understood; the message names file,
            line and field.
    """
    try:
        text = read_small(file).decode("utf-8")
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: it is not UTF-8: {error}") from error
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+),", str(error))
        line = f":{found[1]}" if found else ""
        raise ConfigurationError(f"{file}{line}: it is not TOML: {error}") from error
    lines = Lines(file, text)
    roles: list[RoleEntry] = []
    for name, table in content.items():
        if name in KINDS:
            tables = table if isinstance(table, list) else [table]
            roles += [_entry(name, number, one, lines) for number, one in enumerate(tables)]
        elif name != "process":
            place = lines.table(name) if isinstance(table, dict | list) else lines.field("", 0, name)
            raise place.error(f"there is no such table; there are process, {', '.join(KINDS)}")
    if not roles:
        raise ConfigurationError(f"{file}: it names no role: write [[master]], [[follower]] or [[subscriber]]")
    _refuse_twins(roles)
    return _with_process(ProcessConfiguration(file, tuple(roles)), content.get("process", {}), lines)


def _entry(kind: str, number: int, table: Any, lines: Lines) -> RoleEntry:
    if not isinstance(table, dict):
        raise lines.field("", 0, kind).error(f"expected a table, [[{kind}]], found {table!r}")
    given = dict(table)
    name = given.get("name")
    if name is None:
        raise lines.table(kind, number).error("'name' is missing: a short name, for the status, metrics and logs")
    if not isinstance(name, str) or not name.strip():
        raise lines.field(kind, number, "name").error(f"expected a text, found {name!r}")
    if kind != "subscriber":  # whose name is an option
        del given["name"]
    options = KINDS[kind]()
    access = None
    if isinstance(given.get("access"), list) and "access" in option_names(options):
        access = _access(given.pop("access"), lines, kind, number)
    words = as_words(options, given, lines, kind, number)
    return RoleEntry(kind, name, tuple(words), TablePlace.of(lines, kind, number, name), access)


def _access(entries: list[object], lines: Lines, kind: str, number: int) -> AccessTable:
    """Read what the clients of a role may do, from the tables in its field ``access``."""
    if not entries:
        raise lines.field(kind, number, "access").error("it names no client: write [[" + kind + ".access]] tables")
    rules: list[AccessRule] = []
    for index, entry in enumerate(entries):
        try:
            rules.append(read_rule(entry))
        except UsageError as error:
            inner = lines.inner(kind, number, "access")
            said = str(error)
            keys = [key for key in entry if key in said] if isinstance(entry, dict) else []
            # A message names the key first.
            place = lines.field(inner, index, min(keys, key=said.find)) if keys else lines.table(inner, index)
            if place.line is None:  # tables within one line
                place = lines.field(kind, number, "access")
            raise place.error(f"client {index + 1}: {said}") from error
    return AccessTable(tuple(rules))


def _refuse_twins(roles: list[RoleEntry]) -> None:
    seen: dict[tuple[str, str], RoleEntry] = {}
    for entry in roles:
        if entry.key in seen:
            raise entry.place.error(f"there are two of the name {entry.name!r}: {seen[entry.key].place} is one")
        seen[entry.key] = entry


def _with_process(found: ProcessConfiguration, table: Any, lines: Lines) -> ProcessConfiguration:
    if not isinstance(table, Mapping):
        raise lines.field("", 0, "process").error(f"expected a table, [process], found {table!r}")
    for field, value in table.items():
        place = lines.field("process", 0, field)
        if field not in _PROCESS:
            raise place.error(f"there is no such option; there are {', '.join(sorted(_PROCESS))}")
        try:
            found = _with_field(found, field, value)
        except UsageError as error:
            raise place.error(str(error)) from error
    return found


def _with_field(found: ProcessConfiguration, field: str, value: Any) -> ProcessConfiguration:
    if field == "ready-lag":
        return attrs.evolve(found, ready_lag=parse_seconds(str(value)))
    if field == "on-failure":
        if value not in ("exit", "go-on"):
            raise UsageError(f"expected exit or go-on, found {value!r}")
        return attrs.evolve(found, keep_going=value == "go-on")
    if not isinstance(value, str):
        raise UsageError(f"expected an endpoint, found {value!r}")
    http = local_by_default(value)
    server_endpoint(None, http)
    return attrs.evolve(found, http=http)
