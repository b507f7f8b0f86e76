/*
 * A session's input on its way to nghttp2: in slices, each read by the ledger
 * first. Between two of them a server looks at what it has queued, and takes no
 * more once that is much: the host keeps the rest and offers it again after a
 * production, when others had their turn.
 */
#include <errno.h>

#include "http2/session_p.h"

/* nghttp2 gets its input in slices, between which the session looks at its queues. */
#define SLICE_BYTES (16 * KIB)

/*
 * A server begins, between two productions, at most this many times the streams
 * that may be open, however many are reset meanwhile; and never fewer than MIN_OPENS.
 */
#define OPENS_FACTOR 2
#define MIN_OPENS    64

/* Streams that may still begin before the next production. */
static uint32_t opens_left(const struct http2_session *session)
{
	size_t most = OPENS_FACTOR * (size_t)session->limits->max_concurrent_streams;
	size_t now = session->n_open + session->n_closed;

	if (!session->server) {
		return UINT32_MAX; /* its streams are its own */
	}
	most = MAX(most, MIN_OPENS);
	if (session->n_closed == 0) {
		most = MAX(most, now + 1); /* nothing to wait for */
	}
	return now < most ? (uint32_t)MIN(most - now, UINT32_MAX) : 0;
}

static ssize_t give_to_nghttp2(struct http2_session *session, const uint8_t *bytes, size_t n)
{
#ifdef HAVE_NGHTTP2_SESSION_MEM_RECV2
	return n == 0 ? 0 : nghttp2_session_mem_recv2(session->nghttp2, bytes, n);
#else
	return n == 0 ? 0 : nghttp2_session_mem_recv(session->nghttp2, bytes, n);
#endif
}

/* The ledger has found what ends the connection. */
static void breach(struct http2_session *session, enum http2_ledger_stop stop)
{
	session->deaf = true;
	switch (stop) {
	case HTTP2_LEDGER_CONTINUATIONS:
		http2_session_count(session, HTTP2_BOUND_CONTINUATIONS);
		http2_session_condemn(session, HTTP2_ENHANCE_YOUR_CALM, "too_many_continuations");
		break;
	case HTTP2_LEDGER_NEVER_OPENED:
		http2_session_terminate(session, HTTP2_PROTOCOL_ERROR);
		break;
	default:
		http2_session_terminate(session, HTTP2_STREAM_CLOSED);
		break;
	}
}

static int receive_error(struct http2_session *session, ssize_t error)
{
	switch (error) {
	case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
		meter_count(session->meters->protocol_errors[HTTP2_PROTOCOL_ERROR]);
		session->mute = true;
		return -EPROTO;
	case NGHTTP2_ERR_FLOODED:
		if (!session->condemned) {
			http2_session_count(session, HTTP2_BOUND_ACKS);
		}
		http2_session_condemn(session, HTTP2_ENHANCE_YOUR_CALM, "too_many_acks");
		return -EPROTO;
	case NGHTTP2_ERR_NOMEM:
		return -ENOMEM;
	default:
		return -EPROTO;
	}
}

ssize_t http2_session_input(struct http2_session *session, const uint8_t *bytes, size_t n)
{
	size_t at = 0;

	if (session->deaf) {
		return (ssize_t)n;
	}
	while (at < n && !session->condemned && !session->deaf) {
		size_t preface = MIN(session->preface_left, n - at);
		size_t most = MIN(n - at, SLICE_BYTES), part;
		enum http2_ledger_stop stop;
		ssize_t rv;

		session->ledger.opens = 0;
		part = preface + http2_ledger_read(&session->ledger, bytes + at + preface,
						   most - preface, opens_left(session), &stop);
		rv = give_to_nghttp2(session, bytes + at, part);
		if (rv < 0) {
			return receive_error(session, rv);
		}
		session->preface_left -= (uint8_t)preface;
		at += part;
		if (stop == HTTP2_LEDGER_ENOUGH ||
		    (session->server && at < n &&
		     nghttp2_session_get_outbound_queue_size(session->nghttp2) >
			     HTTP2_MAX_QUEUED_FRAMES)) {
			http2_session_count(session, HTTP2_BOUND_DEFERRED);
			break;
		}
		if (stop != HTTP2_LEDGER_NO_STOP) {
			breach(session, stop);
		}
	}
	return (ssize_t)(session->deaf ? n : at);
}
