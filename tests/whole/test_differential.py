"""Schemas, triggers, views, foreign keys and statements at random: the copies equal the primary, bit for bit.

Two hundred examples in all; ``SPGREPL_DIFFERENTIAL=5000`` makes a campaign of so many each, and
``HYPOTHESIS_PROFILE=search`` chooses others each time.
"""

from __future__ import annotations

import os
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.replica.following.copies import quick_folder
from tests.whole.generate import Generator
from tests.whole.nodes import Nodes, nodes

EXAMPLES = int(os.environ.get("SPGREPL_DIFFERENTIAL", "100"))


def work(made: Nodes, generator: Generator, chance: Random, alters: float) -> None:
    """Run some groups of statements and transactions, and compare now and then."""
    if chance.random() < 0.5:
        made.attempt("PRAGMA foreign_keys = ON")
    if chance.random() < 0.3:
        # What a group changes goes to a file, as that of a long one does.
        made.writer._session().recording._limit = 200
    for _ in range(chance.randint(2, 8)):
        requests = []
        for _ in range(chance.choice([1, 1, 1, 3])):
            kind = chance.random()
            if kind < alters:
                requests.append((generator.alter(),))
            elif kind < 0.65:
                requests.append((generator.change(),))
            else:
                requests.append(generator.transaction())
        made.run(requests)
        if chance.random() < 0.2:
            made.check()
    made.check()


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(chance=st.randoms(use_true_random=False))
def test_a_follower_is_equal_whatever_is_run(chance: Random) -> None:
    generator = Generator(chance)
    with quick_folder() as folder, nodes(folder, *generator.schema()) as made:
        work(made, generator, chance, alters=0.2)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(chance=st.randoms(use_true_random=False))
def test_a_subscriber_is_equal_whatever_rows_change(chance: Random) -> None:
    generator = Generator(chance, virtual=False)
    with quick_folder() as folder, nodes(folder, *generator.schema(), subscriber=True) as made:
        work(made, generator, chance, alters=0)
