"""``python -m fuzz [--seconds N] [target …]``: fuzz every parser of bytes that come from elsewhere.

Each target runs in a process of its own, one after the other or ``--jobs`` at a time. Needs atheris
(``pip install -e '.[fuzz]'``).
"""

from __future__ import annotations

import argparse
import atexit
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from fuzz.sanitized import NotSanitized, build
from fuzz.seeds import DICTIONARY, seeds
from fuzz.targets import TARGETS
from fuzz.worker import fuzzed
from spgrepl.errors import EXIT_DATA, EXIT_UNAVAILABLE, EXIT_USAGE

SECONDS_PER_INPUT = 10
"""An input that takes longer is a finding: time must follow the length."""

MEGABYTES = 1024
"""A process that takes more is a finding: memory must not follow what bytes claim."""

_EXECUTED = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
_COVERED = re.compile(r"\bcov: (\d+)")


@attrs.frozen
class Result:
    """What came of one target.

    Attributes:
        target: Its name.
        seconds: How long it was to run.
        executions: How many inputs were tried.
        covered: How many places of the code were reached.
        findings: The inputs that broke a promise.
        output: What the process printed.
        code: How the process ended.
    """

    target: str
    seconds: int
    executions: int
    covered: int
    findings: tuple[Path, ...]
    output: str
    code: int

    @property
    def passed(self) -> bool:
        """Whether the process ran to its end and found nothing."""
        return self.code == 0 and not self.findings and self.executions > 0


def fuzz(
    target: str, seconds: int, findings: Path, corpus: Path | None, sanitized: Mapping[str, str] | None = None
) -> Result:
    """Run one target.

    Args:
        target: Its name.
        seconds: How long to run it.
        findings: The folder for inputs that break a promise.
        corpus: A folder whose inputs are started from and added to; None for the seeds alone.
        sanitized: With which variables a process takes the compiled core that was built with AddressSanitizer: it
            gets half of the time, and what coverage has led to in the other half. None for a target without it.
    """
    guided = seconds if sanitized is None else max(1, seconds // 2)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        words = Path(folder) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in DICTIONARY))
        gathered = (Path(folder) if corpus is None else corpus) / target
        gathered.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds(target)):
            (gathered / f"seed-{number}").write_bytes(seed)
        findings.mkdir(parents=True, exist_ok=True)
        flags = [
            f"-max_total_time={guided}",
            "-max_len=4096",
            f"-timeout={SECONDS_PER_INPUT}",
            f"-rss_limit_mb={MEGABYTES}",
            "-use_value_profile=1",
            f"-dict={words}",
            "-print_final_stats=1",
            f"-artifact_prefix={findings}/{target}-",
        ]
        before = set(findings.iterdir())
        printed = Path(folder) / "output"
        code = fuzzed(target, [*flags, str(gathered)], printed, seconds + 120)
        output = printed.read_text(errors="replace")
        if sanitized is not None and code == 0:
            said, code = _run_sanitized(target, seconds - guided, gathered, findings, sanitized)
            output += said
        # Other targets may have found something meanwhile.
        found = tuple(sorted(one for one in set(findings.iterdir()) - before if one.name.startswith(f"{target}-")))
    executed, covered = _EXECUTED.search(output), _COVERED.findall(output)
    return Result(
        target,
        seconds,
        int(executed[1]) if executed else 0,
        int(covered[-1]) if covered else 0,
        found,
        output,
        code,
    )


def _run_sanitized(
    target: str, seconds: int, inputs: Path, findings: Path, variables: Mapping[str, str]
) -> tuple[str, int]:
    """Run inputs, and mutations of them, with AddressSanitizer; returns what was printed, and how it ended."""
    command = [sys.executable, "-m", "fuzz.sanitized", target, str(seconds), str(inputs)]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds + 120,
            check=False,
            cwd=Path(__file__).parent.parent,
            env={**os.environ, **variables},
        )
        said, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        said, code = (late.stdout or b"").decode("utf-8", "replace") + "\nthe process did not end", -1
    last = inputs / "last-input"
    if last.exists():
        shutil.move(last, findings / f"{target}-sanitized")
    return said, code


def _escaped(word: bytes) -> str:
    """A word as libFuzzer reads it from a dictionary."""
    return "".join(f"\\x{byte:02x}" for byte in word)


def replay(target: str, path: Path) -> None:
    """Run one input through a target in this process, so that its traceback is seen."""
    TARGETS[target](path.read_bytes())
    print(f"{target}: {path} passes")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="*", help=f"what to fuzz: {', '.join(TARGETS)} (all)")
    parser.add_argument("--seconds", type=int, default=60, help="processes' time for all targets together (60)")
    parser.add_argument("--jobs", type=int, default=1, help="how many targets run at the same time (1)")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="folder for failing inputs")
    parser.add_argument("--corpus", type=Path, help="folder of inputs to go on from and to add to")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input through one target")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 65 after a finding, 69 without atheris, 64 for wrong usage."""
    arguments = _arguments(argv)
    unknown = [name for name in arguments.target if name not in TARGETS]
    if unknown or (arguments.replay and len(arguments.target) != 1):
        print(
            f"fuzz: no target {unknown[0]!r}; there are {', '.join(TARGETS)}"
            if unknown
            else "fuzz: --replay takes one target",
            file=sys.stderr,
        )
        return EXIT_USAGE
    if arguments.replay:
        replay(arguments.target[0], arguments.replay)
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: atheris is not installed; get it with: pip install -e '.[fuzz]'", file=sys.stderr)
        return EXIT_UNAVAILABLE
    return _campaign(arguments.target or list(TARGETS), arguments)


def _sanitized() -> dict[str, str] | None:
    """What to set for targets of the compiled core; None where it cannot be built with AddressSanitizer."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-core-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        found = build(folder)
    except NotSanitized as error:
        print(f"the compiled core runs without AddressSanitizer: {error}", flush=True)
        return None
    print("the compiled core runs with AddressSanitizer for half of its time", flush=True)
    return found


def _campaign(names: list[str], arguments: argparse.Namespace) -> int:
    seconds = max(1, arguments.seconds // len(names))
    print(f"atheris {importlib.metadata.version('atheris')}, Python {platform.python_version()}", flush=True)
    print(f"{'target':<18}{'seconds':>8}{'executions':>12}{'covered':>9}{'findings':>10}", flush=True)
    findings = arguments.findings.resolve()
    results = []
    sanitized = _sanitized() if any(name.startswith("core_") for name in names) else None
    corpus = arguments.corpus and arguments.corpus.resolve()

    def run(name: str) -> Result:
        return fuzz(name, seconds, findings, corpus, sanitized if name.startswith("core_") else None)

    for name, result in zip(names, ThreadPoolExecutor(max(1, arguments.jobs)).map(run, names), strict=True):
        results.append(result)
        count = len(result.findings)
        print(f"{name:<18}{seconds:>8}{result.executions:>12,}{result.covered:>9}{count:>10}", flush=True)
        if not result.passed:
            kept = findings / f"{name}-output.txt"
            kept.write_text(result.output)
            print(f"{result.output[-4000:]}\nall of it: {kept}")
            for path in result.findings:
                print(f"see it again with: python -m fuzz {name} --replay {path}")
    if not any(findings.iterdir()):
        findings.rmdir()
    failed = sum(not result.passed for result in results)
    total = sum(result.executions for result in results)
    print(f"{len(results) - failed} passed, {failed} failed: {total:,} executions in {seconds * len(names)} s")
    return EXIT_DATA if failed else 0


if __name__ == "__main__":
    sys.exit(main())
