#include "client/old_recorder.h"

#include <errno.h>
#include <string.h>

#include "base/utf8.h"

int old_recorder_init(struct old_recorder *recorder)
{
	*recorder = (struct old_recorder){ .ok = latencies_new(), .failed = latencies_new() };
	return recorder->ok && recorder->failed ? 0 : -ENOMEM;
}

void old_recorder_deinit(struct old_recorder *recorder)
{
	latencies_free(recorder->ok);
	latencies_free(recorder->failed);
	recorder->ok = recorder->failed = NULL;
}

static void keep_example(struct old_recorder *recorder, size_t index, struct str message)
{
	char *example = recorder->examples[index];
	size_t n = MIN(message.len, (size_t)OLD_RECORDER_EXAMPLE_BYTES - 1);

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

void old_recorder_answered(struct old_recorder *recorder, enum grpc_status status, int64_t latency_ns,
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

void old_recorder_mismatched(struct old_recorder *recorder, int64_t latency_ns)
{
	recorder->mismatched++;
	latencies_record(recorder->failed, latency_ns);
}

void old_recorder_never_found(struct old_recorder *recorder, struct str message)
{
	recorder->never_found++;
	keep_example(recorder, OLD_RECORDER_NEVER_FOUND, message);
}

void old_recorder_unfinished(struct old_recorder *recorder)
{
	recorder->unfinished++;
}

void old_recorder_merge(struct old_recorder *into, const struct old_recorder *from)
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

uint64_t old_recorder_reached(const struct old_recorder *recorder)
{
	uint64_t n = recorder->mismatched;

	for (size_t i = 0; i < GRPC_STATUS_COUNT; i++) {
		n += recorder->by_status[i];
	}
	return n;
}

uint64_t old_recorder_calls(const struct old_recorder *recorder)
{
	return old_recorder_reached(recorder) + recorder->never_found + recorder->unfinished;
}
