"""SIGKILL of all processes of a site at once, under load, again and again: nothing acknowledged is lost anywhere.

Ten rounds by default; ``SPGREPL_ROUNDS=100`` makes a campaign of it, ``SPGREPL_SEED`` another one. Every fifth
round, and the last, all copies are compared.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from tests.end_to_end.site.kit import Site, not_refused_anywhere, starter, until

ROUNDS = int(os.environ.get("SPGREPL_ROUNDS", "10"))
SEED = os.environ.get("SPGREPL_SEED", "1")
COMPARED = 5


def test_all_are_killed_at_once(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    acknowledged = 0
    with starter() as processes:
        site = Site(processes, tmp_path)
        try:
            for number in range(1, ROUNDS + 1):
                site.start()
                before = len(site.notes().acknowledged)
                if chance.random() < 0.8:
                    until(
                        lambda before=before: len(site.notes().acknowledged) > before,
                        lambda: (site.primary.output()[-2000:], site.primary.status()),
                    )
                time.sleep(chance.random() * 0.5)  # this is the random moment
                assert all(one.look() for one in site.all), [one.output()[-2000:] for one in site.all if one.ended]
                site.kill()
                not_refused_anywhere(site)
                if number % COMPARED == 0 or number == ROUNDS:
                    site.start()
                    site.settle()
                    site.check()
            acknowledged = len(site.notes().acknowledged)
            assert acknowledged > ROUNDS
        finally:
            site.kill()
            print(f"seed {SEED!r}: {ROUNDS} rounds, {acknowledged} requests acknowledged")
