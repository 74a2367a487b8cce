"""``spgrepl exec``: statements, transactions, failures and tables."""

from __future__ import annotations

import io
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from spgrepl.catalogue.statements import ShowWalLevel, WaitForPosition
from spgrepl.cli import exec as command
from spgrepl.cli import main
from spgrepl.cli.exec import Step, plan
from spgrepl.cli.parts import exec_plan, stored_position
from spgrepl.cli.parts.progress import Progress
from spgrepl.disk.files import DatabasePaths
from spgrepl.log.reader import Damage, iterate_records, scan_log
from spgrepl.primary.parts.requests import Request
from spgrepl.primary.writing.writer import DatabaseWriter
from tests.replica.following import copies


@attrs.define
class Shell:
    """Runs the command in a folder, and knows what it printed."""

    folder: Path
    captured: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    out: str = ""
    err: str = ""

    @property
    def paths(self) -> DatabasePaths:
        return DatabasePaths.of(self.folder / "a.db")

    def run(self, *words: str, stdin: bytes = b"") -> int:
        """Run ``spgrepl exec`` with further words, and return its exit code."""
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(["exec", "--db", str(self.paths.database), *words])
        self.out, self.err = self.captured.readouterr()
        return code

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Look into the database."""
        with closing(sqlite3.connect(self.paths.database)) as connection:
            return connection.execute(sql).fetchall()

    def length(self) -> int:
        """The log's length; every command must leave it whole."""
        assert scan_log(self.paths.wal).damage is Damage.NONE
        return self.paths.wal.stat().st_size


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder without a database."""
    return Shell(tmp_path, capsys, monkeypatch)


def test_statements_from_arguments(shell: Shell) -> None:
    """Several in one argument and several arguments; the position comes last."""
    code = shell.run("CREATE TABLE t (a); INSERT INTO t VALUES ('x;y')", "SELECT a FROM t")
    assert code == 0
    assert shell.out.splitlines() == ["a", "---", "x;y", "(1 row)", f"position {shell.length()}"]
    assert shell.err == ""


def test_statements_from_a_file_and_from_standard_input(shell: Shell) -> None:
    """A byte order mark is skipped; -f - is standard input, and so is nothing at all."""
    script = shell.folder / "s.sql"
    script.write_bytes("\ufeffCREATE TABLE t (a); -- é\nINSERT INTO t VALUES ('é');\n".encode())
    assert shell.run("-f", str(script)) == 0
    assert shell.run("-f", "-", stdin=b"INSERT INTO t VALUES (2)") == 0
    assert shell.run(stdin=b"INSERT INTO t VALUES (3);\n\n") == 0
    assert shell.rows("SELECT a FROM t") == [("é",), (2,), (3,)]


def test_nothing_to_do_makes_a_primary(shell: Shell) -> None:
    """An empty input opens the database, which adopts it; --create makes it, and is enough to say."""
    assert shell.run("--create") == 0
    assert shell.out == "position 0\n"
    assert shell.paths.wal.exists()
    assert shell.run(stdin=b" -- nothing\n") == 0
    assert shell.run("--create", "SELECT 1") == 0


@pytest.mark.parametrize(
    "statements",
    [
        ["SELECT 1"],
        ["SELECT 1", "CREATE TABLE t (a)"],
        ["INSERT INTO t VALUES (1)"],
        ["BEGIN; INSERT INTO t VALUES (1); COMMIT"],
        ["DROP TABLE t"],
        ["PRAGMA user_version"],
        ["WITH x AS (SELECT 1) SELECT * FROM x"],
        ["BEGIN; CREATE TABLE t (a)"],
        ["ROLLBACK"],
        ["SHOW PUBLICATIONS"],
        ["-- nothing"],
    ],
)
def test_a_name_that_is_misspelt_makes_no_file(shell: Shell, statements: list[str]) -> None:
    """A query makes none, nor does what changes rows."""
    refused = statements[0].startswith(("BEGIN; CREATE", "ROLLBACK"))
    assert shell.run(*statements) == (65 if refused else 66)
    assert refused or "a.db" in shell.err
    assert list(shell.folder.iterdir()) == []


@pytest.mark.parametrize(
    "statements",
    [
        "CREATE TABLE t (a)",
        "DROP TABLE IF EXISTS t; CREATE TABLE t (a)",
        "PRAGMA foreign_keys=OFF; BEGIN TRANSACTION; CREATE TABLE t (a); INSERT INTO t VALUES (1); COMMIT;",
        "CREATE PUBLICATION p",
    ],
)
def test_what_begins_by_making_something_makes_the_database(shell: Shell, statements: str) -> None:
    assert shell.run(statements) == 0
    assert {path.stat().st_mode & 0o777 for path in shell.folder.iterdir()} == {0o600}


def test_a_log_elsewhere(shell: Shell) -> None:
    """--wal names it."""
    wal = shell.folder / "elsewhere.log"
    assert shell.run("--wal", str(wal), "CREATE TABLE t (a)") == 0
    assert wal.stat().st_size > 0
    assert not shell.paths.wal.exists()


def test_a_trigger_is_one_statement(shell: Shell) -> None:
    """Its semicolons do not end it."""
    trigger = "CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t WHERE a = 1; DELETE FROM t WHERE a = 2; END"
    assert shell.run(f"CREATE TABLE t (a); {trigger}; INSERT INTO t VALUES (1), (2), (3);") == 0
    assert shell.rows("SELECT a FROM t") == [(3,)]


# -- failures -------------------------------------------------------------------------------------------------


def test_a_failing_statement(shell: Shell) -> None:
    """It is named by number and text; earlier ones stay, later ones are not run."""
    code = shell.run(
        "CREATE TABLE t (a); INSERT INTO t VALUES (1); INSERT INTO\n nowhere VALUES (2); DELETE FROM t"
    )
    assert code == 65
    assert shell.out == f"position {shell.length()}\n"
    assert "statement 3 failed: no such table: nowhere" in shell.err
    assert "INSERT INTO nowhere VALUES (2)" in shell.err
    assert shell.rows("SELECT a FROM t") == [(1,)]


def test_a_failing_query(shell: Shell) -> None:
    """What was written before it stays, and is told."""
    assert shell.run("CREATE TABLE t (a); SELECT b FROM t; DROP TABLE t") == 65
    assert "statement 2 failed: no such column: b" in shell.err
    assert shell.out == f"position {shell.length()}\n"


def test_a_long_statement_is_cut_in_the_message(shell: Shell) -> None:
    """One line is enough to know it again."""
    assert shell.run("--create", "INSERT INTO nowhere VALUES ('" + "x" * 5000 + "\x1b[31m')") == 65
    assert len(shell.err) < 500
    assert "\x1b" not in shell.err


def test_a_file_of_which_a_statement_fails_is_named(shell: Shell, tmp_path: Path) -> None:
    """Also where all of it is no SQL; with arguments before it, numbers count these too."""
    script = tmp_path / "letter.txt"
    script.write_text("Dear Bob,")
    assert shell.run("--create", "--file", str(script)) == 65
    assert 'statement 1 failed: near "Dear": syntax error' in shell.err
    assert f"The statements are those of {script}.\n" in shell.err
    assert shell.run("CREATE TABLE t (a)", "--file", str(script)) == 65
    assert "statement 2 failed" in shell.err
    assert f"The statements are those of {script}, after those of the command line." in shell.err
    assert shell.run("--file", "-", stdin=b"Dear Bob,") == 65
    assert "The statements are those of standard input." in shell.err
    script.write_text("INSERT INTO t VALUES (1)")
    assert shell.run("--file", str(script)) == 0
    assert "The statements" not in shell.err


def test_bytes_that_are_no_text(shell: Shell) -> None:
    """The statement that holds them is refused by its number."""
    assert shell.run(stdin=b"CREATE TABLE t (a); INSERT INTO t VALUES ('\xff')") == 65
    assert "statement 2 failed: the text is not valid Unicode" in shell.err


def test_a_database_that_is_being_written(shell: Shell) -> None:
    """Writing is refused with the code of a temporary failure, reading is not."""
    assert shell.run("CREATE TABLE t (a)") == 0
    writer = DatabaseWriter(shell.paths)
    writer.open()
    assert shell.run("DROP TABLE t") == 75
    assert str(os.getpid()) in shell.err
    assert shell.run("SELECT count(*) AS n FROM t") == 0
    assert shell.out.splitlines()[2] == "0"
    writer.close()


def test_a_log_that_is_damaged(shell: Shell) -> None:
    """The exit code is that of bad data."""
    assert shell.run("CREATE TABLE t (a)") == 0
    shell.paths.wal.write_bytes(b"")
    assert shell.run("DROP TABLE t") == 65
    assert "holds 0 bytes" in shell.err


# -- transactions ---------------------------------------------------------------------------------------------


def test_transactions(shell: Shell) -> None:
    """BEGIN … COMMIT is one unit in the log; ROLLBACK runs nothing, and says so."""
    code = shell.run(
        "CREATE TABLE t (a INTEGER PRIMARY KEY); BEGIN IMMEDIATE; INSERT INTO t VALUES (1); SAVEPOINT s; "
        "DELETE FROM t; ROLLBACK TO s; UPDATE t SET a = last_insert_rowid() + 1; END; "
        "BEGIN; DELETE FROM t; ROLLBACK; BEGIN; COMMIT"
    )
    assert code == 0
    assert shell.out == f"rolled back: 1 statement was not run\nposition {shell.length()}\n"
    assert shell.rows("SELECT a FROM t") == [(2,)]
    logged = [sql for batch in iterate_records(shell.paths.wal) for sql in batch.sql]
    assert logged[2] == b"BEGIN"
    assert logged[-3:] == [b"INSERT INTO t(a)VALUES(1)", b"UPDATE t SET a=2 WHERE a=1", b"COMMIT"]


def test_a_failure_inside_a_transaction(shell: Shell) -> None:
    """The statement is counted among all, and nothing of its transaction stays."""
    code = shell.run(
        "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)", "BEGIN", "DELETE FROM t", "DELETE FROM nowhere", "COMMIT"
    )
    assert code == 65
    assert "statement 5 failed: no such table: nowhere" in shell.err
    assert "Nothing of its transaction was run." in shell.err
    assert shell.rows("SELECT a FROM t") == [(1,)]


def test_a_transaction_that_is_never_ended(shell: Shell) -> None:
    """Nothing of it is run."""
    assert shell.run("CREATE TABLE t (a); BEGIN; INSERT INTO t VALUES (1)") == 65
    assert "statement 2 failed: the transaction is never ended" in shell.err
    assert shell.rows("SELECT a FROM t") == []


def test_a_commit_without_a_beginning(shell: Shell) -> None:
    """It is named."""
    assert shell.run("CREATE TABLE t (a); COMMIT") == 65
    assert "statement 2 failed: no transaction is open" in shell.err


def test_steps() -> None:
    """What statements become, one by one."""
    texts = ["SELECT 1", "DELETE FROM t", "BEGIN", "a", "b", "COMMIT", "BEGIN", "c", "ROLLBACK", "BEGIN", "d"]
    read, write, whole, undone, unfinished = plan(texts)
    assert read == Step(1, "SELECT 1")
    assert write == Step(2, "DELETE FROM t", Request(("DELETE FROM t",)))
    assert whole == Step(3, "BEGIN", Request(("a", "b"), transaction=True))
    assert undone == Step(7, "BEGIN", dropped=1)
    assert unfinished.number == 10
    assert unfinished.refusal is not None


# -- publications, subscriptions and positions -----------------------------------------------------------------

NO_PUBLICATIONS = ["name  scope  table_count", "----  -----  -----------", "(0 rows)"]
ALL_OF_P = [
    "name  scope           table_count",
    "----  --------------  -----------",
    "p     FOR ALL TABLES         NULL",
]


def test_steps_of_control_statements() -> None:
    """Changes are written, looks read, and the rest is for a server; in a transaction all is written."""
    made, shown, asked, waits, wrong, whole = plan(
        [
            "CREATE PUBLICATION p",
            "SHOW PUBLICATIONS",
            "SHOW effective_wal_level",
            "WAIT FOR WAL POSITION 5 WITH TIMEOUT 20",
            "SHOW PUBLICATIONS q",
            "BEGIN",
            "SHOW PUBLICATIONS",
            "COMMIT",
        ]
    )
    assert made == Step(1, "CREATE PUBLICATION p", Request(("CREATE PUBLICATION p",)))
    assert shown == Step(2, "SHOW PUBLICATIONS")
    assert asked.server == ShowWalLevel()
    assert waits.server == WaitForPosition(5, 0.02)
    assert "found 'q'" in (wrong.refusal or "")
    assert whole.request == Request(("SHOW PUBLICATIONS",), transaction=True)


def test_writes_and_looks_run_in_order(shell: Shell) -> None:
    """Each look sees what stands before it."""
    code = shell.run(
        "--create",
        "SHOW PUBLICATIONS; CREATE PUBLICATION p; SHOW PUBLICATIONS",
        "BEGIN; DROP PUBLICATION p; SHOW PUBLICATIONS; CREATE PUBLICATION q; COMMIT",
        "DROP PUBLICATION q; SHOW PUBLICATIONS",
    )
    position = f"position {shell.length()}"
    assert (code, shell.err) == (0, "")
    assert shell.out.splitlines() == [
        *NO_PUBLICATIONS,
        *ALL_OF_P,
        "(1 row)",
        *NO_PUBLICATIONS,
        *NO_PUBLICATIONS,
        position,
    ]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("CREATE PUBLICATION p", 'the publication "p" exists already'),
        ("CREATE PUBLICATION q FOR TABLE nowhere", 'there is no table "nowhere"'),
        ("CREATE PUBLICATION q FOR TABLE", "the list of tables is empty"),
        ("DROP SUBSCRIPTION s", 'there is no subscription "s"'),
        ("SHOW PUBLICATIONS q", "expected the end of the statement, found 'q'"),
        ("BEGIN; SHOW effective_wal_level; COMMIT", "run this alone"),
    ],
)
def test_a_refused_control_statement(shell: Shell, sql: str, message: str) -> None:
    """The reason is printed, and nothing is logged."""
    assert shell.run("CREATE PUBLICATION p") == 0
    before = shell.length()
    assert shell.run(sql) == 65
    assert message in shell.err
    assert shell.length() == before


def test_looking_beside_a_server_and_at_a_copy(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No lock is needed for it, and a copy does not enable what its master does."""
    subscribe = "CREATE SUBSCRIPTION s CONNECTION 'host=h port=1' PUBLICATION p"
    assert shell.run("CREATE PUBLICATION p", subscribe) == 0
    writer = DatabaseWriter(shell.paths)
    writer.open()
    assert shell.run("SHOW PUBLICATIONS") == 0
    assert shell.out.splitlines() == [*ALL_OF_P, "(1 row)"]
    assert shell.run("SHOW SUBSCRIPTIONS", "WAIT FOR WAL POSITION 9999 WITH TIMEOUT 0") == 75
    assert shell.out.splitlines()[2:] == [
        "s     host=h port=1  p                   1               NULL",
        "(1 row)",
        "0",
    ]
    writer.close()
    folder = tmp_path_factory.mktemp("follower")
    with copies.opened(folder) as copy:
        copy.install(shell.paths.database.read_bytes(), 700)
        shell.monkeypatch.setattr(Shell, "paths", copy.paths)
        assert shell.run("SHOW SUBSCRIPTIONS; WAIT FOR WAL POSITION 700") == 0
        assert shell.out.splitlines()[2:] == [
            "s     host=h port=1  p                   0               NULL",
            "(1 row)",
            "1",
        ]
    assert shell.run("SHOW PUBLICATIONS; DROP PUBLICATION p") == 78
    assert "is a follower's copy" in shell.err


