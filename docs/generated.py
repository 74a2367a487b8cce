"""Pages of the reference that are made from the code when the documentation is built: they cannot go stale.

``conf.py`` calls `write_all`; ``python docs/generated.py`` writes them without building anything.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs"

sys.path.insert(0, str(ROOT))

from spgrepl import cli, errors  # noqa: E402
from spgrepl.process.tap import FollowerOptions, MasterOptions, RunOptions, SubscriberOptions  # noqa: E402
from spgrepl.watch.registry import BUILD, METRICS, ROLE_LABELS  # noqa: E402
from spgrepl.watch.troubles import kind_of  # noqa: E402

ROLES: dict[str, Any] = {
    "master": MasterOptions,
    "follower": FollowerOptions,
    "subscriber": SubscriberOptions,
    "run": RunOptions,
}


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


# -- options of servers ---------------------------------------------------------------------------------------


def role_options(role: str) -> list[tuple[str, str, str]]:
    """Name, default and meaning of each option of a role, as its parser has them."""
    options = ROLES[role]()
    found = []
    for name in sorted(long.removesuffix("=") for long in options.longOpt):
        if name in ("help", "version"):
            continue
        short = [f"-{one}" for one in options.synonyms if len(one) == 1 and options.synonyms[one] == name]
        value = " …" if f"{name}=" in options.longOpt else ""
        default = options.defaults.get(name)
        text = options.docs.get(name) or inspect.getdoc(getattr(options, f"opt_{name.replace('-', '_')}")) or ""
        found.append((", ".join([f"--{name}{value}", *short]), str(default or ""), text))
    return found


def options_page() -> str:
    """Every option of ``twistd spgrepl``."""
    parts = [
        "# Options of the servers\n\nMade from the parsers. [Operating](../operating.md#options) "
        "says more of each, and which belong together. In a file of `twistd spgrepl run` they have the same "
        "names, without the dashes: [processes](../processes.md).\n"
    ]
    for role, options in ROLES.items():
        rows = [(_code(shown), _code(default), text) for shown, default, text in role_options(role)]
        parts.append(f"## `twistd spgrepl {role}`\n\n{options.longdesc}\n")
        parts.append(table(("option", "default", "meaning"), rows))
    return "\n".join(parts)


# -- commands -------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command of ``spgrepl`` and every part of one, with its parser."""
    for name, summary in cli.COMMANDS.items():
        parser = argparse.ArgumentParser(prog=f"spgrepl {name}", description=f"{summary[0].upper()}{summary[1:]}.")
        importlib.import_module(f"spgrepl.cli.{name.replace('-', '_')}").configure(parser)
        yield from _with_parts(f"spgrepl {name}", parser)


