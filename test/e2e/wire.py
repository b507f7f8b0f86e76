"""What every test of the wire contract asks besides its own question: does the server still
answer a clean call, and did exactly the counters move that may?"""
import dataclasses

import pytest

from daemon import until
from frames import OK, Peer, echo

REFUSED = "echod_http_refused_total"


@dataclasses.dataclass(eq=True)
class Counts:
    total: int = 0
    ok: int = 0
    failed: int = 0
    observed: int = 0
    in_flight: int = 0
    refused: dict = dataclasses.field(default_factory=dict)


class Wire:
    """A server under test. `moved()` says what the test has moved; finish() holds it to that."""

    def __init__(self, server):
        self.server, self.peers = server, []
        self.before, self.expected = self.read(), None

    def connect(self, **options):
        peer = Peer(self.server.grpc_port, **options)
        self.peers.append(peer)
        return peer

    def read(self):
        text = self.server.scrape()
        return Counts(
            int(text.value("total_requests")),
            int(text.value("successful_requests")),
            int(text.value("failed_requests")),
            int(text.value("grpc_call_latency_seconds_count")),
            int(text.value("echod_rpcs_in_flight")),
            {dict(labels)["status"]: int(n) for labels, n in text.samples(REFUSED).items()},
        )

    def delta(self):
        now, before = self.read(), self.before
        refused = {k: n - before.refused[k] for k, n in now.refused.items() if n != before.refused[k]}
        return Counts(
            now.total - before.total,
            now.ok - before.ok,
            now.failed - before.failed,
            now.observed - before.observed,
            now.in_flight - before.in_flight,
            refused,
        )

    def moved(self, ok=0, failed=0, refused=None, started=None):
        """Waits until these and no others have moved. `started`: those still running count there."""
        started = ok + failed if started is None else started
        self.expected = Counts(started, ok, failed, ok + failed, started - ok - failed, refused or {})
        seen = []

        def settled():
            seen.append(self.delta())
            return seen[-1] == self.expected

        try:
            until(settled, "the counters", 5)
        except AssertionError:
            assert seen[-1] == self.expected, "what has moved, and what should have"

    def finish(self):
        for peer in self.peers:
            peer.close()
        with Peer(self.server.grpc_port) as peer:
            response = peer.call("clean")
            assert response.status == OK and response.messages == [echo("clean")], response
        was = self.expected
        if was is None:
            return  # the test failed before it could say
        self.moved(was.ok + 1, was.failed + was.in_flight, was.refused)


@pytest.fixture
def wire(shared):
    """The module's server, with default settings."""
    made = Wire(shared)
    yield made
    made.finish()


@pytest.fixture
def made_with(serve):
    """A server of the test's own, with these flags."""
    wires = []

    def start(*flags):
        wires.append(Wire(serve(*flags)))
        return wires[-1]

    yield start
    for made in wires:
        made.finish()
