#include "client/usage.h"

#include <sys/resource.h>

#include "client/client.h"

static int64_t nanoseconds(struct timeval time)
{
	return time.tv_sec * NS_PER_S + time.tv_usec * NS_PER_US;
}

void usage_read(struct usage *usage, const struct client *client)
{
	const struct grpc_channel_meters *channel = &client->instruments.channel;
	struct rusage own;

	*usage = (struct usage){
		.bytes_in = counter_read(&client->bytes_in),
		.bytes_out = counter_read(&client->bytes_out),
		.attempts = counter_read(channel->attempts),
		.retries = counter_read(channel->transparent_retries),
		.stream_waits = counter_read(channel->stream_waits),
		.lost = counter_read(channel->connections_lost),
	};
	if (getrusage(RUSAGE_SELF, &own) == 0) {
		usage->cpu_user_ns = nanoseconds(own.ru_utime);
		usage->cpu_system_ns = nanoseconds(own.ru_stime);
	}
}

void usage_charge(struct recorder *recorder, const struct usage *from, const struct usage *to)
{
	recorder->attempts += to->attempts - from->attempts;
	recorder->retries += to->retries - from->retries;
	recorder->stream_waits += to->stream_waits - from->stream_waits;
	recorder->connections.lost += to->lost - from->lost;
}

void usage_charge_run(struct run *run, const struct usage *from, const struct usage *to)
{
	run->cpu_user_ns += to->cpu_user_ns - from->cpu_user_ns;
	run->cpu_system_ns += to->cpu_system_ns - from->cpu_system_ns;
	run->bytes_in += to->bytes_in - from->bytes_in;
	run->bytes_out += to->bytes_out - from->bytes_out;
	usage_charge(&run->results, from, to);
}
