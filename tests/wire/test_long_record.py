"""A record that is read in a thread: what comes out is what the parser would have made of it in its own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.errors import RecordError
from spgrepl.log.format.records import Record, decode_record, encode_mysql, encode_v1, encode_v2
from spgrepl.wire.long_record import LongRecord

LIMIT = 1000
RECORDS = st.builds(
    lambda encode, sql: encode(sql.encode()),
    st.sampled_from([encode_v1, encode_v2, encode_mysql]),
    st.text(max_size=40),
)


def outcome(data: bytes) -> Record | str | None:
    try:
        return decode_record(data, 0, 77, LIMIT)
    except RecordError as error:
        return str(error)


@settings(max_examples=80)
@given(RECORDS, st.data())
def test_any_record_whole_cut_or_broken(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data) - 1))
    wrong = draw.draw(st.sampled_from([0, 1, 0x80]))
    for one in (data, data[:at], data[:at] + bytes((data[at] ^ wrong,)) + data[at + 1 :]):
        record = LongRecord(one, 77, LIMIT)
        assert not record.read
        record()  # raises nothing: it is called where nobody could tell whose error that is
        assert record.read
        expected = outcome(one)
        if isinstance(expected, str):
            with pytest.raises(RecordError) as caught:
                record.result()
            assert str(caught.value) == expected
        else:
            assert record.result() == expected


def test_a_record_above_the_limit_is_an_error_of_its_position() -> None:
    record = LongRecord(encode_v1(b"x" * (LIMIT + 1)), 4321, LIMIT)
    record()
    with pytest.raises(RecordError, match="4321"):
        record.result()


def test_nothing_is_known_before_it_was_read() -> None:
    assert LongRecord(encode_v1(b"SELECT 1"), 0, LIMIT).result() is None
