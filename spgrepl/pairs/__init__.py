"""Which log belongs to which database, and whether two logs are of one history.

What comes in: a log, a database's stored state, bytes of another log. What goes out: yes, or an error that names
both. `pair` owns the file `<log>.pair` and decides; `copied_by` tells which engine's copy a log belongs to;
`texts` says it in words; `fence` keeps the checksums of the bytes before a position and compares them with what a
master sends; `turns` are the records where one history ends and the next one begins.

Imports: `base`, `disk`, `errors`, `text`, `interfaces`, `log`, `log.format`.
"""
