"""The page, in a real Chromium, while the rows of a snapshot are put into a server."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import MISSING, Page, browser
from tests.end_to_end.conftest import Server, run_command, until
from tests.end_to_end.test_page import Shown, served
from tests.postgresql.conftest import Database, database, postgres, shared
from tests.postgresql.pair import Pair

__all__ = ["database", "postgres", "shared"]

pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")

ROWS = 200_000
HOLD_AT = 74_000
KEY = 4711
HELD = (
    f"CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    f"IF NEW.id = {HOLD_AT} THEN PERFORM pg_advisory_xact_lock({KEY}); END IF; RETURN NEW; END $$",
    "CREATE FUNCTION holding() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF to_regclass('orders') IS NOT NULL AND "
    "NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass('orders')) THEN "
    "CREATE TRIGGER hold BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION hold(); "
    "ALTER TABLE orders ENABLE ALWAYS TRIGGER hold; END IF; END $$",
    "CREATE EVENT TRIGGER holding ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION holding()",
    "ALTER EVENT TRIGGER holding ENABLE ALWAYS",
)
"""The copy waits for a lock in the middle of a table, however that table is made."""


BARS = """(() => {
    const bars = [...document.querySelectorAll("progress")];
    const of = (bar) => [bar.value / bar.max, bar.getAttribute("aria-valuetext"), bar.labels[0].textContent];
    return bars.length === 2 && bars.map(of);
})()"""
"""What each bar shows, what it says to a screen reader, and its label."""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as found:
        yield found


@pytest.fixture(params=["follower", "subscriber"])
def held(request: pytest.FixtureRequest, tmp_path: Path, database: Database) -> Iterator[Pair]:
    for statement in HELD:
        database.query(statement)
    pair = Pair(tmp_path, database, request.param)
    yield pair
    pair.stop()
    database.query("DROP EVENT TRIGGER holding")


def placing_in(copy: Server) -> Any:
    """What the status of a copy says of its snapshot's rows."""
    status = copy.status()
    return (status["bootstrap" if status["role"] == "follower" else "copy"] or {}).get("placing")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def standing(read: Callable[[], Any]) -> Any:
    """What is read, once it does not change any more."""
    found: list[Any] = [read()]

    def unchanged() -> bool:
        found.append(read())
        return len(found) > 60 and found[-1] == found[-60]

    until(unchanged)
    return found[-1]


def test_a_slow_copy_is_seen_while_it_goes_on(held: Pair, page: Page) -> None:
    """Between the snapshot's last byte and the first row that a reader sees, page and status say the same."""
    held.master.execute(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, note TEXT)",
        "CREATE PUBLICATION p FOR TABLE orders",
    )
    number = f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {ROWS})"
    position = held.master.execute(
        f"{number} INSERT INTO orders SELECT n, 'customer ' || n % 977, printf('%0100d', n) FROM c"
    )
    with held.database.server.connect(held.database.name) as holder:
        holder.execute(f"SELECT pg_advisory_lock({KEY})")
        copy = held.prepare()
        url = served(copy, free_port())
        copy.launch()
        until(lambda: copy.answers() and (placing_in(copy) or {}).get("rows"), copy.output)
        known = ("step", "table", "rows", "rows_total", "bytes", "bytes_total", "share")
        placing = standing(lambda: {name: placing_in(copy)[name] for name in known})
        assert (placing["step"], placing["table"], placing["rows_total"]) == ("copy", "orders", ROWS)
        assert HOLD_AT < placing["rows"] < ROWS
        assert placing["share"] == round(placing["rows"] / ROWS, 4)

        shown = Shown(page, copy, url)
        assert shown.value("state") == ("bootstrapping" if copy.name == "follower" else "copying")
        bars = page.until(BARS)
        (received, _, whole), (share, text, label) = bars
        assert (received, whole.startswith("Snapshot: 100 %, ")) == (1, True)
        assert round(share, 4) == placing["share"]
        percent = f"{int(placing['share'] * 100)} %"
        assert label == f"Copying rows: {text}"
        assert text.startswith(f"{percent}, table orders, {placing['rows']:,} of {ROWS:,} rows, ")
        assert re.search(r" MB of [\d.]+ MB, [\d.]+ [kM]?B/s, [\d.]+ (s|min) left$", text), text
        if copy.name == "follower":
            shown.picture("page-copy.png")

        said = run_command("status", url)
        assert (
            f"  in place: copy, {placing['share']:.0%}, table orders, {placing['rows']:,} of {ROWS:,} rows, "
            in said
        )
        assert "problem" not in run_command("status", "--check", url)
        holder.execute(f"SELECT pg_advisory_unlock({KEY})")
    held.settle(position)
    assert placing_in(copy) is None
    page.until("document.querySelector('.progress').hidden")
    assert page.console() == []
