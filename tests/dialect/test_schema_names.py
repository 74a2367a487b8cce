"""Names as PostgreSQL writes them: what is left out, and what stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.dialect.schema_names import with_plain_names, with_plain_tables


@pytest.mark.parametrize(
    ("sql", "plain"),
    [
        ("INSERT INTO public.t VALUES (1)", "INSERT INTO t VALUES (1)"),
        ("INSERT INTO Public . t VALUES (1)", "INSERT INTO  t VALUES (1)"),
        ('INSERT INTO "public"."T" VALUES (1)', 'INSERT INTO "T" VALUES (1)'),
        ("UPDATE ONLY t SET a = 1", "UPDATE  t SET a = 1"),
        ("UPDATE ONLY public.t SET a = public.t.b", "UPDATE  t SET a = t.b"),
        ("DELETE FROM ONLY t WHERE a = 1", "DELETE FROM  t WHERE a = 1"),
        ('DELETE FROM only "t"', 'DELETE FROM  "t"'),
        ("INSERT INTO t SELECT * FROM public.u, public.v", "INSERT INTO t SELECT * FROM u, v"),
        ("CREATE INDEX i ON public.t (a)", "CREATE INDEX i ON t (a)"),
        (
            "INSERT INTO public.t VALUES ('public.t', 'FROM ONLY t')",
            "INSERT INTO t VALUES ('public.t', 'FROM ONLY t')",
        ),
        ("DELETE FROM public.t; UPDATE public.u SET a = 1", "DELETE FROM t; UPDATE u SET a = 1"),
    ],
)
def test_schema_and_only_are_left_out(sql: str, plain: str) -> None:
    assert with_plain_names(sql) == plain


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES ('public.t only')",
        'INSERT INTO "PUBLIC".t VALUES (1)',
        "INSERT INTO private.t VALUES (1)",
        "INSERT INTO elsewhere.public.t VALUES (1)",
        "DELETE FROM public WHERE public.t = 1",
        "UPDATE t AS public SET a = public.b",
        "INSERT INTO public.public VALUES (1)",
        "UPDATE only SET a = 1",
        "DELETE FROM only",
        "DELETE FROM only WHERE a = 1",
        "SELECT only FROM t",
        "UPDATE public",
        "-- public.t\nDELETE FROM t",
    ],
)
def test_what_means_something_else_stays(sql: str) -> None:
    assert with_plain_names(sql) is None


_pieces = st.sampled_from(["public", ".", "only", "FROM", "t", "'", '"', "(", ",", ";", "--", "\n", "é"])


@given(st.lists(_pieces, max_size=12).map(" ".join))
def test_whatever_the_text_nothing_comes_in(text: str) -> None:
    changed = with_plain_names(text)
    if changed is not None:
        assert len(changed) < len(text)
        words = iter(text.split())
        assert all(word in words for word in changed.split())


def test_the_common_form_is_changed_for_many_at_once() -> None:
    assert with_plain_tables(
        [
            b"INSERT INTO public.t VALUES (1, 'a')",
            b'update PUBLIC."T" SET a = 1',
            b'DELETE FROM "public".t WHERE a = 1',
            b"DELETE FROM t",
        ]
    ) == [
        b"INSERT INTO t VALUES (1, 'a')",
        b'update "T" SET a = 1',
        b"DELETE FROM t WHERE a = 1",
        b"DELETE FROM t",
    ]


@pytest.mark.parametrize(
    "statement",
    [
        b"INSERT INTO public.t SELECT * FROM public.u",
        b"INSERT INTO public.t SELECT * FROM ONLY u",
        b"INSERT INTO public.t VALUES (CURRENT_TIMESTAMP)",
        b"UPDATE public.t SET a = Random()",
        b"UPDATE public.t AS public SET a = public.b",
        b'INSERT INTO "PUBLIC".t VALUES (1)',
        b"INSERT INTO public.1 VALUES (1)",
        b"INSERT INTO publics.t VALUES (1)",
        b"INSERT INTO t VALUES ('INSERT INTO public.t')",
    ],
)
def test_what_is_to_be_looked_at_closer_stays(statement: bytes) -> None:
    others = [b"DELETE FROM public.t"]
    assert list(with_plain_tables([*others, statement])) == [b"DELETE FROM t", statement]


def test_nothing_is_looked_for_where_the_first_statement_has_another_form() -> None:
    statements = [b"DELETE FROM t", b"DELETE FROM public.t"]
    assert with_plain_tables(statements) is statements
    assert with_plain_tables([]) == []
