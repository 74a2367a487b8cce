"""What the commands are made of: files that were named, servers that are asked, rows on a terminal.

What comes in: arguments that a command has parsed. What goes out: text, and errors with an exit code. `exec_plan`,
`exec_report`, `progress`, `repair`, `servers` and `stored_position` serve `exec`; `processes` and `table` the
demo; `sqlite_snapshot`, `snapshot_export` and `segment_rows` what reads snapshots; `failover` what changes
roles; `named_files`, `reading_line` and `rows` all of them.

Imports: `base`, `catalogue`, `disk`, `engines`, `errors`, `log`, `log.transactions`, `pairs`, `primary.parts`,
`primary.reading`, `primary.writing`, `segments`, `server.status`, `spg`, `spg.blocks`, `sqlite`, `text`.
"""
