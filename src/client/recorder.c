#include "client/recorder.h"

#include <errno.h>
#include <string.h>

#include "base/utf8.h"

int recorder_init(struct recorder *recorder)
{
	*recorder = (struct recorder){ .ok = latencies_new(), .failed = latencies_new() };
	return recorder->ok && recorder->failed ? 0 : -ENOMEM;
}

void recorder_deinit(struct recorder *recorder)
{
	latencies_free(recorder->ok);
	latencies_free(recorder->failed);
	recorder->ok = recorder->failed = NULL;
}

static void keep_example(struct recorder *recorder, size_t index, struct str message)
{
	char *example = recorder->examples[index];
	size_t n = MIN(message.len, (size_t)RECORDER_EXAMPLE_BYTES - 1);

	if (example[0] != '\0' || n == 0) {
		return;
	}
	if (n < message.len) { /* not in the middle of a character */
		n = utf8_valid_prefix((struct str){ message.data, n });
	}
	for (size_t i = 0; i < n; i++) { /* one line, whatever a server says */
		unsigned char c = (unsigned char)message.data[i];

		example[i] = (char)(c < 0x20 || c == 0x7f ? ' ' : c);
	}
	example[n] = '\0';
}

void recorder_answered(struct recorder *recorder, enum grpc_status status, int64_t latency_ns,
		       struct str message)
{
	recorder->by_status[status]++;
	if (status == GRPC_OK) {
		latencies_record(recorder->ok, latency_ns);
		return;
	}
	latencies_record(recorder->failed, latency_ns);
	keep_example(recorder, status, message);
}

void recorder_mismatched(struct recorder *recorder, int64_t latency_ns)
{
	recorder->mismatched++;
	latencies_record(recorder->failed, latency_ns);
}

void recorder_never_found(struct recorder *recorder, struct str message)
{
	recorder->never_found++;
	keep_example(recorder, RECORDER_NEVER_FOUND, message);
}

void recorder_unfinished(struct recorder *recorder)
{
	recorder->unfinished++;
}

void recorder_merge(struct recorder *into, const struct recorder *from)
{
	for (size_t i = 0; i < GRPC_STATUS_COUNT; i++) {
		into->by_status[i] += from->by_status[i];
	}
	into->mismatched += from->mismatched;
	into->never_found += from->never_found;
	into->unfinished += from->unfinished;
	latencies_merge(into->ok, from->ok);
	latencies_merge(into->failed, from->failed);
	for (size_t i = 0; i < ARRAY_SIZE(into->examples); i++) {
		keep_example(into, i, str_from(from->examples[i]));
	}
}

uint64_t recorder_reached(const struct recorder *recorder)
{
	uint64_t n = recorder->mismatched;

	for (size_t i = 0; i < GRPC_STATUS_COUNT; i++) {
		n += recorder->by_status[i];
	}
	return n;
}

uint64_t recorder_calls(const struct recorder *recorder)
{
	return recorder_reached(recorder) + recorder->never_found + recorder->unfinished;
}
