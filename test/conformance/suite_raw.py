"""Cases of others that are no programs of ours to run, re-created by name as tests that write raw bytes."""
import re

import rows
import tools

# The server of grpc's test/http2_test, which our client must get along with.
NEGATIVE = (
    "goaway", "rst_after_header", "rst_during_data", "rst_after_data", "ping", "max_streams",
    "data_frame_padding", "no_df_padding_sanity_test",
)
# grpc-core's test/core/bad_client: what our server must live through.
BAD_CLIENT = (
    "badreq", "bad_streaming_id", "connection_prefix", "duplicate_header", "head_of_line_blocking", "headers",
    "initial_settings_frame", "large_metadata", "out_of_bounds", "server_registered_method", "simple_request",
    "unknown_frame", "window_overflow", "window_update_overflow",
)
SECONDS = 600


def suite(context):
    yield one(context, "negative HTTP/2 cases", "client", "test_negative_http2.py", NEGATIVE)
    yield one(context, "bad_client", "server", "test_bad_client.py", BAD_CLIENT)


def one(context, suite_name, subject, file, names):
    """A case passes when there are tests of its name, and all of them pass."""
    row = rows.Row(suite_name, "re-created by name", subject, len(names))
    path = tools.ROOT / "test/e2e" / file
    tap = context.logs / f"{path.stem}.tap"
    log = context.logs / f"{path.stem}.log"
    tap.unlink(missing_ok=True)
    code = tools.run(
        [tools.PYTHON, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--echod={context.binary('src/echod')}",
         f"--builddir={context.build}", f"--tap={tap}", path],
        log, SECONDS, cwd=tools.ROOT,
    )
    lines = tap.read_text(encoding="utf-8").splitlines() if tap.exists() else []
    left = set(lines)
    # The longest name first, so that window_update_overflow is not taken for another's.
    for name in sorted(names, key=len, reverse=True):
        mine = [line for line in left if re.search(rf"::test_{name}(?![a-z])", line)]
        mine = mine or [line for line in left if re.search(rf"::test_{name}(_|\b)", line)]
        left -= set(mine)
        if not mine:
            row.failed.append(f"{name}: there is no such test")
        elif all(re.match(r"ok (?!.* # SKIP)", line) for line in mine):
            row.passed += 1
        else:
            row.failed.append(f"{name}: {sum(not line.startswith('ok ') for line in mine)} of {len(mine)} tests failed")
    if code != 0 and not row.failed:
        row.failed.append(f"pytest ended with {code}: {tools.last_line(log)}")
    return row
