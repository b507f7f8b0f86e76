#include "client/old_progress.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/text.h"

#define TERMINAL_INTERVAL_NS (1 * NS_PER_S)
#define PLAIN_INTERVAL_NS    (10 * NS_PER_S)

/* To the line's start, and clear what stands there. */
#define CLEAR_LINE "\r\033[K"

int old_progress_line(struct buffer *out, const struct old_progress_view *view)
{
	const struct old_recorder *results = view->results;
	uint64_t ok = results->by_status[GRPC_OK];
	char p50[32], p99[32];
	int err;

	err = buffer_printf(out,
			    "%3" PRId64 "s  %" PRIu64 ".%" PRIu64 "/s  %" PRIu64 " ok  %" PRIu64
			    " failed  %" PRIu64 " no server  %" PRIu64 " in flight",
			    (view->elapsed_ns + NS_PER_S / 2) / NS_PER_S,
			    view->tenths_per_second / 10, view->tenths_per_second % 10, ok,
			    old_recorder_reached(results) - ok, results->never_found,
			    view->in_flight);
	if (err == 0 && latencies_count(results->ok) > 0) {
		text_duration(latencies_quantile(results->ok, .5), p50, sizeof(p50));
		text_duration(latencies_quantile(results->ok, .99), p99, sizeof(p99));
		err = buffer_printf(out, "  p50 %s  p99 %s", p50, p99);
	}
	return err;
}

/*
 * A line that the terminal broke could not be taken back: only its last row
 * would be. The column at the edge stays free, where some break already.
 */
static struct bytes fit_terminal(struct bytes line)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
		line.len = MIN(line.len, strlen(CLEAR_LINE) + size.ws_col - 1);
	}
	return line;
}

/* All or nothing, and only now: progress is not worth waiting for. */
static bool write_now(struct bytes text)
{
	struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) &&
	       write(STDERR_FILENO, text.data, text.len) > 0;
}

static void draw(struct old_progress *progress, int64_t now_ns)
{
	uint64_t reached = old_recorder_reached(progress->results);
	const struct old_progress_view view = {
		.elapsed_ns = now_ns - progress->started_ns,
		.tenths_per_second = text_rate_tenths(reached - progress->last_reached,
						      now_ns - progress->last_ns),
		.in_flight = *progress->in_flight,
		.results = progress->results,
	};

	progress->last_reached = reached;
	progress->last_ns = now_ns;
	buffer_clear(&progress->line);
	if (buffer_append_str(&progress->line,
			      progress->terminal ? STR(CLEAR_LINE) : STR("echod client: ")) < 0 ||
	    old_progress_line(&progress->line, &view) < 0 ||
	    (!progress->terminal && buffer_append_str(&progress->line, STR("\n")) < 0)) {
		return;
	}
	if (!progress->terminal) {
		(void)write_now(buffer_bytes(&progress->line));
	} else if (write_now(fit_terminal(buffer_bytes(&progress->line)))) {
		progress->drawn = true;
	}
}

static void on_tick(struct timer *timer)
{
	struct old_progress *progress = container_of(timer, struct old_progress, tick);
	int64_t now_ns = timers_now(progress->timers);

	timer_start_at(progress->timers, timer, now_ns + progress->interval_ns);
	draw(progress, now_ns);
}

void old_progress_start(struct old_progress *progress, struct timers *timers,
			const struct old_recorder *results, const uint64_t *in_flight,
			bool terminal)
{
	*progress = (struct old_progress){
		.timers = timers,
		.results = results,
		.in_flight = in_flight,
		.terminal = terminal,
		.interval_ns = terminal ? TERMINAL_INTERVAL_NS : PLAIN_INTERVAL_NS,
		.started_ns = timers_now(timers),
		.line = BUFFER_INIT,
	};
	progress->last_ns = progress->started_ns;
	timer_init(&progress->tick, on_tick);
	timer_start(timers, &progress->tick, progress->interval_ns);
}

void old_progress_stop(struct old_progress *progress)
{
	if (!progress->timers) {
		return;
	}
	timer_stop(progress->timers, &progress->tick);
	buffer_clear(&progress->line);
	if (progress->drawn && buffer_append_str(&progress->line, STR(CLEAR_LINE)) == 0) {
		(void)write_now(buffer_bytes(&progress->line));
	}
	buffer_free(&progress->line);
	progress->timers = NULL;
}
