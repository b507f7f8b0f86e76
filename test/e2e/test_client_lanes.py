"""How an open loop spreads its places over connections."""
import json

import pytest


@pytest.mark.parametrize("connections", [2, 3])
def test_no_call_waits_for_a_stream_while_another_connection_has_room(serve, run, connections):
    """As many places as the server admits streams, and more calls due than it can answer."""
    server = serve("--grpc.max-concurrent-streams=10", "--echo.delay=20ms")
    done = run(
        "client", "--rate=5000", "--duration=1s", f"--connections={connections}",
        f"--max-in-flight={10 * connections}", "--grace=20s", "--progress=off", "--output=json", server.grpc,
    )
    assert done.returncode == 0, done.stderr
    calls = json.loads(done.stdout)["calls"]
    assert calls["deferred"] > 0
    assert calls["done"] == calls["started"] == calls["attempts"]
    assert calls["stream_waits"] == 0
