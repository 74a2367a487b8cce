"""Print the lowest versions that setup.cfg allows, of what the package and its tests need, for pip."""

import configparser
import re
from pathlib import Path


def lowest(requirement: str) -> str:
    """The requirement with its lower bound as the only version; as it is where it has none."""
    named, _, marker = requirement.partition(";")
    bound = re.fullmatch(r"([\w.\-\[\]]+)\s*>=\s*([\d.]+)(?:\s*,.*)?", named.strip())
    pinned = f"{bound[1]}=={bound[2]}" if bound else named.strip()
    return f"{pinned} ;{marker}" if marker else pinned


def main() -> None:
    """Print them."""
    settings = configparser.ConfigParser()
    settings.read(Path(__file__).parent.parent / "setup.cfg")
    groups = (settings["options"]["install_requires"], settings["options.extras_require"]["test"])
    for line in "\n".join(groups).splitlines():
        if line.strip():
            print(lowest(line))


if __name__ == "__main__":
    main()
