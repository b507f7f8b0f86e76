"""Runs of load as docs/report.md describes them, written by nothing but that page."""
import math

BITS, COARSE = 7, 4


def bounds(index, bits=BITS):
    shift = max(0, (index >> bits) - 1)
    low = index - (shift << bits) << shift
    return low, low + (1 << shift) - 1


def index_of(value, bits=BITS):
    shift = max(0, value.bit_length() - bits - 1)
    return (shift << bits) + (value >> shift)


def histogram(values, bits=BITS):
    counts = {}
    for value in values:
        counts[index_of(value, bits)] = counts.get(index_of(value, bits), 0) + 1
    return {"count": len(values), "min_ns": min(values, default=0), "max_ns": max(values, default=0),
            "sum_ns": sum(values), "buckets": [list(pair) for pair in sorted(counts.items())]}


def values_of(one):
    """Each value, as the upper end of its bucket."""
    return [min(bounds(index)[1], one["max_ns"]) for index, n in one["buckets"] for _ in range(n)]


def quantile(values, q):
    return sorted(values)[max(1, math.ceil(q * len(values))) - 1]


def run(ok, failed=(), name=None, rate=None, seconds=1, number=0xab):
    """A run of calls that took so many ns each, and failed UNAVAILABLE, or did not."""
    ok, failed = list(ok), list(failed)
    total, elapsed = len(ok) + len(failed), seconds * 10**9
    statuses = [{"status": status, "code": code, "calls": len(calls), "injected": 0,
                 "from": {"peer": len(calls), "here": 0, "transport": 0}}
                for status, code, calls in (("OK", 0, ok), ("UNAVAILABLE", 14, failed)) if calls]
    schedule = rate and {"arrival": "constant", "pieces": [
        {"from_microrate": rate * 10**6, "to_microrate": rate * 10**6, "length_ns": 0}]}
    return {
        "schema": "echod.run/1",
        "run": {"echod": "0.0.0", "host": "here", "name": name, "id": f"{number:016x}",
                "started_unix_ns": 1_800_000_000 * 10**9, "merged": 1},
        "plan": {"text": "as it was planned", "targets": ["localhost:9876"], "method": "muzz.Service/Echo",
                 "schedule": schedule or None, "pacing": "timer", "gzip": False, "verify": True,
                 "concurrency": 0 if rate else 10, "max_in_flight": 1000 if rate else 0, "connections": 1,
                 "count": total, "duration_ns": 0, "warmup_ns": 0, "grace_ns": 0, "timeout_ns": 10**9,
                 "connection_lifetime_ns": 0, "request_bytes": 20, "seed": str(2**64 - 1)},
        "measured": {"elapsed_ns": elapsed, "offered_ns": elapsed, "ended_by": None, "warmup_calls": 0,
                     "cpu_user_ns": 10**6, "cpu_system_ns": 10**6, "bytes_in": 100 * total, "bytes_out": 50 * total},
        "calls": {"due": total, "started": total, "done": total, "unfinished": 0, "never_sent": 0, "deferred": 0,
                  "mismatched": 0, "answered_while_due": total, "attempts": total, "retries": 0, "stream_waits": 0},
        "statuses": statuses,
        "never_found": {"calls": 0},
        "injected": {"failures": 0, "other_failures": len(failed), "faults": {}, "changed": 0, "delayed": 0,
                     "delay_ns": 0},
        "timeline": {"first_error_ns": 5 if failed else -1, "last_error_ns": 9 if failed else -1, "last_ok_ns": 10,
                     "longest_gap_ns": 1, "longest_gap_from_ns": 0},
        "backends": [],
        "connections": {"open_at_start": 2, "opened": 1, "failed": 0, "lost": 0, "renewed": 0, "goaways": {}},
        "assertions": [],
        "reconciliation": None,
        "histograms": {"bits": BITS, "latency_ok": histogram(ok), "latency_failed": histogram(failed),
                       "service_ok": histogram(ok), "service_failed": histogram(failed), "lag": histogram([]),
                       "delay": histogram([]), "undelayed": histogram([])},
        "series": {"bin_ns": 10**9, "bits": COARSE, "bins": [
            {"due": total, "started": total, "ok": len(ok), "failed": len(failed),
             "latency": histogram(ok + failed, COARSE)}]},
    }
