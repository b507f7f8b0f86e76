"""How much the real process grows under the worst clients that break no rule: docs/ARCHITECTURE.md has the
formula, test/memory counts the heap against it, and this asks the kernel."""
import struct

import pytest

from daemon import until
from frames import INITIAL_WINDOW_SIZE, echo, message
from wire import made_with  # noqa: F401 (fixture)

KIB, MIB = 1024, 1024 * 1024
CONNECTIONS, CALLS = 6, 8
BUDGET, MESSAGE = 16 * MIB, MIB


def resident(pid, which):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * KIB for line in status if line.startswith(which + ":"))


def sanitized(pid):
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        return "asan" in maps.read()


@pytest.mark.limit(120)
def test_the_process_stays_within_the_formula_under_the_worst_legal_clients(made_with):
    wire = made_with(
        f"--grpc.max-buffered-bytes={BUDGET}", f"--grpc.max-message-bytes={MESSAGE}", "--echo.delay=6s"
    )
    pid = wire.server.pid
    before = resident(pid, "VmRSS")
    peers = [wire.connect(initial={INITIAL_WINDOW_SIZE: 0}).settle() for _ in range(CONNECTIONS)]
    whole, torn = message(echo("x" * (MESSAGE - 10))), struct.pack(">BI", 0, MESSAGE) + bytes(MESSAGE - 1)
    for n in range(CALLS):
        for peer in peers:
            stream = peer.open(end=False)
            peer.upload(stream, whole if n < CALLS - 2 else torn, end=n < CALLS - 2)
    until(lambda: wire.server.value("echod_grpc_buffered_bytes") > 1.25 * BUDGET, "the answers, which stay")
    grown = resident(pid, "VmHWM") - before
    for peer in peers:
        peer.close()
    connection = 32 * KIB + 4 * 16 * KIB + 100 * 2 * KIB + 1536 * KIB
    bound = CONNECTIONS * connection + 2 * BUDGET + 6 * MESSAGE + 9 * MIB
    if not sanitized(pid):
        assert grown <= bound, (grown, bound)
        assert grown >= bound / 4, "a bound that nothing comes near says nothing"
    wire.server.wait_value(0, "echod_grpc_buffered_bytes")
    wire.server.wait_value(0, "echod_rpcs_in_flight")
