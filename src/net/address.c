#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

static int complain(char *why, size_t size, const char *text)
{
	snprintf(why, size, "%s", text);
	return -EINVAL;
}

static int parse_unix(const char *path, struct address_spec *spec, char *why, size_t size)
{
	spec->kind = ADDRESS_UNIX;
	if (*path == '@') {
		spec->kind = ADDRESS_ABSTRACT;
		path++;
	}
	if (*path == '\0') {
		return complain(why, size, "has no path after unix:");
	}
	if (strlen(path) >= sizeof(spec->path)) {
		return complain(why, size, "has a path longer than 107 bytes");
	}
	snprintf(spec->path, sizeof(spec->path), "%s", path);
	return 0;
}

static int parse_port(const char *text, struct address_spec *spec, char *why, size_t size)
{
	size_t n = strspn(text, "0123456789");
	long port = n > 0 && n <= 5 && text[n] == '\0' ? strtol(text, NULL, 10) : -1;

	if (port < 0 || port > 65535) {
		return complain(why, size, "has a port that is not a number from 0 to 65535");
	}
	snprintf(spec->port, sizeof(spec->port), "%ld", port);
	return 0;
}

/* "[::1]:9876": the host without its brackets. */
static int parse_bracketed(const char *text, struct str *ret_host, const char **ret_port, char *why,
			   size_t size)
{
	const char *end = strchr(text, ']');
	char host[INET6_ADDRSTRLEN];
	struct in6_addr ignored;
	size_t n;

	if (!end || (end[1] != '\0' && end[1] != ':')) {
		return complain(why, size, "has a '[' without its ']'");
	}
	*ret_host = (struct str){ text + 1, (size_t)(end - text - 1) };
	*ret_port = end[1] == ':' ? end + 2 : NULL;
	n = strcspn(text + 1, "%]"); /* without the scope */
	if (n < sizeof(host)) {
		memcpy(host, text + 1, n);
		host[n] = '\0';
	}
	if (n >= sizeof(host) || inet_pton(AF_INET6, host, &ignored) != 1) {
		return complain(why, size, "has something in brackets that is no IPv6 address");
	}
	return 0;
}

static int parse_inet(const char *text, const char *default_port, struct address_spec *spec,
		      char *why, size_t size)
{
	struct str host;
	const char *port;

	if (*text == '[') {
		int rv = parse_bracketed(text, &host, &port, why, size);

		if (rv < 0) {
			return rv;
		}
	} else {
		const char *colon = strchr(text, ':');

		if (strstr(text, "://")) {
			return complain(why, size,
					"is a URL: an address is HOST:PORT or unix:/PATH");
		}
		if (strchr(text, ',')) {
			return complain(why, size, "is a list, where one address is wanted");
		}
		if (colon && strchr(colon + 1, ':')) {
			return complain(why, size, "is an IPv6 address without brackets");
		}
		host = (struct str){ text, colon ? (size_t)(colon - text) : strlen(text) };
		port = colon ? colon + 1 : NULL;
	}
	if (host.len >= sizeof(spec->host)) {
		return complain(why, size, "has a host longer than 255 bytes");
	}
	memcpy(spec->host, host.data, host.len);
	spec->host[host.len] = '\0';
	if (strpbrk(spec->host, " \t/@[]")) {
		return complain(why, size, "has a host that is none");
	}
	if (!port) {
		port = default_port;
	}
	if (!port) {
		return complain(why, size, "has no port");
	}
	return parse_port(port, spec, why, size);
}

int address_parse(const char *text, const char *default_port, struct address_spec *ret, char *why,
		  size_t size)
{
	struct address_spec spec = { .kind = ADDRESS_INET };
	int rv = strncmp(text, "unix:", 5) == 0 ? parse_unix(text + 5, &spec, why, size)
						: parse_inet(text, default_port, &spec, why, size);

	if (rv == 0) {
		*ret = spec;
	}
	return rv;
}

