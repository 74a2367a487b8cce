"""Tells ``twistd`` of the command ``spgrepl``."""

from twisted.application.service import ServiceMaker

spgrepl = ServiceMaker(
    "spgrepl",
    "spgrepl.process.tap",
    "SPG replication: a master of a database's log, or a follower of one.",
    "spgrepl",
)