def _with_parts(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:  # noqa: SLF001 - argparse shows them nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for word, part in action.choices.items():
                yield from _with_parts(f"{name} {word}", part)


def command_arguments(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """Each argument of a command as it is typed, and its meaning."""
    found = []
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):  # noqa: SLF001
            continue
        takes = action.nargs != 0
        value = action.metavar or (
            "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
        )
        named = value if isinstance(value, str) else " ".join(value)
        if action.option_strings:
            named = ", ".join(action.option_strings) + (f" {named}" if takes else "")
        found.append((named, (action.help or "") % {**vars(action), "prog": parser.prog}))
    return found


def commands_page() -> str:
    """Every command of ``spgrepl``."""
    parts = [
        "# Commands\n\nMade from the parsers. The [exit code](../operating.md#exit-codes) says how one failed.\n"
    ]
    for name, parser in commands():
        parts.append(f"## `{name}`\n\n{parser.description or ''}\n")
        rows = [(_code(shown), text) for shown, text in command_arguments(parser)]
        if rows:
            parts.append(table(("argument", "meaning"), rows))
    return "\n".join(parts)


# -- metrics, fields, errors ----------------------------------------------------------------------------------


def metrics_page() -> str:
    """Every metric, from the registry of which scrapes are made."""
    rows = []
    for one in METRICS.values():
        labels = one.labels if one is BUILD else (*ROLE_LABELS, *one.labels)
        rows.append((_code(one.shown), one.kind.value, ", ".join(map(_code, labels)), one.text))
    return (
        "# Metrics\n\nMade from the registry that `/metrics` is made of. Times are in seconds, sizes and "
        "positions in bytes. What is unknown is absent, not 0. [Monitoring](../monitoring.md#metrics) says which "
        "of them to look at first.\n\n" + table(("metric", "kind", "labels", "meaning"), rows)
    )


def fields_page() -> str:
    """Every field of a status, from its JSON schema."""
    schema = json.loads((ROOT / "docs" / "status.schema.json").read_text("utf-8"))
    parts = [
        "# Fields of the status\n\nMade from the JSON schema that every status is held to, "
        "{download}`status.schema.json <../status.schema.json>`. [Operating](../operating.md#status) says what "
        "each means.\n"
    ]
    for role in ("master", "follower", "subscriber"):
        rows = [(_code(name), kind) for name, kind in _fields(schema["$defs"][role], schema, "")]
        parts += [f"## Of a {role}\n", table(("field", "type"), rows)]
    return "\n".join(parts)


def _fields(part: dict[str, Any], schema: dict[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for name, given in part.get("properties", {}).items():
        field, where = _resolved(given, schema), f"{before}{name}"
        yield where, _kind(field)
        choices = [_resolved(one, schema) for one in field.get("anyOf", field.get("oneOf", []))]
        for one in (field, *choices, *(_resolved(each.get("items") or {}, schema) for each in (field, *choices))):
            yield from _fields(one, schema, f"{where}.")


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
    return part


def _kind(field: dict[str, Any]) -> str:
    if "const" in field:
        return _code(json.dumps(field["const"]))
    if "enum" in field:
        return ", ".join(_code(json.dumps(one)) for one in field["enum"])
    kinds = field.get("type", "object or null" if "anyOf" in field or "oneOf" in field else "any")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def errors_page() -> str:
    """Every error, its word in the status and its exit code."""
    parts = [
        "# Errors\n\nMade from the classes, all of which are in `spgrepl`. The word is what stands as "
        "`error_kind` and under `errors` in the status, and in metrics.\n"
    ]
    families = (("This side", errors.LocalError), ("The other side, or bytes from elsewhere", errors.PeerError))
    for title, family in families:
        rows = []
        for name, error in sorted(vars(errors).items()):
            if inspect.isclass(error) and issubclass(error, family):
                about = (inspect.getdoc(error) or "").split("\n\n")[0]
                rows.append((_code(name), _code(kind_of(error.__new__(error))), str(error.exit_code), about))
        parts += [f"## {title}\n", table(("class", "word", "exit code", "meaning"), rows)]
    return "\n".join(parts)


# -- pages of the folder above --------------------------------------------------------------------------------


def from_above(name: str) -> str:
    """A page of the folder above, with its links as they are from here."""
    text = (ROOT / f"{name.upper()}.md").read_text("utf-8")
    text = re.sub(r"\]\((CONTRIBUTING|SECURITY|CHANGELOG)\.md", lambda found: f"]({found[1].lower()}.md", text)
    text = re.sub(r"\]\(tests/", "](../../tests/", text)
    return re.sub(r"\]\(docs/", "](../", text)


PAGES: dict[str, Callable[[], str]] = {
    "reference/options": options_page,
    "reference/commands": commands_page,
    "reference/fields": fields_page,
    "reference/errors": errors_page,
    "reference/metrics": metrics_page,
    **{f"project/{name}": partial(from_above, name) for name in ("contributing", "security", "changelog")},
}


def write_all() -> None:
    """Write each page whose text has changed."""
    for name, make in PAGES.items():
        path, text = FOLDER / f"{name}.md", make()
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


if __name__ == "__main__":
    write_all()
