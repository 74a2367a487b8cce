"""What every other package may use: time that does not jump, results that several wait for, the life of services.

What comes in: reactors and calls that block. What goes out: Deferreds that fire once, in the reactor's thread.

- Time: `steady_clock` (on `timer_file`), `beat`.
- Waiting: `observers` for one result, `waiters` for a position.
- Threads: `worker` owns the one that an engine lives in; `reading` reads files for connections.
- `small_files` reads those that a user names.
- The life of a service: `life_cycle` is the table, `living_service` the service around it, `failures` tells what
  nobody foresaw.
- Values: `results` (what statements give back), `histories` (whose positions count), `checksum`, `measures` (what
  took how long).

Imports: `errors`, `text`.
"""
