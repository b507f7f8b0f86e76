/* A peer, the scripted service, and one call between them: what its tests begin with. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "grpc/wire.h"
#include "peer.h"
#include "script.h"

struct stage {
	struct peer peer;
	struct script script;
	struct peer_stream stream;
};

static inline void stage_init(struct stage *stage, const struct peer_options *options)
{
	*stage = (struct stage){ 0 };
	peer_init(&stage->peer, options);
	assert_int_equal(grpc_server_add(stage->peer.server, &script_service, &stage->script, NULL),
			 0);
}

static inline void stage_deinit(struct stage *stage)
{
	peer_deinit(&stage->peer);
	peer_stream_deinit(&stage->stream);
	buffer_free(&stage->script.log);
}

static inline void begin(struct stage *stage, const char *path, const char *const *more)
{
	peer_stream_deinit(&stage->stream);
	peer_call(&stage->peer, &stage->stream, path, more);
}

static inline void say(struct stage *stage, const char *text)
{
	peer_message(&stage->peer, &stage->stream, str_from(text));
}

static inline void end(struct stage *stage)
{
	peer_end(&stage->peer, &stage->stream);
	peer_run(&stage->peer);
}

#define ASSERT_LOG(stage, expected) assert_string_equal(script_log(&(stage)->script), expected)

static inline void assert_status(struct stage *stage, const char *status)
{
	const char *is = peer_field(&stage->stream, "grpc-status");

	assert_non_null(is);
	assert_string_equal(is, status);
	assert_true(stage->stream.closed);
}

/* What came back, without the prefixes; '|' behind each message. */
static inline void assert_replies(struct stage *stage, const char *expected)
{
	struct bytes in = buffer_bytes(&stage->stream.in);
	char text[256];
	size_t n = 0;

	while (in.len > 0) {
		uint32_t length;

		assert_true(in.len >= 5 && in.data[0] == 0);
		length = grpc_prefix_length(in.data);
		assert_true(length <= in.len - 5 && n + length + 2 < sizeof(text));
		memcpy(text + n, in.data + 5, length);
		n += length;
		text[n++] = '|';
		in = (struct bytes){ in.data + 5 + length, in.len - 5 - length };
	}
	text[n] = '\0';
	assert_string_equal(text, expected);
}
