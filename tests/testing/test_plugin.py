"""The fixture that installing this package gives to pytest."""

from __future__ import annotations

from importlib.metadata import entry_points

from spgrepl.testing import Cluster, plugin


def test_pytest_finds_it() -> None:
    (found,) = entry_points(group="pytest11", name="spgrepl")
    assert found.load() is plugin


def test_it_is_a_cluster_in_a_folder_of_the_test(spgrepl_cluster: Cluster) -> None:
    assert isinstance(spgrepl_cluster, Cluster)
    assert spgrepl_cluster.primary().query("SELECT 1") == [(1,)]
