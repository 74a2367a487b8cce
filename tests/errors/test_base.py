"""The families of errors, and the codes that commands end with."""

from __future__ import annotations

import inspect

import pytest

from spgrepl import errors
from spgrepl.errors.base import LocalError, PeerError, SpgReplError

ALL = sorted(
    (one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, SpgReplError)),
    key=lambda one: one.__name__,
)
CODES = {64, 65, 66, 69, 74, 75, 76, 77, 78}


@pytest.mark.parametrize("error", ALL, ids=lambda one: one.__name__)
def test_each_error_says_who_has_to_act_and_has_a_code(error: type[SpgReplError]) -> None:
    families = [family for family in (LocalError, PeerError) if issubclass(error, family)]
    assert len(families) == (0 if error is SpgReplError else 1)
    assert error.exit_code in CODES
    assert error.__doc__
