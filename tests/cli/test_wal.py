"""``spgrepl wal verify`` and ``spgrepl wal cat``, run as users run them but in this process."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from spgrepl.cli import main
from spgrepl.log.format.records import (
    RecordType,
    encode_anchor,
    encode_checkpoint,
    encode_timed,
    encode_v2,
    encode_v3,
)
from tests.cli.terminals import everything

MIXED = Path(__file__).parent.parent / "vectors" / "mixed.wal"
RECORDED = json.loads((MIXED.parent / "mixed.records.json").read_text())


def statement(sql: str) -> bytes:
    return encode_v3(RecordType.SQL, sql.encode())


def test_a_whole_log_is_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wal", "verify", str(MIXED)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"{MIXED}: whole",
        f"  records           {len(RECORDED)}",
        "  length            622 bytes",
        "  last whole end    622",
        "  open transaction  none",
    ]
    assert err == ""


def test_a_torn_log_is_data_damage_with_position_and_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "a log.wal"
    log.write_bytes(MIXED.read_bytes()[:600])
    assert main(["wal", "verify", str(log)]) == 65
    out, err = capsys.readouterr()
    assert out.startswith(f"{log}: torn\n")
    assert "torn tail at position 580: a record of which 20 bytes are there and more are stated" in err
    assert f"head -c 580 '{log}' > '{log}.whole'" in err
    assert log.stat().st_size == 600


def test_the_advice_keeps_what_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.wal"
    log.write_bytes(MIXED.read_bytes()[:600])
    assert main(["wal", "verify", str(log)]) == 65
    command = capsys.readouterr().err.split("what is whole: ")[1].strip()
    subprocess.run(command, shell=True, check=True)
    assert main(["wal", "verify", f"{log}.whole"]) == 0
    assert log.stat().st_size == 600


def test_a_broken_log_is_not_called_torn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.wal"
    content = bytearray(MIXED.read_bytes())
    content[310] ^= 1
    log.write_bytes(content)
    assert main(["wal", "verify", str(log)]) == 65
    out, err = capsys.readouterr()
    assert out.startswith(f"{log}: broken\n")
    assert "broken at position 302" in err
    assert "from position 351 on" in err
    assert "truncate" not in err


def test_an_open_transaction_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.wal"
    log.write_bytes(encode_v2(b"BEGIN") + statement("INSERT INTO t VALUES (1)"))
    assert main(["wal", "verify", str(log)]) == 0
    assert "open transaction  since 0; 0 of its statements have not happened yet" in capsys.readouterr().out


def test_warnings_are_shown_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.wal"
    log.write_bytes(encode_checkpoint(5) * 22)
    assert main(["wal", "verify", str(log)]) == 0
    out = capsys.readouterr().out
    assert "at position 17: a checkpoint states position 5, it stands at 17" in out
    assert "and 2 more" in out


def test_the_base_of_a_followers_log_is_taken_into_account(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.wal"
    log.write_bytes(encode_checkpoint(100))
    assert main(["wal", "verify", "--base", "100", str(log)]) == 0
    assert "warning" not in capsys.readouterr().out


def test_the_limit_on_records_can_be_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wal", "verify", "--max-record", "40", str(MIXED)]) == 65
    assert "the limit is 40 (raise it with --max-record)" in capsys.readouterr().err
    assert main(["wal", "verify", "--max-record", "1K", str(MIXED)]) == 0


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wal", "verify", "/nowhere/x.wal"]) == 66
    assert capsys.readouterr().err == "spgrepl: /nowhere/x.wal: No such file or directory\n"


@pytest.mark.parametrize(
    "words", [[], ["wal"], ["wal", "mend", "x"], ["wal", "cat", "--from", "-3", "x"], ["fly"]]
)
def test_wrong_usage_is_64(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 64
    assert capsys.readouterr().err.startswith("usage: spgrepl")


def test_progress_is_shown_on_a_terminal_for_a_big_log(tmp_path: Path) -> None:
    log = tmp_path / "log.wal"
    with log.open("wb") as file:
        for _ in range(600):
            file.write(encode_v3(RecordType.SQL, b"INSERT INTO t VALUES ('" + b"x" * 200_000 + b"')"))
    ours, theirs = pty.openpty()
    try:
        # Without the two seconds that a command may take before it says how far it is.
        code = "from spgrepl.cli import main\nfrom spgrepl.cli.parts import reading_line\n"
        code += "import sys; reading_line.AFTER = 0.0; sys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", code, "wal", "verify", str(log)]
        run = subprocess.run(command, stderr=theirs, stdout=subprocess.PIPE, text=True, check=True)
        os.close(theirs)
        shown = everything(ours)
    finally:
        os.close(ours)
    assert "of 120 MB" in shown
    assert shown.endswith("\r\x1b[K")
    assert "whole" in run.stdout


# -- transactions that are open at the same time ------------------------------------------------------------------


def interleaved(*ends: str) -> bytes:
    """Two transactions, and a statement of somebody else inside of them."""
    return b"".join(
        [
            *(encode_v2(text.encode()) for text in ("BEGIN", ROW, "BEGIN", ROW)),
            statement(ROW),
            *(encode_v2(text.encode()) for text in ends),
        ]
    )


ROW = "INSERT INTO t VALUES (1)"


def test_verify_counts_transactions_that_others_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As many end as have begun."""
    log = tmp_path / "a.wal"
    texts = ("START TRANSACTION", ROW, "COMMIT AND CHAIN", ROW, "ROLLBACK AND CHAIN", ROW, "END AND NO CHAIN")
    log.write_bytes(b"".join(encode_v2(text.encode()) for text in texts))
    assert main(["wal", "verify", str(log)]) == 0
    assert "  transactions      3: 2 committed, 1 rolled back" in capsys.readouterr().out


