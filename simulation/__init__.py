"""A deterministic simulation: all roles in one process, on a clock and a network in memory, while faults happen.

What comes in: a seed. What goes out: nothing, or the invariant that broke, at which step of which seed.

- `oracle` reads the primary's log with a SQLite library of its own, and knows each state that copies may have.
- `disk` knows what was flushed, lets a flush fail, and makes files as a kill or a loss of power leaves them.
- `course` runs one course. `world` owns the nodes, the workload and the faults; `bugs` has faults of the code that
  must be found.

- `idle` counts what thousands of followers cost that have everything; it is not a course.

``python -m simulation --help`` says how to run it, and ``python -m simulation.idle --help`` the count.
"""
