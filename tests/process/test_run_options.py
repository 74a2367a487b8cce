"""The options of ``twistd spgrepl run``."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from spgrepl.errors import ConfigurationError
from spgrepl.process.run_options import RunOptions
from spgrepl.process.service import ProcessService
from spgrepl.testing.stepping import StepReactor

CONFIGURATION = '[master]\nname = "main"\nlisten = "127.0.0.1:0"\ndb = "main.db"\n'


def options(*words: str) -> RunOptions:
    found = RunOptions()
    found.parseOptions(list(words))
    return found


@pytest.mark.parametrize(
    ("words", "text"), [([], "--config is missing"), (["--config=x.toml", "more"], "'more' belongs to no option")]
)
def test_what_is_refused(words: list[str], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        options(*words)


def test_a_file_makes_a_service(tmp_path: Path) -> None:
    file = tmp_path / "servers.toml"
    file.write_text(CONFIGURATION)
    assert isinstance(options("-c", str(file)).role(StepReactor()), ProcessService)


def test_a_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "servers.toml"
    file.write_text(CONFIGURATION + "lisen = 1\n")
    with pytest.raises(ConfigurationError, match=r"servers\.toml:5"):
        options("-c", str(file)).role(StepReactor())