def test_looking_at_nothing(shell: Shell) -> None:
    """It is not made."""
    assert shell.run("SHOW PUBLICATIONS") == 66
    assert "there is no database" in shell.err
    assert shell.run("WAIT FOR WAL POSITION 0") == 78
    assert list(shell.folder.iterdir()) == []


def test_waiting_for_a_position(shell: Shell) -> None:
    """1 where it was reached; else 0, the code for trying again, and nothing more is run."""
    assert shell.run("CREATE TABLE t (a)") == 0
    length = shell.length()
    assert shell.run(f"WAIT FOR WAL POSITION {length}") == 0
    assert (shell.out, shell.err) == ("1\n", "")
    assert shell.run("INSERT INTO t VALUES (1); WAIT FOR WAL POSITION 9999 WITH TIMEOUT 1; DELETE FROM t") == 75
    assert shell.out == f"0\nposition {shell.length()}\n"
    assert "statement 2 failed: position 9999 was not reached in time" in shell.err
    assert shell.rows("SELECT a FROM t") == [(1,)]


def test_a_wait_among_writes_leaves_the_lock_to_others(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer brings about what is waited for; then the rest is written."""
    assert shell.run("CREATE TABLE t (a)") == 0

    def another_writes(_: float) -> None:
        with closing(DatabaseWriter(shell.paths)) as writer:
            writer.open()
            writer.run([Request(("INSERT INTO t VALUES (2)",))])

    monkeypatch.setattr(stored_position.time, "sleep", another_writes)
    goal = shell.length() + 60
    code = shell.run("INSERT INTO t VALUES (1)", f"WAIT FOR WAL POSITION {goal}", "INSERT INTO t VALUES (3)")
    assert code == 0
    assert shell.out == f"1\nposition {shell.length()}\n"
    assert shell.rows("SELECT a FROM t") == [(1,), (2,), (3,)]


def test_another_writer_that_stays(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written before is told, and the statement that cannot be written is named."""
    assert shell.run("CREATE TABLE t (a)") == 0
    other = DatabaseWriter(shell.paths)

    def another_stays(_: float) -> None:
        other.open()
        other.run([Request(("INSERT INTO t VALUES (2)",))])

    monkeypatch.setattr(stored_position.time, "sleep", another_stays)
    goal = shell.length() + 60
    assert shell.run(f"INSERT INTO t VALUES (1); WAIT FOR WAL POSITION {goal}; INSERT INTO t VALUES (3)") == 75
    other.close()
    assert "statement 3 failed" in shell.err
    assert "one process writes a database at a time" in shell.err
    assert shell.out.startswith("1\nposition ")


@pytest.mark.parametrize("sql", ["SAVEPOINT a", "RELEASE a", "ROLLBACK TO a", "COMMIT", "ROLLBACK"])
def test_what_only_a_transaction_knows(shell: Shell, sql: str) -> None:
    """The advice is one that can be followed here."""
    assert shell.run("CREATE TABLE t (a)", sql) == 65
    assert "statement 2 failed: no transaction is open: write BEGIN before it" in shell.err


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES ($$x$$)", "SELECT ?", "SELECT :name"])
def test_a_parameter_without_a_value(shell: Shell, sql: str) -> None:
    """Dollar quotes are PostgreSQL's: here they begin a parameter."""
    assert shell.run("CREATE TABLE t (a)", sql) == 65
    assert "statement 2 failed: the values do not fit the parameters of the statement" in shell.err
    assert "put text into single quotes" in shell.err


# -- many -----------------------------------------------------------------------------------------------------


def test_many_statements_share_fsyncs(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of statements are made durable in groups; a failure among them cuts exactly there."""
    synced = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda handle: (synced.append(handle), real(handle)))
    inserts = [f"INSERT INTO t VALUES ({number})" for number in range(5000)]
    inserts[4321] = "INSERT INTO t VALUES (0)"
    assert shell.run(stdin=";\n".join(["CREATE TABLE t (a UNIQUE)", *inserts]).encode()) == 65
    assert "statement 4323 failed: UNIQUE constraint failed" in shell.err
    assert shell.rows("SELECT count(*), max(a) FROM t") == [(4321, 4320)]
    assert len(synced) < 20


def test_a_dump_of_the_sqlite3_program(shell: Shell) -> None:
    """It comes back as it was; the setting that it begins with holds anyway."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(
            "CREATE TABLE p (id INTEGER PRIMARY KEY AUTOINCREMENT, t TEXT DEFAULT CURRENT_TIMESTAMP);"
            "CREATE TABLE c (p REFERENCES p (id)); INSERT INTO c VALUES (7); INSERT INTO p VALUES (7, 'a;b');"
            "CREATE TRIGGER r AFTER DELETE ON p BEGIN DELETE FROM c WHERE p = OLD.id; END;"
            "CREATE VIEW v AS SELECT * FROM p; CREATE INDEX i ON p (t)"
        )
        dump = "\n".join(connection.iterdump())
    assert shell.run(stdin=f"PRAGMA foreign_keys=OFF;\n{dump}\n".encode()) == 0
    with closing(sqlite3.connect(shell.paths.database)) as connection:
        back = [line for line in connection.iterdump() if "spgrepl_" not in line]
    assert sorted(back) == sorted(dump.splitlines())


# -- tables ---------------------------------------------------------------------------------------------------


def test_returning_prints_rows(shell: Shell) -> None:
    """Behind the write that they tell of."""
    assert shell.run("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2) RETURNING a * 2 AS twice") == 0
    assert shell.out.splitlines()[:-1] == ["twice", "-----", "    2", "    4", "(2 rows)"]


# -- settings, and what the connection that wrote knows --------------------------------------------------------


def test_foreign_keys_are_kept_from_the_time_on_when_it_is_said(shell: Shell) -> None:
    """The option is stored; a PRAGMA holds for its run, as the dumps of the sqlite3 program mean it."""
    tables = "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p ON DELETE CASCADE)"
    assert shell.run("--foreign-keys", "on", tables) == 0
    assert shell.run("INSERT INTO c VALUES (1)") == 65
    assert "FOREIGN KEY constraint failed" in shell.err
    assert shell.run("PRAGMA foreign_keys=OFF; INSERT INTO c VALUES (1); INSERT INTO p VALUES (1)") == 0
    assert shell.run("DELETE FROM p") == 0
    assert shell.rows("SELECT * FROM c") == []
    assert shell.run("--foreign-keys", "off") == 0
    assert shell.run("INSERT INTO c VALUES (1)") == 0


def test_settings_that_are_replicated_and_that_are_not(shell: Shell) -> None:
    """user_version is stored in the database and stands in the log; others are everybody's to leave alone."""
    assert shell.run("CREATE TABLE t (a); PRAGMA user_version = 7", "PRAGMA user_version") == 0
    assert shell.out.splitlines()[2].strip() == "7"
    assert shell.run("PRAGMA synchronous = OFF") == 65
    assert "settings that all callers share" in shell.err


def test_what_the_last_statement_did(shell: Shell) -> None:
    """SELECT last_insert_rowid() and changes() speak of the statements before, and change nothing."""
    assert shell.run("CREATE TABLE t (id INTEGER PRIMARY KEY)") == 0
    length = shell.length()
    assert shell.run("INSERT INTO t VALUES (41), (42); SELECT changes(), last_insert_rowid()") == 0
    assert shell.out.splitlines()[2].split() == ["2", "42"]
    assert shell.length() > length
    assert shell.run("SELECT last_insert_rowid()") == 0
    assert shell.out.splitlines()[2].strip() == "0"


def test_progress_is_shown_to_those_who_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, after a moment, and taken back at the end."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    assert not Progress(io.StringIO()).wanted
    screen = Terminal()
    progress = Progress(screen)
    assert progress.wanted
    progress(5)
    assert screen.getvalue() == ""
    now[0] = 1.0
    progress(1234567)
    progress(1234568)
    assert screen.getvalue() == "\r1,234,567 rows changed"
    progress.clear()
    assert screen.getvalue().endswith(" " * len("1,234,567 rows changed") + "\r")


def test_what_another_program_wrote_between_two_runs_is_told_once(shell: Shell) -> None:
    assert shell.run("CREATE TABLE t (a)") == 0
    assert shell.run("INSERT INTO t VALUES (1)") == 0
    assert "warning" not in shell.err
    with closing(sqlite3.connect(shell.paths.database)) as other, other:
        other.execute("INSERT INTO t VALUES (2)")
    assert shell.run("SELECT count(*) FROM t") == 0
    assert shell.run("INSERT INTO t VALUES (3)") == 0
    assert f"spgrepl: warning: another program has changed {shell.paths.database}" in shell.err
    assert shell.run("INSERT INTO t VALUES (4)") == 0
    assert "warning" not in shell.err


def test_a_script_is_read_as_it_is_run(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory holds a part of the file, not the file: what is behind a statement that fails is never read."""
    shell.run("CREATE TABLE t (a)")
    read: list[int] = []
    pieces = exec_plan.script_pieces

    def counting(path: Path) -> Iterator[str]:
        for piece in pieces(path):
            read.append(len(piece))
            yield piece

    monkeypatch.setattr(exec_plan, "_PIECE", 10_000)
    monkeypatch.setattr(command, "script_pieces", counting)
    script = tmp_path / "script.sql"
    row = "BEGIN; INSERT INTO t VALUES (1); INSERT INTO t VALUES ('it''s; ä'); COMMIT;\n"
    script.write_text(row * 10_000 + "INSERT INTO nowhere VALUES (1);\n" + row * 10_000)
    assert shell.run("-f", str(script)) == 65
    assert "statement 40001 failed: no such table: nowhere" in shell.err
    assert "Not run: statement 40002 and those after it." in shell.err
    assert shell.rows("SELECT count(*) FROM t") == [(20_000,)]
    assert 0.5 < sum(read) / len(script.read_text()) < 0.7
    assert shell.run("-f", "-", stdin=(row * 1000).encode()) == 0
    assert shell.rows("SELECT count(*) FROM t") == [(22_000,)]


def test_writes_behind_many_looks_take_the_lock_when_they_come(shell: Shell) -> None:
    shell.run("CREATE TABLE t (a)")
    script = b"SELECT count(*) FROM t;" * 1500 + b"INSERT INTO t VALUES (1); SELECT count(*) FROM t"
    assert shell.run(stdin=script) == 0
    assert shell.rows("SELECT count(*) FROM t") == [(1,)]
