"""``spgrepl filter-test``: it says what a master gives, and why it does not give the rest."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import pty
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spgrepl.catalogue.changes import CatalogWalk
from spgrepl.catalogue.definitions import Publications
from spgrepl.cli import main
from spgrepl.errors import AmbiguousTransactions
from spgrepl.log.format.parser import cut_records
from spgrepl.log.format.records import encode_checkpoint, encode_statement, encode_v2
from spgrepl.log.transactions.walk import TransactionWalk
from spgrepl.master.judged import cutting
from spgrepl.watch.status import to_json
from tests.cli.terminals import everything
from tests.master.kit import Master, frames
from tests.wire.reference_hello import decode_subscriber_hello

VECTORS = Path(__file__).parents[1] / "vectors"
MIXED = VECTORS / "mixed.wal"
SERVED = [path.stem for path in sorted(VECTORS.glob("sub_*.json")) if path.stem != "sub_loop"]


def row(table: str, value: int) -> bytes:
    return encode_statement(f"INSERT INTO {table} VALUES ({value})".encode())


def inside(text: str) -> bytes:
    return encode_v2(text.encode())


def held(value: int) -> bytes:
    """A row inside of a transaction, and not one that was committed by itself there."""
    return inside(f"INSERT INTO t VALUES ({value})")


def ask(capsys: pytest.CaptureFixture[str], log: Path, *words: str) -> list[dict[str, Any]]:
    """The command's answer in JSON; the sums are the last of them."""
    assert main(["filter-test", "--wal", str(log), "--json", *words]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def outcomes(capsys: pytest.CaptureFixture[str], log: Path, *words: str) -> list[str]:
    return [one["outcome"] for one in ask(capsys, log, *words)[:-1]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.wal"


# -- transactions that are open at the same time ------------------------------------------------------------------


def test_what_was_committed_by_itself_is_forwarded_whatever_becomes_of_the_rest(
    capsys: pytest.CaptureFixture[str], log: Path
) -> None:
    log.write_bytes(
        inside("BEGIN") + inside("INSERT INTO t VALUES (1)") + inside("BEGIN") + row("t", 2) + inside("ROLLBACK")
    )
    assert outcomes(capsys, log, "--all-tables") == ["open"] * 5
    with log.open("ab") as file:
        file.write(inside("ROLLBACK"))
    assert outcomes(capsys, log, "--all-tables") == [
        "control",
        "rolled_back",
        "control",
        "forward",
        "control",
        "control",
    ]


def test_ends_that_differ_are_named_or_merged(capsys: pytest.CaptureFixture[str], log: Path) -> None:
    log.write_bytes(
        row("t", 1)
        + inside("BEGIN")
        + inside("BEGIN")
        + inside("INSERT INTO t VALUES (2)")
        + inside("COMMIT")
        + inside("ROLLBACK")
        + row("t", 3)
    )
    assert main(["filter-test", "--wal", str(log), "--all-tables"]) == 65
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split()[2] == "forward"
    assert "2 transactions were open at the same time" in err
    found = outcomes(capsys, log, "--all-tables", "--ambiguous-transactions", "merge")
    assert found == ["forward", "control", "control", "forward", "control", "control", "forward"]


# -- the same as a master -------------------------------------------------------------------------------------


def as_frames(wal: bytes, answer: list[dict[str, Any]]) -> list[tuple[int, bytes]]:
    """The frames of a stream, without STATUS, that an answer stands for."""
    found: list[tuple[int, bytes]] = []
    for forwarded, group in itertools.groupby(answer, lambda one: one["outcome"] == "forward"):
        records = list(group)
        if forwarded:
            found += [(0, wal[one["position"] :][: one["length"]]) for one in records]
        else:
            found.append((2, struct.pack("<Q", sum(one["length"] for one in records))))
    return found


@pytest.mark.parametrize("name", SERVED)
def test_it_says_what_the_recorded_server_gave(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    decoded = decode_subscriber_hello(bytes.fromhex(vector["hello"]))
    assert decoded is not None
    names = [word for one in decoded[0].publications for word in ("--publication", one)]
    definitions = [
        word
        for one, scope in vector["input"]["publications"].items()
        for word in ("--define", f"CREATE PUBLICATION {one} {scope}")
    ]
    start = int.from_bytes(bytes.fromhex(vector["reply_head"])[:8], "little")
    *records, sums = ask(capsys, MIXED, "--start", str(start), *(names or ["--all-tables"]), *definitions)
    assert as_frames(MIXED.read_bytes(), records) == [
        (0, bytes.fromhex(one["hex"])) if one["type"] == 0 else (2, struct.pack("<Q", one["skipped"]))
        for one in vector["frames_without_status"]
    ]
    assert sum(one["bytes"] for one in sums["sums"].values()) == MIXED.stat().st_size - start


TEXTS = st.sampled_from(
    [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO u VALUES (1)",
        "INSERT INTO t VALUES (1); DELETE FROM u",
        "CREATE TABLE n (a)",
        "CREATE PUBLICATION p FOR TABLE u",
        "DROP PUBLICATION p",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "ROLLBACK TO a",
        "RELEASE a",
    ]
)


def answer_of(log: Path, *words: str) -> list[dict[str, Any]]:
    """As `ask`, for tests with many examples."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        assert main(["filter-test", "--wal", str(log), "--json", *words]) == 0
    return [json.loads(line) for line in out.getvalue().splitlines()]


def is_clear(items: list[tuple[str, bool]]) -> bool:
    """Whether no transactions overlap and end in different ways: a master closes there, which is tested above."""
    walk = TransactionWalk()
    log = b"".join(encode_statement(text.encode()) if alone else inside(text) for text, alone in items)
    try:
        walk.walk(cut_records(log, 0)[0])
    except AmbiguousTransactions:
        return False
    return True


@settings(deadline=None)
@given(
    st.lists(st.tuples(TEXTS, st.booleans()), max_size=40),
    st.sampled_from([("p",), ("p", "q"), ("nobody",), ()]),
    st.integers(100, 600),
)
def test_it_says_what_a_master_gives_for_any_log(
    tmp_path_factory: pytest.TempPathFactory,
    items: list[tuple[str, bool]],
    names: tuple[str, ...],
    block: int,
) -> None:
    assume(is_clear(items))
    first = encode_statement(b"CREATE PUBLICATION q FOR TABLE t")
    wal = first + b"".join((encode_statement if plain else encode_v2)(text.encode()) for text, plain in items)
    batch, _ = cut_records(wal, 0)
    walk = CatalogWalk(Publications())
    walk.walk(batch)
    folder = tmp_path_factory.mktemp("m")
    before, cutting.BLOCK = cutting.BLOCK, block
    master = Master(folder, wal, publications=walk.publications, boundary=walk.boundary)
    try:
        peer = master.subscribe(len(first), *names)
        for _ in range(100):
            master.clock.advance(0.001)
        given_out = [one for one in frames(peer.take()[16:]) if one[0] != 1]
        (told,) = to_json(master.hub.describe())["peers"]
        asked = [word for name in names for word in ("--publication", name)] or ["--all-tables"]
        *records, sums = answer_of(master.log.path, "--start", str(len(first)), *asked)
    finally:
        cutting.BLOCK = before
        master.close()
    counted = Counter({name: found["bytes"] for name, found in sums["sums"].items()})
    assert as_frames(wal, [one for one in records if one["outcome"] != "open"]) == given_out
    assert {name: count for name, count in counted.items() if name not in ("forward", "open")} == told[
        "passed_over"
    ]
    assert sum(one["outcome"] == "forward" for one in records) == told["forwarded"]
    assert counted.total() == len(wal) - len(first)


# -- transactions ---------------------------------------------------------------------------------------------


def test_what_was_taken_back_is_rolled_back_and_control_stays_control(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [
        "BEGIN",
        "INSERT INTO t VALUES (1)",
        "SAVEPOINT a",
        "INSERT INTO t VALUES (2)",
        "ROLLBACK TO a",
        "COMMIT",
    ]
    log.write_bytes(b"".join(map(inside, texts)) + inside("BEGIN") + held(3) + inside("ROLLBACK"))
    assert outcomes(capsys, log, "--all-tables") == [
        *("control", "forward", "control", "rolled_back", "control", "control"),
        *("control", "rolled_back", "control"),
    ]


def test_a_transaction_that_has_not_ended_is_open(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_bytes(row("t", 1) + inside("BEGIN") + row("t", 2) + row("u", 3))
    *records, sums = ask(capsys, log, "--all-tables")
    assert [one["outcome"] for one in records] == ["forward", "open", "open", "open"]
    assert [one["tables"] for one in records] == [["t"], [], ["t"], ["u"]]
    assert sums["sums"]["open"] == {"records": 3, "bytes": log.stat().st_size - len(row("t", 1))}


def test_a_transaction_of_many_pieces_is_judged_by_its_end(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "BLOCK", 512)
    rows = b"".join(held(number) for number in range(200))
    log.write_bytes(inside("BEGIN") + rows + inside("ROLLBACK") + inside("BEGIN") + rows + inside("COMMIT"))
    found = Counter(outcomes(capsys, log, "--all-tables"))
    assert found == {"control": 4, "rolled_back": 200, "forward": 200}


def test_a_start_inside_a_transaction_is_judged_by_its_end(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin = inside("BEGIN")
    log.write_bytes(begin + held(1) + inside("ROLLBACK") + row("t", 2))
    assert outcomes(capsys, log, "--all-tables", "--start", str(len(begin))) == [
        *("rolled_back", "control", "forward")
    ]


# -- the publications -----------------------------------------------------------------------------------------


def test_the_publications_are_those_that_the_whole_log_leaves_behind(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_bytes(
        encode_statement(b"CREATE PUBLICATION p FOR TABLE t")
        + row("t", 1)
        + row("u", 2)
        + encode_statement(b"DROP PUBLICATION p")
        + encode_statement(b"CREATE PUBLICATION p FOR TABLE u")
        + inside("BEGIN")
        + inside("DROP PUBLICATION p")
        + inside("ROLLBACK")
        + inside("BEGIN")
        + inside("DROP PUBLICATION p")
    )
    found = ask(capsys, log, "--publication", "p")[:-1]
    assert [one["position"] for one in found if one["outcome"] == "forward"] == [
        one["position"] for one in found if one["tables"] == ["u"]
    ]


def test_an_unknown_publication_is_warned_of_and_adds_nothing(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_bytes(encode_statement(b"CREATE PUBLICATION p FOR TABLE t") + row("t", 1) + row("u", 2))
    arguments = ["filter-test", "--wal", str(log), "--json"]
    assert main([*arguments, "--publication", "nobody"]) == 0
    out, err = capsys.readouterr()
    assert err == "spgrepl: there is no publication nobody, so it adds nothing; there are: p\n"
    assert [json.loads(line).get("outcome") for line in out.splitlines()] == [
        *("control", "unknown_publication", "unknown_publication"),
        None,
    ]
    assert main([*arguments, "--publication", "nobody", "--publication", "p"]) == 0
    out, err = capsys.readouterr()
    assert "no publication nobody" in err
    assert [json.loads(line).get("outcome") for line in out.splitlines()][1:3] == ["forward", "other_table"]


def test_publications_come_from_the_database_that_the_log_belongs_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database, log = tmp_path / "a.db", tmp_path / "a.wal"
    statements = ['CREATE TABLE "Orders" (a)', "CREATE TABLE u (a)", 'CREATE PUBLICATION p FOR TABLE "Orders"']
    rows = ["INSERT INTO orders VALUES (1)", "INSERT INTO u VALUES (1)"]
    assert main(["exec", "--db", str(database), *statements, *rows]) == 0
    capsys.readouterr()
    # In SQLite capital letters make no other table, which only the database tells.
    found = outcomes(capsys, log, "--db", str(database), "--publication", "p")
    # The first record is the mark that says that the log holds rows.
    assert found == ["control", "ddl", "ddl", "control", "forward", "other_table"]
    with log.open("ab") as file:
        file.write(encode_statement(b"DROP PUBLICATION p") + row("orders", 2))
    # The database has not come as far: what changes after it changes there.
    found = outcomes(capsys, log, "--db", str(database), "--publication", "p")
    assert found[4:] == ["forward", "other_table", "control", "unknown_publication"]


def test_a_database_of_another_log_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database, log = tmp_path / "a.db", tmp_path / "b.wal"
    assert main(["exec", "--db", str(database), "CREATE TABLE t (a)"]) == 0
    log.write_bytes(b"")
    other = tmp_path / "other.db"
    assert main(["exec", "--db", str(other), "CREATE TABLE u (a)", "CREATE TABLE v (a)"]) == 0
    for wrong in (log, other.with_suffix(".wal")):
        capsys.readouterr()
        assert main(["filter-test", "--wal", str(wrong), "--db", str(database), "--all-tables"]) == 65
        said = capsys.readouterr().err
        assert f"{wrong} is not the log that {database} was written beside" in said


def test_definitions_for_the_test_are_added(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_bytes(encode_statement(b"CREATE PUBLICATION p FOR TABLE t") + row("t", 1) + row("u", 2))
    more = ["--define", "CREATE PUBLICATION more FOR TABLE u", "--publication", "more"]
    assert outcomes(capsys, log, *more) == ["control", "other_table", "forward"]
    assert outcomes(capsys, log, *more, "--publication", "p") == ["control", "forward", "forward"]


# -- printing -------------------------------------------------------------------------------------------------


def test_every_record_is_a_line_and_the_sums_follow(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    several = encode_statement(b"DELETE FROM u;\nDELETE FROM t")
    log.write_bytes(row("t", 1) + several + row('"\x1b"', 2) + encode_checkpoint(0))
    one = ["--define", "CREATE PUBLICATION p FOR TABLE t", "--publication", "p"]
    assert main(["filter-test", "--wal", str(log), *one]) == 0
    out, err = capsys.readouterr()
    assert [line.split(maxsplit=4) for line in out.splitlines()] == [
        ["0", "33", "forward", "t", "INSERT INTO t VALUES (1)"],
        ["33", str(len(several)), "forward", "t,u", "DELETE FROM u;\\nDELETE FROM t"],
        ["70", "35", "other_table", "\\u{1b}", 'INSERT INTO "\\x1b" VALUES (2)'],
        ["105", "17", "control", "-", "-- checkpoint at 0"],
        ["forward", "2", "records", "70", "bytes"],
        ["control", "1", "record", "17", "bytes"],
        ["other_table", "1", "record", "35", "bytes"],
        ["in", "all", "4", "records", "122 bytes"],
    ]
    assert err == ""


def test_only_what_is_forwarded_is_printed_and_all_is_counted(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_bytes(row("t", 1) + row("u", 2) + inside("BEGIN"))
    words = ["--define", "CREATE PUBLICATION p FOR TABLE t", "--publication", "p", "--only-forwarded"]
    *records, sums = ask(capsys, log, *words)
    assert [one["position"] for one in records] == [0]
    assert {name: found["records"] for name, found in sums["sums"].items()} == {
        "forward": 1,
        "other_table": 1,
        "open": 1,
    }


def test_lines_fit_a_terminal(log: Path) -> None:
    log.write_bytes(encode_statement(b"INSERT INTO t VALUES ('" + b"x" * 500 + b"')"))
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-m", "spgrepl", "filter-test", "--wal", str(log), "--all-tables"]
        subprocess.run(command, stdout=theirs, check=True, env={**os.environ, "COLUMNS": "72"})
        os.close(theirs)
        shown = everything(ours).splitlines()
    finally:
        os.close(ours)
    assert len(shown[0]) == 72
    assert shown[0].endswith(" INSERT INTO t VA…")


# -- what is wrong --------------------------------------------------------------------------------------------


def test_damage_is_named_behind_what_stands_in_front_of_it(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(MIXED.read_bytes())
    content[310] ^= 1
    log.write_bytes(content)
    assert main(["filter-test", "--wal", str(log), "--all-tables"]) == 65
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 7 + 4
    assert "broken at position 302" in err
    assert "from position 351 on" in err


def test_a_torn_tail_is_told(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_bytes(MIXED.read_bytes()[:600])
    assert main(["filter-test", "--wal", str(log), "--all-tables"]) == 65
    out, err = capsys.readouterr()
    assert "torn tail at position 580" in err
    assert out.splitlines()[-1].split() == ["in", "all", "15", "records", "580", "bytes"]


def test_a_transaction_with_damage_in_it_is_not_given_out(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    front = row("t", 1) + inside("BEGIN") + row("t", 2)
    broken = bytearray(row("t", 3))
    broken[-1] ^= 1
    log.write_bytes(front + broken + inside("COMMIT"))
    assert main(["filter-test", "--wal", str(log), "--json", "--all-tables"]) == 65
    out, err = capsys.readouterr()
    assert [json.loads(line).get("outcome") for line in out.splitlines()] == ["forward", "open", "open", None]
    assert f"broken at position {len(front)}" in err


def test_a_record_on_both_sides_of_a_commit_is_named(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    front = row("t", 1) + inside("BEGIN") + row("t", 2)
    log.write_bytes(front + encode_statement(b"COMMIT; DELETE FROM t") + row("t", 3))
    assert main(["filter-test", "--wal", str(log), "--json", "--all-tables"]) == 65
    out, err = capsys.readouterr()
    assert [json.loads(line).get("outcome") for line in out.splitlines()] == ["forward", "open", "open", None]
    assert f"{log}: at position {len(front)}: one record both begins or ends a transaction" in err


def test_records_beyond_the_limit_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["filter-test", "--wal", str(MIXED), "--all-tables", "--max-record", "40"]) == 65
    assert "the limit is 40 (raise it with --max-record)" in capsys.readouterr().err


def test_a_start_that_is_no_records_first_byte_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["filter-test", "--wal", str(MIXED), "--all-tables", "--start", "50"]) == 65
    assert "no record starts at position 50" in capsys.readouterr().err


def test_a_start_beyond_the_end_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["filter-test", "--wal", str(MIXED), "--all-tables", "--start", "623"]) == 65
    assert "is 622 bytes long and ends before position 623" in capsys.readouterr().err


def test_a_log_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["filter-test", "--wal", "/nowhere/x.wal", "--all-tables"]) == 66
    assert capsys.readouterr().err == "spgrepl: /nowhere/x.wal: No such file or directory\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name the publications with --publication, or ask for --all-tables"),
        (["--all-tables", "--publication", "p"], "or ask for --all-tables"),
    ],
)
def test_either_publications_or_all_tables_are_asked_for(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["filter-test", "--wal", str(MIXED), *words]) == 64
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--publication", '"p'], "is not a name"),
        (["--define", "DROP PUBLICATION p"], "does not define a publication"),
        (["--define", "CREATE PUBLICATION p FOR TABLE"], "the list of tables is empty"),
        (["--define", "SELECT 1"], "argument --define: the statement: expected CREATE"),
        (["--start", "-1"], "argument --start"),
    ],
)
def test_wrong_usage_is_64(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["filter-test", "--wal", str(MIXED), "--all-tables", *words])
    assert stop.value.code == 64
    assert said in capsys.readouterr().err