static void format_unix(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;
	size_t head = offsetof(struct sockaddr_un, sun_path);
	size_t n = address->len > head ? address->len - head : 0;

	if (n > 0 && un->sun_path[0] == '\0') {
		snprintf(text, ADDRESS_TEXT_MAX, "unix:@%.*s", (int)n - 1, un->sun_path + 1);
	} else {
		snprintf(text, ADDRESS_TEXT_MAX, "unix:%.*s", (int)strnlen(un->sun_path, n),
			 un->sun_path);
	}
}

static void format_inet(const struct in_addr *addr, in_port_t port, char text[ADDRESS_TEXT_MAX])
{
	char host[INET_ADDRSTRLEN] = "?";

	inet_ntop(AF_INET, addr, host, sizeof(host));
	snprintf(text, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(port));
}

static void format_inet6(const struct sockaddr_in6 *in6, char text[ADDRESS_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN] = "?", scope[12] = ""; /* %4294967295 */
	struct in_addr mapped;

	/* What a dual-stack socket calls ::ffff:192.0.2.1, people call 192.0.2.1. */
	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		memcpy(&mapped, in6->sin6_addr.s6_addr + 12, sizeof(mapped));
		format_inet(&mapped, in6->sin6_port, text);
		return;
	}
	inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
	if (in6->sin6_scope_id) {
		snprintf(scope, sizeof(scope), "%%%u", in6->sin6_scope_id);
	}
	snprintf(text, ADDRESS_TEXT_MAX, "[%s%s]:%u", host, scope, ntohs(in6->sin6_port));
}

void address_format(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&address->storage;

	switch (address->storage.ss_family) {
	case AF_INET:
		format_inet(&in->sin_addr, in->sin_port, text);
		break;
	case AF_INET6:
		format_inet6((const struct sockaddr_in6 *)&address->storage, text);
		break;
	case AF_UNIX:
		format_unix(address, text);
		break;
	default:
		snprintf(text, ADDRESS_TEXT_MAX, "unknown");
	}
}

void address_spec_format(const struct address_spec *spec, char *text, size_t size)
{
	switch (spec->kind) {
	case ADDRESS_UNIX:
		snprintf(text, size, "unix:%s", spec->path);
		break;
	case ADDRESS_ABSTRACT:
		snprintf(text, size, "unix:@%s", spec->path);
		break;
	default:
		snprintf(text, size, strchr(spec->host, ':') ? "[%s]:%s" : "%s:%s", spec->host,
			 spec->port);
	}
}

static int resolve_unix(const struct address_spec *spec, struct address *ret)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&ret->storage;
	size_t head = offsetof(struct sockaddr_un, sun_path), n = strlen(spec->path);

	memset(ret, 0, sizeof(*ret));
	un->sun_family = AF_UNIX;
	if (spec->kind == ADDRESS_ABSTRACT) {
		n = MIN(n, sizeof(un->sun_path) - 1);
		memcpy(un->sun_path + 1, spec->path, n);
		ret->len = (socklen_t)(head + 1 + n); /* exactly: no NUL belongs to the name */
	} else {
		memcpy(un->sun_path, spec->path, n + 1);
		ret->len = (socklen_t)(head + n + 1);
	}
	return 1;
}

int address_resolve(const struct address_spec *spec, bool passive, struct address *ret, size_t max)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0) };
	struct addrinfo *found;
	size_t n = 0;
	int rv;

	if (spec->kind != ADDRESS_INET) {
		return max > 0 ? resolve_unix(spec, ret) : 0;
	}
	rv = getaddrinfo(spec->host[0] ? spec->host : NULL, spec->port, &hints, &found);
	if (rv != 0) {
		switch (rv) {
		case EAI_MEMORY:
			return UV_EAI_MEMORY;
		case EAI_AGAIN:
			return UV_EAI_AGAIN;
		case EAI_SYSTEM:
			return -errno;
		default:
			return UV_EAI_NONAME;
		}
	}
	for (const struct addrinfo *one = found; one && n < max; one = one->ai_next) {
		memset(&ret[n], 0, sizeof(ret[n]));
		memcpy(&ret[n].storage, one->ai_addr, one->ai_addrlen);
		ret[n].len = one->ai_addrlen;
		n++;
	}
	freeaddrinfo(found);
	return (int)n;
}
