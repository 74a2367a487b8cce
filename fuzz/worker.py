"""One fuzzing process: ``python -m fuzz.worker TARGET [libFuzzer flag …]``. `fuzz.__main__` starts these."""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-untyped]


def main() -> None:
    """Fuzz one target until time is up; libFuzzer ends the process, with a code other than 0 after a finding."""
    name, *flags = sys.argv[1:]
    with atheris.instrument_imports(include=["spgrepl"]):
        from fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *flags], TARGETS[name])
    atheris.Fuzz()


main()
