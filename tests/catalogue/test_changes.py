"""The changes of the catalogue that records of a log state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.catalogue.changes import changes_in
from spgrepl.catalogue.statements import (
    CatalogChange,
    CreatePublication,
    CreateSubscription,
    DropPublication,
    DropSubscription,
    Scope,
)
from spgrepl.log.format import records
from spgrepl.log.format.parser import cut_records
from spgrepl.log.format.records import RecordType
from tests.log.samples import MIXED_LOG

P = CreatePublication("p", Scope.ONLY, ("t",))


def found(*log: bytes | str) -> list[tuple[int, CatalogChange]]:
    content = b"".join(one if isinstance(one, bytes) else records.encode_v2(one.encode()) for one in log)
    batch, error = cut_records(content, 0)
    assert error is None
    return changes_in(batch)


def test_each_change_comes_with_the_index_of_its_record() -> None:
    assert found(
        "INSERT INTO t VALUES (1)",
        "CREATE PUBLICATION p FOR TABLE t",
        "SHOW PUBLICATIONS",
        "SET effective_wal_level = 'logical'",
        "drop publication if exists P",
        records.encode_checkpoint(0),
        "CREATE SUBSCRIPTION s CONNECTION 'host=h port=1' PUBLICATION p",
        "/* gone */ DROP SUBSCRIPTION s",
    ) == [
        (1, P),
        (4, DropPublication("p", missing_ok=True)),
        (6, CreateSubscription("s", "host=h port=1", ("p",))),
        (7, DropSubscription("s")),
    ]


@pytest.mark.parametrize(
    "record",
    [
        records.encode_v1(b"CREATE PUBLICATION p FOR TABLE t"),
        records.encode_statement(b"CREATE PUBLICATION p FOR TABLE t -- " + b"long " * 100),
        records.encode_timed(RecordType.TIMED, 7, 7, b"CREATE PUBLICATION p FOR TABLE t"),
        records.encode_timed(
            RecordType.TRANSACTION, 7, 7, b"INSERT INTO t VALUES (1);\nCREATE PUBLICATION p FOR TABLE t"
        ),
        records.encode_v2(b"CREATE PUBLICATION p FOR TABLE t; INSERT INTO t VALUES (';')"),
        records.encode_v2(b"CREATE PUBLICATION p FOR TABLE t;"),
    ],
)
def test_every_form_of_record_is_read(record: bytes) -> None:
    assert [change for _, change in found(record)] == [P]


def test_several_of_one_record_come_in_their_order() -> None:
    assert found("CREATE PUBLICATION p FOR TABLE t; DROP PUBLICATION p") == [(0, P), (0, DropPublication("p"))]


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES ('CREATE PUBLICATION p')",
        "CREATE TABLE publication (a)",
        "CREATE PUBLICATION",
        "CREATE PUBLICATION p FOR",
        "ALTER PUBLICATION p ADD TABLE u",
        "CREATE PUBLICATION p FOR TABLE t, ",
    ],
)
def test_what_is_no_change_or_cannot_be_read_changes_nothing(text: str) -> None:
    assert found(text) == []
    assert found(records.encode_mysql(b"CREATE PUBLICATION p FOR TABLE t")) == []
    assert found(records.encode_v2(b"CREATE PUBLICATION \xff FOR TABLE t")) == []


def test_the_recorded_log() -> None:
    assert [change for _, change in found(MIXED_LOG)] == [CreatePublication("p_all", Scope.ALL)]


@given(
    st.lists(
        st.sampled_from([b"CREATE PUBLICATION p FOR TABLE t", b"; ", b"x", b"--\n", b"'", b"DROP PUBLICATION"])
    )
)
def test_no_record_raises(parts: list[bytes]) -> None:
    for _, change in found(records.encode_v2(b"".join(parts))):
        assert isinstance(change, CreatePublication | DropPublication)
