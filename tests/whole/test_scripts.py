"""What statements do that mean two things when they are run twice: follower and subscriber end equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.errors import StatementFailed
from tests.whole.hard_cases import HARD, ON_FOLLOWERS
from tests.whole.nodes import Script, nodes
from tests.whole.sqlite_quirks import QUIRKS
from tests.whole.unsafe_statements import UNSAFE

EVERYWHERE = {**HARD, **QUIRKS, **UNSAFE}


def run(folder: Path, script: Script, subscriber: bool) -> None:
    schema, statements = script
    with nodes(folder, *schema, subscriber=subscriber) as made:
        assert made.refused == []
        for one in statements:
            if one == "reopen":
                made.writer.close()
                made.writer.open()
                continue
            first, *more = (one,) if isinstance(one, str) else one
            (answer,) = made.run([[sql for sql in (first.removeprefix("!"), *more) if sql]])
            assert isinstance(answer, StatementFailed) is first.startswith("!"), (one, answer)
        made.check()


@pytest.mark.parametrize("name", EVERYWHERE)
def test_follower_and_subscriber_end_equal(tmp_path: Path, name: str) -> None:
    """Or the primary refuses the statement."""
    run(tmp_path, EVERYWHERE[name], subscriber=True)


@pytest.mark.parametrize("name", ON_FOLLOWERS)
def test_followers_end_equal(tmp_path: Path, name: str) -> None:
    """In what a subscriber does not take part: the schema, and tables inside of virtual ones."""
    run(tmp_path, ON_FOLLOWERS[name], subscriber=False)
