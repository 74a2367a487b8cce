"""Engines and targets that fail on demand."""

from __future__ import annotations

from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from spgrepl.engines.counting import CountingEngine
from spgrepl.engines.targets.counting_target import CountingTarget
from spgrepl.errors import EngineFailed
from spgrepl.interfaces.engine import IEngine, ReplayState
from spgrepl.interfaces.target import ITarget
from spgrepl.testing.failing import FailingEngine, FailingTarget, FailOnDemand


def test_the_call_that_was_ordered_fails_once() -> None:
    faults = FailOnDemand("commit")
    faults.called("commit")
    faults.fail("commit", after=1)
    faults.called("commit")
    with pytest.raises(EngineFailed, match="commit fails, as the test wants it"):
        faults.called("commit")
    faults.called("commit")
    assert faults.calls == {"commit": 4}


def test_it_raises_what_was_said_and_nothing_else_fails() -> None:
    faults = FailOnDemand("begin")
    faults.fail("begin", error=OSError("no"))
    faults.called("commit")
    with pytest.raises(OSError, match="no"):
        faults.called("begin")


def test_an_engine_is_another_one_otherwise(tmp_path: Path) -> None:
    engine = FailingEngine(CountingEngine(tmp_path / "copy.db"))
    assert verifyObject(IEngine, engine)
    engine.open()
    engine.faults.fail("commit", after=1)
    for number in range(2):
        engine.begin()
        engine.execute([b"x"], {})
        if number:
            with pytest.raises(EngineFailed):
                engine.commit(ReplayState(2, 0))
        else:
            engine.commit(ReplayState(1, 0))
    assert engine.statistics()["statements"] == 1
    assert engine.faults.calls == {"begin": 2, "execute": 2, "commit": 2}


def test_a_target_too(tmp_path: Path) -> None:
    target = FailingTarget(CountingTarget(tmp_path / "copy.db"))
    assert verifyObject(ITarget, target)
    target.faults.fail("begin")
    with pytest.raises(EngineFailed):
        target.begin()


def test_what_cannot_be_let_fail_is_refused() -> None:
    with pytest.raises(ValueError, match="'comit' cannot be let fail: name one of begin, execute, commit"):
        FailingEngine(object()).faults.fail("comit")
    FailingTarget(object()).faults.fail("start")
