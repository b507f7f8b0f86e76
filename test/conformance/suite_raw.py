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
    yield from rules(context)


def one(context, suite_name, subject, file, names):
    """A case passes when there are tests of its name, and all of them pass."""
    row = rows.Row(suite_name, "re-created by name", subject, len(names))
    left, words = tap_lines(context, file)
    # The longest name first, so that window_update_overflow is not taken for another's.
    for name in sorted(names, key=len, reverse=True):
        mine = {line for line in left if re.search(rf"::test_{name}(_|\b)", line)}
        left -= mine
        if not mine:
            row.failed.append(f"{name}: there is no such test")
        elif all(re.match(r"ok (?!.* # SKIP)", line) for line in mine):
            row.passed += 1
        else:
            bad = [line for line in mine if not line.startswith("ok ")]
            row.failed.append(f"{name}: {len(bad)} of {len(mine)} tests failed or were skipped")
    if words and not row.failed:
        row.failed.append(words)
    return row


def rules(context):
    """Our own cases, section by section: every one counts. A skipped one says which nghttp2 it is about."""
    lines, words = tap_lines(context, "test_http2_rules.py")
    for subject in ("server", "client"):
        mine = sorted(line for line in lines if f"::test_{subject}" in line)
        row = rows.Row("HTTP/2 and HPACK rules", "our own", subject, len(mine))
        for line in mine:
            name = line.partition("::")[2]
            if not line.startswith("ok "):
                row.failed.append(name)
            elif " # SKIP " in name:
                name, _, why = name.partition(" # SKIP ")
                row.excused[name] = why
            else:
                row.passed += 1
        if words and not any(line.startswith("not ok") for line in lines):
            row.failed.append(words)
        yield row


def tap_lines(context, file):
    """The lines of a file of tests, and what is wrong with the run as a whole."""
    path = tools.ROOT / "test/e2e" / file
    tap = context.logs / f"{path.stem}.tap"
    log = context.logs / f"{path.stem}.log"
    tap.unlink(missing_ok=True)
    code = tools.run(
        [tools.PYTHON, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--echod={context.binary('src/echod')}",
         f"--builddir={context.build}", f"--tap={tap}", path],
        log, SECONDS, cwd=tools.ROOT,
    )
    lines = set(tap.read_text(encoding="utf-8").splitlines()) if tap.exists() else set()
    return lines, "" if code == 0 else f"pytest ended with {code}: {tools.last_line(log)}"
