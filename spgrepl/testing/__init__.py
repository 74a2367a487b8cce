"""The kit for tests of programs that use replication: whole nodes in one process, without threads and sleeps.

What comes in: a folder, and a test that says when time goes by. What goes out: nodes that are the real ones, on a
reactor and a network in memory, the same each time.

- `stepping` owns time and what stands in the place of threads; `network` the connections and their faults.
- `cluster` owns the nodes of one test; `assertions` looks at what came of them.
- `failing`: engines and targets that fail on demand. `plugin`: the fixture for pytest.

Imports: `base`, `disk`, `errors`, `interfaces`, `log`, `primary`, `replica.subscribing`, `server`, `sqlite`,
`text`.
"""

from spgrepl.testing.assertions import assert_applied, assert_equal_databases
from spgrepl.testing.cluster import Cluster, PrimaryNode
from spgrepl.testing.failing import FailingEngine, FailingTarget, FailOnDemand
from spgrepl.testing.network import Faults, MemoryConnection, MemoryNetwork
from spgrepl.testing.stepping import NotInTime, StepReactor

__all__ = [
    "Cluster",
    "FailOnDemand",
    "FailingEngine",
    "FailingTarget",
    "Faults",
    "MemoryConnection",
    "MemoryNetwork",
    "NotInTime",
    "PrimaryNode",
    "StepReactor",
    "assert_applied",
    "assert_equal_databases",
]
