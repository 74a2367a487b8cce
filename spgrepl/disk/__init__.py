"""Files of this machine: their names, locks and watches, and files without a name.

What comes in: paths. What goes out: handles, and errors that name the file. `files` owns the names of everything
that stands beside a database, and replaces a file so that a crash harms nothing; `sidecars` are small files that
other programs read; `file_lock` keeps a second writer away; `file_watch` notices that a file in use was moved or
replaced; `unnamed_files` holds what nothing may leave behind; `limits` says what a copy takes of a machine.
Everything but `file_watch` blocks.

Imports: `errors`, `text`, `base`.
"""
