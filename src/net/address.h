/*
 * Addresses as people write them:
 *	:9876  0.0.0.0:9876  [::]:9876  host:9876   unix:/path  unix:@name
 * An address without a host means all of them (listening: dual-stack, IPv4
 * alone where IPv6 is off; dialling: loopback).
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/util.h"

#define ADDRESS_TEXT_MAX 128

enum address_kind { ADDRESS_INET, ADDRESS_UNIX, ADDRESS_ABSTRACT };

/* What was written, taken apart; nothing is resolved yet. */
struct address_spec {
	enum address_kind kind;
	char host[256]; /* "" = none; without brackets */
	char port[16];  /* digits; "" = none given */
	char path[108]; /* unix: without the leading '@' */
};

struct address {
	struct sockaddr_storage storage;
	socklen_t len;
};

/* 0, or -EINVAL with a reason in `why`. `default_port` (may be NULL) fills a missing one. */
int address_parse(const char *text, const char *default_port, struct address_spec *ret, char *why,
		  size_t size);

/*
 * "127.0.0.1:9876" (also where a dual-stack socket maps it into IPv6),
 * "[::1]:9876", "[fe80::1%2]:9876", "unix:/run/x", "unix:@x", "unix:" (unnamed).
 * Always NUL-terminated.
 */
void address_format(const struct address *address, char text[ADDRESS_TEXT_MAX]);
/* The spec as it would be written, for messages. */
void address_spec_format(const struct address_spec *spec, char *text, size_t size);

/*
 * All addresses of the spec in the order to try; numeric ones without a lookup,
 * names by getaddrinfo (blocks: for use before the loop runs). The count, or a
 * negative errno-like UV_EAI code (net/loop.h: net_strerror()).
 */
int address_resolve(const struct address_spec *spec, bool passive, struct address *ret, size_t max);
