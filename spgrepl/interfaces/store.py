"""What a gate asks of the places where a connection's bytes wait."""

from __future__ import annotations

from zope.interface import Attribute, Interface


class IStore(Interface):
    """Something with a bound that a connection fills and a thread empties."""

    full: bool = Attribute("Whether nothing more should come.")
    drained: bool = Attribute("Whether, after it was full, there is room again.")
