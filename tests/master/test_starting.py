"""Nobody is answered before the server knows its log: an answer made up for the moment would be a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spgrepl.catalogue.definitions import Publications
from spgrepl.errors import LogTruncated
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.watch.status import to_json
from tests.master.kit import CLUSTER_ID, Master, Peer, frame, status, u64


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    """A server that is still starting; its log will be 8 bytes long."""
    made = Master(tmp_path, b"", publications=Publications())
    made.log.known = False
    yield made
    made.close()


def become_known(master: Master, content: bytes = b"abcdefgh") -> None:
    master.log.known = True
    master.log.grow(content)


def subscribe(master: Master) -> Peer:
    return master.subscribe(8)


def follow(master: Master) -> Peer:
    return master.follow(3)


def bootstrap(master: Master) -> Peer:
    return master.follow(0)


def follow_v1(master: Master) -> Peer:
    return master.follow(3, version=1)


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (follow, u64(0) + frame(b"defgh") + status(8)),
        (follow_v1, u64(0) + b"defgh"),
        (bootstrap, u64(8) + b"SNAPSHOT" + u64(0) + frame(b"abcdefgh") + status(8)),
        (subscribe, u64(8) + u64(CLUSTER_ID) + status(8)),
    ],
)
def test_a_hello_waits_until_the_log_is_known(
    master: Master, ask: Callable[[Master], Peer], answer: bytes
) -> None:
    peer = ask(master)
    master.pass_time(5)
    assert (peer.take(), peer.closing, peer.protocol.state.value) == (b"", False, "starting")
    become_known(master)
    assert peer.take() == answer
    assert not peer.closing


def test_a_start_beyond_an_empty_log_is_refused_once_that_is_known(master: Master) -> None:
    peer = follow(master)
    become_known(master, b"")
    assert peer.take() == u64(0) + status(0)
    assert peer.closing


def test_who_has_waited_for_too_long_is_let_go_without_an_answer(tmp_path: Path) -> None:
    master = Master(tmp_path, limits=MasterLimits(not_ready=20))
    master.log.known = False
    peer = follow(master)
    master.pass_time(19)
    assert not peer.aborted
    master.pass_time(2)
    assert peer.aborted
    assert peer.take() == b""
    peer.lose()
    assert to_json(master.hub.describe())["refused"] == {"not_ready": 1}
    master.close()


def test_who_waits_may_go_and_may_be_sent_away(master: Master) -> None:
    gone, stays = follow(master), follow(master)
    gone.lose()
    stays.send(b"more, which is skipped")
    master.hub.stop()
    assert stays.closing
    assert stays.take() == b""


def test_a_log_that_is_missing_has_no_length(tmp_path: Path) -> None:
    master = Master(tmp_path, b"abcdefgh")
    peer = master.follow(8)
    assert peer.take() == u64(0) + status(8)
    master.log.known, master.log.length = False, 0
    for listener in tuple(master.log.listeners):
        listener.log_lost(LogTruncated("it has disappeared"))
    assert peer.closing
    assert peer.take() == b""
    master.close()


def test_a_snapshot_that_is_made_while_the_log_becomes_unknown_is_not_given_out(master: Master) -> None:
    become_known(master)
    master.threads.hold()
    peer = bootstrap(master)
    master.log.known = False
    master.threads.release()
    assert peer.closing
    assert peer.take() == b""
    assert to_json(master.hub.describe())["refused"] == {"no_snapshot": 1}
