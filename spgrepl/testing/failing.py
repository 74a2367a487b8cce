"""Engines and targets that fail on demand, as those on a full or failing disk do."""

from __future__ import annotations

from typing import Any

from twisted.python.components import proxyForInterface

from spgrepl.errors import EngineFailed
from spgrepl.interfaces.engine import IEngine
from spgrepl.interfaces.target import ITarget


class FailOnDemand:
    """Says which calls fail.

    Args:
        methods: The methods that can.

    Attributes:
        calls: How often each method was called, by name.
    """

    def __init__(self, *methods: str) -> None:
        self._methods = methods
        self.calls: dict[str, int] = {}
        self._due: dict[str, list[tuple[int, Exception]]] = {}

    def fail(self, method: str, after: int = 0, error: Exception | None = None) -> None:
        """Let a later call of a method fail, once.

        Args:
            method: The method's name, such as ``commit``.
            after: How many calls go well before.
            error: What it raises; by default `EngineFailed`, as where a disk is full.

        Raises:
            ValueError: No such method can be let fail, so that the test would wait for nothing.
        """
        if method not in self._methods:
            raise ValueError(f"{method!r} cannot be let fail: name one of {', '.join(self._methods)}")
        said = error or EngineFailed(f"{method} fails, as the test wants it")
        self._due.setdefault(method, []).append((self.calls.get(method, 0) + after, said))

    def called(self, method: str) -> None:
        """Count a call.

        Raises:
            Exception: It is one that is to fail.
        """
        number = self.calls.get(method, 0)
        self.calls[method] = number + 1
        for due in self._due.get(method, ()):
            if due[0] == number:
                self._due[method].remove(due)
                raise due[1]


class FailingEngine(proxyForInterface(IEngine, "_engine")):  # type: ignore[misc]
    """An engine that fails on demand and is another engine otherwise.

    Args:
        engine: The engine.

    Attributes:
        faults: Says which calls fail.
    """

    def __init__(self, engine: Any) -> None:
        super().__init__(engine)
        self.faults = FailOnDemand("begin", "execute", "commit")

    def begin(self) -> None:
        """See `IEngine`."""
        self.faults.called("begin")
        self._engine.begin()

    def execute(self, *arguments: Any, **named: Any) -> Any:
        """See `IEngine`."""
        self.faults.called("execute")
        return self._engine.execute(*arguments, **named)

    def commit(self, *arguments: Any, **named: Any) -> Any:
        """See `IEngine`."""
        self.faults.called("commit")
        return self._engine.commit(*arguments, **named)


class FailingTarget(proxyForInterface(ITarget, "_target")):  # type: ignore[misc]
    """A target that fails on demand and is another target otherwise; see `FailingEngine`.

    Args:
        target: The target.

    Attributes:
        faults: Says which calls fail.
    """

    def __init__(self, target: Any) -> None:
        super().__init__(target)
        self.faults = FailOnDemand("start", "begin", "execute", "commit")

    def start(self, *arguments: Any, **named: Any) -> Any:
        """See `ITarget`."""
        self.faults.called("start")
        return self._target.start(*arguments, **named)

    def begin(self) -> None:
        """See `ITarget`."""
        self.faults.called("begin")
        self._target.begin()

    def execute(self, *arguments: Any, **named: Any) -> Any:
        """See `ITarget`."""
        self.faults.called("execute")
        return self._target.execute(*arguments, **named)

    def commit(self, *arguments: Any, **named: Any) -> Any:
        """See `ITarget`."""
        self.faults.called("commit")
        return self._target.commit(*arguments, **named)
