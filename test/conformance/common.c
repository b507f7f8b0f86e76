#include "common.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

void *take(struct arena *arena, size_t n)
{
	void *memory = arena_alloc(arena, n);

	if (!memory) {
		die("out of memory");
	}
	return memset(memory, 0, n);
}

void arena_open(struct arena *arena)
{
	arena_init(arena, NULL, 0, 1024 * MIB);
}

static void on_connect_wanted(void *user, struct grpc_channel *channel)
{
	struct endpoint *endpoint = user;

	(void)channel;
	dialer_dial(&endpoint->dialer);
}

void endpoint_open(struct endpoint *endpoint, struct loop *loop, const char *host, unsigned port,
		   size_t max_message_bytes)
{
	static const struct grpc_channel_events channel_events = {
		.connect_wanted = on_connect_wanted,
	};
	static const struct dialer_events dialer_events = { 0 };
	const struct grpc_channel_options options = {
		.http2 = &http2_default_limits,
		.timers = loop_timers(loop),
		.authority = endpoint->authority,
		.user_agent = "echod-conformance",
		.max_message_bytes = max_message_bytes,
	};
	struct address_spec spec;
	char why[256];

	snprintf(endpoint->authority, sizeof(endpoint->authority),
		 strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
	if (address_parse(endpoint->authority, NULL, &spec, why, sizeof(why)) < 0) {
		die("%s: %s", endpoint->authority, why);
	}
	if (dial_resolve(&endpoint->target, &spec, endpoint->authority, 10 * NS_PER_S, why,
			 sizeof(why)) < 0) {
		die("%s", why);
	}
	endpoint->next_peer_id = 0;
	dialer_init(&endpoint->dialer, loop, &endpoint->target, &endpoint->next_peer_id,
		    &dialer_events, endpoint);
	endpoint->channel = grpc_channel_new(&options, &channel_events, endpoint);
	if (!endpoint->channel) {
		die("out of memory");
	}
	dialer_set_channel(&endpoint->dialer, endpoint->channel);
}

void endpoint_close(struct endpoint *endpoint)
{
	grpc_channel_drain(endpoint->channel);
	dialer_close(&endpoint->dialer, false);
}

void endpoint_free(struct endpoint *endpoint)
{
	grpc_channel_free(endpoint->channel);
	dialer_deinit(&endpoint->dialer);
}
