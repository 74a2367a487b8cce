"""Reading what people type, and writing for their terminals. No I/O.

What comes in: text. What goes out: tokens (`sqltext`), names and words of statements (`words`), sizes, positions
and endpoints (`options`), text that every terminal can show (`terminal`), names of strangers as logs may show
them (`shown`), counts and durations (`quantities`), what a log may say of SQL (`log_words`), and of which role its
lines are (`role_log`). Nothing here has a state but for that choice and for which roles there are.

Imports: `errors`.
"""
