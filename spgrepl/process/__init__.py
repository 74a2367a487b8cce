"""One process of ``twistd``: one role, or as many as a file says.

What comes in: a command line, a TOML file, signals. What goes out: a service with its roles, and an exit code.

- `tap` is what ``twistd`` runs; `run_options` are those of ``run``.
- `words` finds where a field stands in a file, and turns a table into the words of a command line: what a role may
  be told is said in one place, `server.role_options`.
- `configuration` reads a file whole, and names file, line and field of what is wrong.
- `service` runs the roles, and shows all of them on one site; `signals` listens for SIGHUP.
- `notify` tells systemd how it is; `logs` writes logs for machines; `heap` keeps the memory small.

Imports: `access`, `base`, `errors`, `failover`, `server`, `server.status`, `text`, `watch`.
"""