def test_verify_counts_transactions_and_names_what_is_ambiguous(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "a.wal"
    log.write_bytes(interleaved("COMMIT", "ROLLBACK", "COMMIT"))
    assert main(["wal", "verify", str(log)]) == 0
    out = capsys.readouterr().out
    assert "  transactions      2: 1 committed, 1 rolled back" in out
    assert "  at the same time  2" in out
    assert "  inside            1 record was committed alone inside of one" in out
    assert "  without a BEGIN   1" in out
    assert "  ambiguous         1: see --ambiguous-transactions" in out
    assert "2 transactions were open at the same time from position 0 on (1 committed, 1 rolled back" in out
    log.write_bytes(interleaved())
    assert main(["wal", "verify", str(log)]) == 0
    out = capsys.readouterr().out
    assert "open transaction  since 0; 2 transactions are open; 2 of its statements have not happened yet" in out


def test_cat_says_when_each_record_takes_effect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "a.wal"
    log.write_bytes(statement(ROW) + interleaved("COMMIT", "COMMIT") + encode_checkpoint(0))
    begin = len(statement(ROW))
    assert main(["wal", "cat", "--json", "--transactions", str(log)]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["effect"], one["transaction"]) for one in found] == [
        ("now", None),
        ("control", begin),
        ("held", begin),
        ("control", begin),
        ("held", begin),
        ("alone", begin),
        ("control", begin),
        ("control", begin),
        ("none", None),
    ]
    assert main(["wal", "cat", "--transactions", str(log)]) == 0
    assert f"v3/0x01 alone   {begin:>12} {ROW}" in capsys.readouterr().out


# -- cat ------------------------------------------------------------------------------------------------------


def test_every_record_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wal", "cat", str(MIXED)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(RECORDED)
    for line, record in zip(lines, RECORDED, strict=True):
        position, length, kind, rest = line.split(maxsplit=3)
        assert (int(position), int(length)) == (record["position"], record["length"])
        assert kind[:2] == record["format"][:2]
        assert record.get("sql") in (rest, None)


def test_json_holds_what_the_recorded_log_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wal", "cat", "--json", str(MIXED)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line, record in zip(lines, RECORDED, strict=True):
        assert line["format"] == record["format"][:2]
        for name in ("position", "length", "sql"):
            assert line.get(name) == record.get(name)


def test_json_of_the_rarer_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.wal"
    log.write_bytes(
        encode_timed(RecordType.TIMED, 7, 1_000_000, b"INSERT INTO t VALUES (1)")
        + encode_timed(RecordType.TIMED, 8, None, b"x\xff")
        + encode_timed(RecordType.TIMED, 9, 2**62, b"y")
        + encode_anchor(9, None, b"a/b")
        + encode_checkpoint(3)
    )
    assert main(["wal", "cat", "--json", str(log)]) == 0
    timed, odd, far, anchor, checkpoint = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (timed["commit_lsn"], timed["commit_time"]) == (7, "1970-01-01T00:00:01+00:00")
    assert (odd["sql_hex"], odd["commit_time"], "sql" in odd) == ("78ff", None, False)
    assert far["commit_time"] == 2**62
    assert (anchor["path"], anchor["type"]) == ("a/b", 0x11)
    assert checkpoint["stated_position"] == 3


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.wal"
    log.write_bytes(statement("INSERT INTO t\nVALUES ('\x1b[2J')"))
    assert main(["wal", "cat", str(log)]) == 0
    assert capsys.readouterr().out.endswith("INSERT INTO t\\nVALUES ('\\x1b[2J')\n")


def test_printing_begins_where_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wal", "cat", "--from", "580", str(MIXED)]) == 0
    assert capsys.readouterr().out.split()[0] == "580"


def test_a_place_where_no_record_starts_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wal", "cat", "--from", "401", str(MIXED)]) == 65
    err = capsys.readouterr().err
    assert err.startswith("spgrepl: no record starts at position 401, which --from names\nThe next one starts at ")
    assert "Restore" not in err


def test_what_stands_in_front_of_the_damage_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.wal"
    content = bytearray(MIXED.read_bytes())
    content[310] ^= 1
    log.write_bytes(content)
    assert main(["wal", "cat", str(log)]) == 65
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 7
    assert "broken at position 302" in err


def test_a_reader_who_has_enough_is_no_error(tmp_path: Path) -> None:
    log = tmp_path / "log.wal"
    log.write_bytes(statement("INSERT INTO t VALUES (1)") * 20_000)
    command = f"{sys.executable} -m spgrepl wal cat {log} | head -n 1"
    run = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert run.stdout == "           0       33 v3/0x01 INSERT INTO t VALUES (1)\n"
    assert run.stderr == ""


@pytest.mark.parametrize("command", [["wal", "cat"], ["filter-test", "--all-tables", "--wal"]])
def test_passwords_of_clients_are_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    log = tmp_path / "spg.wal"
    log.write_bytes(
        statement("CREATE USER bob WITH PASSWORD 's3cr3t'")
        + encode_v2(b"ALTER USER bob PASSWORD E's3cr3t\xff'")
        + statement("CREATE SUBSCRIPTION s CONNECTION 'host=h port=1 password=s3cr3t' PUBLICATION p")
        + statement("INSERT INTO t VALUES ('password', 1)")
    )
    before = log.read_bytes()
    for more in ([], ["--json"]):
        assert main([*command, str(log), *more]) == 0
        out, err = capsys.readouterr()
        assert "s3cr3t" not in out + err
        assert b"s3cr3t".hex() not in out
        assert "CREATE USER bob WITH PASSWORD '***'" in out
        assert "INSERT INTO t VALUES ('password', 1)" in out
    # The log itself is kept byte for byte.
    assert log.read_bytes() == before
