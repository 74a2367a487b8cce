"""What a status may be: the JSON schema in docs/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "status.schema.json").read_text("utf-8"))
_OF_ROLE = {
    role: Draft202012Validator({**SCHEMA, "oneOf": [{"$ref": f"#/$defs/{role}"}]})
    for role in ("master", "follower", "subscriber")
}


def check_status(status: dict[str, Any]) -> None:
    """Hold a status to the schema, as it goes over the wire; each error names its place."""
    sent = json.loads(json.dumps(status))
    found = [f"{error.json_path}: {error.message}" for error in deep(_OF_ROLE[sent["role"]].iter_errors(sent))]
    assert found == [], "; ".join(found)


def deep(errors: Any) -> Any:
    """The errors after those that only say that no alternative fits."""
    for error in errors:
        yield from deep(error.context) if error.context else [error]
