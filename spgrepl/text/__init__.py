"""Reading what people type, and writing for their terminals. No I/O.

What comes in: text. What goes out: tokens (`sqltext`), names and words of statements (`words`), sizes, positions
and endpoints (`options`), text that every terminal can show (`terminal`), names of strangers as logs may show
them (`shown`), and what a log may say of SQL (`log_words`). Nothing here has a state but for that choice.

Imports: `errors`.
"""
