"""Reading what people type, and writing for their terminals. No I/O.

What comes in: text. What goes out: tokens (`sqltext`), names and words of statements (`words`), sizes, positions
and endpoints (`options`), text that every terminal can show (`terminal`), names of strangers as logs may show
them (`shown`), counts and durations (`quantities`), what a log may say of SQL (`log_words`), of which role its
lines are (`role_log`), and how far a snapshot is in place (`placing`). Nothing here has a state but for
what `log_words` was told, which roles there are, and whose snapshot it is.

Imports: `errors`.
"""
