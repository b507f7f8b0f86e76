/*
 * The floor of a scrape: the least that a libuv server can do and still answer
 * one. What echod costs above it is what parsing, reading the counters and
 * writing them out costs. For measurements on loopback only: it checks nothing
 * and stops at the first surprise.
 *
 *	bench_web_floor PORT <BODY
 *
 * Whatever a read gave is taken for one request, and answered with the body in
 * one uv_try_write.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#define READ_BUFFER_BYTES  65536
#define MAX_BODY_BYTES     (4 << 20)
#define REQUIRE(condition) ((condition) ? (void)0 : give_up(#condition))

static char read_buffer[READ_BUFFER_BYTES];
static char *answer;
static size_t answer_len;

static void give_up(const char *what)
{
	fprintf(stderr, "bench_web_floor: not so: %s\n", what);
	abort();
}

static void read_answer(void)
{
	char *body = malloc(MAX_BODY_BYTES);
	size_t head, len;

	REQUIRE(body);
	len = fread(body, 1, MAX_BODY_BYTES, stdin);
	REQUIRE(len > 0 && feof(stdin));
	answer = malloc(len + 256);
	REQUIRE(answer);
	head = (size_t)sprintf(
		answer,
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", len);
	memcpy(answer + head, body, len);
	answer_len = head + len;
	free(body);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle);
}

static void on_written(uv_write_t *write, int status)
{
	(void)status;
	free(write);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	(void)handle;
	(void)suggested;
	*ret = uv_buf_init(read_buffer, sizeof(read_buffer));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *read)
{
	uv_buf_t buf = uv_buf_init(answer, (unsigned)answer_len);
	int sent;

	(void)read;
	if (n == 0) {
		return;
	}
	if (n < 0) {
		uv_close((uv_handle_t *)stream, on_closed);
		return;
	}
	sent = uv_try_write(stream, &buf, 1);
	sent = sent < 0 ? 0 : sent;
	if ((size_t)sent < answer_len) {
		uv_write_t *write = malloc(sizeof(*write));

		REQUIRE(write);
		buf = uv_buf_init(answer + sent, (unsigned)(answer_len - (size_t)sent));
		REQUIRE(uv_write(write, stream, &buf, 1, on_written) == 0);
	}
}

static void on_connection(uv_stream_t *server, int status)
{
	uv_tcp_t *tcp = malloc(sizeof(*tcp));

	REQUIRE(status == 0 && tcp);
	REQUIRE(uv_tcp_init(server->loop, tcp) == 0);
	REQUIRE(uv_accept(server, (uv_stream_t *)tcp) == 0);
	REQUIRE(uv_tcp_nodelay(tcp, 1) == 0);
	REQUIRE(uv_read_start((uv_stream_t *)tcp, on_alloc, on_read) == 0);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address;
	uv_tcp_t server;

	REQUIRE(argc == 2);
	REQUIRE(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	read_answer();
	REQUIRE(uv_tcp_init(uv_default_loop(), &server) == 0);
	REQUIRE(uv_ip4_addr("127.0.0.1", atoi(argv[1]), &address) == 0);
	REQUIRE(uv_tcp_bind(&server, (const struct sockaddr *)&address, 0) == 0);
	REQUIRE(uv_listen((uv_stream_t *)&server, 1024, on_connection) == 0);
	return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
