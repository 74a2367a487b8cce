"""What an operator sees: problems, metrics, health.

What comes in: the status of a role, which is its one owner of state (`server.role`), and its measures
(`base.measures`). What goes out: the problems that are found in it, ``/metrics``, ``/healthz``, ``/readyz``,
and the page on ``/`` that shows it all.

- A service keeps its errors in `troubles`, which counts them and remembers the last ones; `reports` logs what
  becomes of its connections, a line an event.
- `status` is what each role tells, as values, and makes JSON of it.
- `problems` judges a status, in one place for people, metrics, alerts and health checks.
- `registry` defines every metric; `metrics` makes `families` of them at each scrape, and `peer_metrics` those of
  hundreds of peers; `health` answers whoever starts processes; each is a `leaf`.
- `http_headers` reads what a request says, whatever bytes are in it.
- The folder ``page`` is what a browser gets; `events` pushes a status a second to it, `history` keeps the lag of
  the last ten minutes.
- `settings` is what a role is told of it, `site` puts the resources below a site's root.

Nothing here knows a role's class.

Imports: `base`, `compiled`, `errors`, `rows`, `text`.
"""
