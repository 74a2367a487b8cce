"""What fuzzing starts from: the recorded bytes, and one of everything that the code can write."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from zlib import crc32

from spgrepl.log.format import records as r
from spgrepl.log.format.lzss import compress

VECTORS = Path(__file__).parent.parent / "tests" / "vectors"

_STORAGE = VECTORS / "storage"
_TYPES = (_STORAGE / "types_v100.catalog").read_bytes()
_MOST_SEED = 12_000

_SQL = (
    b"INSERT INTO t VALUES (1, 'one''s'); -- and\n UPDATE \"t\" SET a = x'00' WHERE [b] = `c`;",
    b"CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM u; SELECT 1; END; BEGIN; COMMIT;",
    b"/* ; */ ROLLBACK WORK TO SAVEPOINT a; CREATE PUBLICATION p FOR TABLE t; EXPLAIN SELECT 1.5e3 ->> '$'",
    "SELECT 'zwei – ünïcode', $1, ?2, :three, @four, \ufeff 0x1F;".encode(),
)


DICTIONARY = (
    *b"BEGIN START TRANSACTION COMMIT END ROLLBACK TO SAVEPOINT RELEASE ABORT".split(),
    *b"CREATE TEMP TRIGGER EXPLAIN DROP SHOW SET PUBLICATION SUBSCRIPTION \xef\xbb\xbf".split(),
    *(b"effective_wal_level", b"WAIT FOR WAL", b"INSERT INTO t", b"/*", b"*/", b"--", b"\n", b"''", b"x'", b"->>"),
    *(b"SPGENV01", b"SPGDB001", b"SPGSEG\x01\0", b"SPGSEG\x02\0", b"BRIN", b"\xff\xff\xff\xff"),
    *(b"SPGREPL\x01", b"SPGREPL\x02", b"SPGSUB\x01\0", b"SPGMAN01\x0a"),
    *(bytes((0, 0, flag)) for flag in (0x80, 0xA0, 0xC0, 0xE0)),
    *(bytes((5, 0, 0, flag)) for flag in (0, 0x80, 0xC0)),
)
"""Words that the formats are made of, since no coverage leads to them through a regular expression."""


def _recorded(field: str, *names: str) -> list[bytes]:
    """A field of recorded conversations, as bytes."""
    found = (json.loads((VECTORS / f"{name}.json").read_text()).get(field) for name in names)
    return [bytes.fromhex(text) for text in found if text]


def _one_of_each() -> bytes:
    """A log with a record of every kind."""
    long_sql = b"INSERT INTO t VALUES " + b", ".join(b"(%d, 'name')" % number for number in range(40))
    return b"".join(
        (
            r.encode_v1(b"INSERT INTO t VALUES (1)"),
            r.encode_v2(b"BEGIN"),
            r.encode_statement(long_sql),
            r.encode_mysql(b"REPLACE INTO t VALUES (3)"),
            r.encode_mysql(long_sql, compressed=True),
            r.encode_timed(r.RecordType.TIMED, 7, 1_700_000_000_000_000, b"DELETE FROM t"),
            r.encode_anchor(8, -1, b"base/seg_1.spg"),
            r.encode_timed(r.RecordType.TRANSACTION, 9, None, b"DELETE FROM t;\nDELETE FROM u"),
            r.encode_checkpoint(5),
            r.encode_v2(b"COMMIT"),
        )
    )


def _recorded_records() -> list[bytes]:
    """The records of the recorded log."""
    return [bytes.fromhex(one["hex"]) for one in json.loads((VECTORS / "mixed.records.json").read_text())]


def _framed(record: bytes) -> bytes:
    """A record as a frame of a SUB stream."""
    return struct.pack("<BI", 0, len(record)) + record


def _manifest() -> bytes:
    content = b"SPGMAN01\x0a" + struct.pack("<II", 7, 2)
    for number, path in ((2, b"segments/seg_2.spg"), (5, b"segments/seg_5.spg")):
        content += struct.pack("<II", number, len(path)) + path + struct.pack("<I", number)
    content += struct.pack("<Q", 622)
    return content + struct.pack("<I", crc32(content))


def seeds(target: str) -> list[bytes]:
    """The inputs that a target starts from."""
    mixed = (VECTORS / "mixed.wal").read_bytes()
    logs = [size + log for size in (b"\x00", b"\xc8") for log in (mixed, _one_of_each(), _one_of_each()[:-1], b"")]
    conversations = ("v1_bootstrap", "v1_resume", "v2_bootstrap", "v2_resume", "bad_magic", "sub_all", "sub_two")
    hellos = [b"\x05" + said for said in _recorded("hello", *conversations)]
    replies = [
        b"\x09" + said for said in _recorded("reply", *conversations) + _recorded("reply_head", *conversations)
    ]
    status = struct.pack("<BIQQ", 1, 16, 622, 1_700_000_000_000_000)
    stream = struct.pack("<BI", 0, 300) + mixed[:300] + status + struct.pack("<BI", 9, 4) + b"rest" + status
    chunk = struct.pack("<BIIIII", 3, 20, 7, 0, 2, 4) + b"seg-"
    stream += chunk
    skip = struct.pack("<BIQ", 2, 8, 77)
    found = {
        "lzss": [compress(sql * 4) for sql in _SQL] + [compress(b"ab" * 50), bytes(4)],
        "units": [bytes((size, *range(19), 2, 0, 4, 2, 1, 3)) for size in (0, 2, 7)],
        "frames": [
            b"\x03" + stream,
            b"\x07" + stream[:-3],
            b"\x00" + struct.pack("<BI", 0, 5000),
            b"\x05" + chunk,
        ],
        "hello": hellos,
        "reply": [*replies, b"\x02" + bytes(16)],
        "follower_connection": [
            *replies,
            b"\x03" + struct.pack("<Q", 0) + struct.pack("<BI", 0, 64) + bytes(range(64)) + stream,
            b"\x05" + struct.pack("<Q", 3) + b"abc" + struct.pack("<Q", 500) + stream,
        ],
        "subscriber_connection": [
            b"\x07" + struct.pack("<QQ", 40, 9) + status + skip + _framed(r.encode_statement(_SQL[0])) + status,
        ],
        "manifest": [_manifest(), _manifest()[:-1]],
        "sqltext": list(_SQL),
        "record_frames": [
            b"\x03" + b"".join(_framed(record) for record in _recorded_records()) + status + skip,
            b"\x1f" + skip + status + _framed(r.encode_statement(_SQL[0] * 9)) + _framed(r.encode_checkpoint(3)),
            b"\x00" + struct.pack("<BI", 0, 5000),
        ],
        "spg_sql": [
            b"INSERT INTO t (id, b, tags) VALUES (3, '\\x00ff'::bytea, ARRAY['a', NULL])",
            b"INSERT INTO public.t VALUES (3, E'a\\n', 2.345) ON CONFLICT (id) DO UPDATE SET x = excluded.x",
            b"UPDATE t SET n = n * 2 + 1, x = CASE WHEN ok THEN 'y' ELSE x || 'z' END WHERE n > 1.0 OR x LIKE 'o'",
            b"DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY id LIMIT 1) OR at < '2024-01-02 03:04+02'",
            b"CREATE TABLE u (id SERIAL, v VECTOR(3) USING HALF DEFAULT '[1,2,3]', CHECK (id > 0))",
            b"ALTER TABLE t ADD COLUMN q DATE DEFAULT '2024-02-30', DROP COLUMN x",
            b'merge into `t` values ("x")',
            b"SET TIME ZONE 'Europe/Berlin'",
        ],
        "shown": [
            b"CREATE USER bob PASSWORD $$x$$",
            b"SET a = 'postgres://u:p@h'",
            b"INSERT INTO t VALUES ('password')",
        ],
        "owners": [
            *_SQL,
            b"INSERT INTO public.t (a) VALUES (1)",
            b'UPDATE ONLY "x y" SET a = 1',
            b"WITH a AS (DELETE FROM b RETURNING *) INSERT INTO c SELECT * FROM a",
            b"MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
            b"REPLACE LOW_PRIORITY `a b` VALUES (1)",
        ],
        "control": [
            b'p FOR ALL TABLES EXCEPT a, "B"',
            b"PUBLICATIONS",
            b"'host=a port=1' PUBLICATION p, q",
            b"SET effective_wal_level = 'logical'",
            b"WAIT FOR WAL POSITION 5 WITH TIMEOUT 10",
            b"DROP PUBLICATION IF EXISTS p",
        ],
        "envelope": [b"\x02\0\x01\0a\0\x01\0b\x01\x02\0\x01\0t\x02\0uu", b"\0\0"],
        "snapshot": [path.read_bytes() for path in sorted(_STORAGE.glob("*.catalog"))],
        "segment": [
            data for path in sorted(_STORAGE.glob("*.seg")) if len(data := path.read_bytes()) < _MOST_SEED
        ],
        "payload": [b"\x05\x04\x01\x0a" + _TYPES[at : at + 60] for at in range(0, len(_TYPES), 40)],
        "lzss_stream": [b"\x03" + compress(sql * 4) for sql in _SQL],
        "walk": [bytes((size, *range(8), 0, 7, 3, 7, 5, 1)) for size in (0, 2, 7)],
        "transactions": [*_SQL, b"-- a\n/* b */;START TRANSACTION", b"SET effective_wal_level = 'logical'"],
    }
    found["core_owners"] = [b"\n" + b"\n".join(found["owners"] + list(_SQL))]
    # The last: a frame that ends before the word of its record does, at the end of what was received.
    found["core_frames"] = [*found["record_frames"], b"\x1f\x00\x01\x00\x00\x00a"]
    found["core_lzss"] = found["lzss"] + found["lzss_stream"]
    found["core_rows"] = [b"1,'a')\n-2.5e-07,NULL)\nx'0a','it''s') /* origin 0123456789abcdef */\n1,2"]
    found["core_changes"] = [
        bytes((first,)) + b"\n1\n'it''s'\nNULL\n-2.5e-07\n1.0\n1\nx'0a'\n9e999\n'a'" for first in range(48)
    ]
    return found.get(target, logs)
