"""How Sphinx makes a site of this folder: ``sphinx-build -W -b html docs build/docs``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import generated  # noqa: E402

from spgrepl._version import __version__  # noqa: E402

project = "spgrepl"
author = "its authors"
project_copyright = author
version = release = __version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
smartquotes = False  # two dashes are two dashes
myst_heading_anchors = 3
myst_enable_extensions = ["attrs_inline", "attrs_block"]

html_theme = "furo"
html_title = f"spgrepl {release}"
html_copy_source = False

PLACES = {
    "README": "index",
    "CONTRIBUTING": "project/contributing",
    "SECURITY": "project/security",
    "CHANGELOG": "project/changelog",
}
_ABOVE = re.compile(r"\]\((?:\.\./)+(README|CONTRIBUTING|SECURITY|CHANGELOG)\.md[^)]*\)")


def _point_inside(_: Any, name: str, source: list[str]) -> None:
    """Let links to pages of the folder above lead to the pages here that are made of them."""
    up = "../" * name.count("/")
    source[0] = _ABOVE.sub(lambda found: f"]({up}{PLACES[found[1]]}.md)", source[0])


def setup(app: Any) -> None:
    """Have the pages that are made from the code written before Sphinx looks for pages."""
    generated.write_all()
    app.connect("source-read", _point_inside)
