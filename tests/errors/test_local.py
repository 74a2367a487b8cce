"""Errors of this side: what the system says of a file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from spgrepl.errors import ConfigurationError, EngineFailed
from spgrepl.errors.local import LoggedNotApplied, StatementFailed, unusable_file


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_refuses_may_do_better_later(number: int) -> None:
    assert isinstance(
        unusable_file(OSError(number, os.strerror(number), "x.db"), "x.db cannot be used"), EngineFailed
    )


def test_a_file_that_is_not_one_is_a_wrong_setting(tmp_path: Path) -> None:
    try:
        tmp_path.open()
    except OSError as error:
        found = unusable_file(error, f"{tmp_path} cannot be used")
    assert isinstance(found, ConfigurationError)
    assert str(tmp_path) in str(found)


def test_errors_carry_what_programs_go_by() -> None:
    failed = StatementFailed("no such table", "SELECT 1", 3, "insert_exists")
    assert (failed.sql, failed.number, failed.conflict, failed.exit_code) == ("SELECT 1", 3, "insert_exists", 65)
    later = LoggedNotApplied("logged", 77)
    assert (later.position, later.exit_code) == (77, 75)
