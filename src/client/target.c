#include "client/target.h"

#include <stdio.h>
#include <string.h>

static void set_authority(struct target *target)
{
	const struct address_spec *spec = &target->spec;
	char *text = target->authority;
	size_t size = sizeof(target->authority);

	if (spec->kind != ADDRESS_INET) {
		snprintf(text, size, "localhost");
	} else if (spec->host[0] == '\0') {
		snprintf(text, size, "localhost:%s", spec->port);
	} else if (strchr(spec->host, ':')) {
		snprintf(text, size, "[%s]:%s", spec->host, spec->port);
	} else {
		snprintf(text, size, "%s:%s", spec->host, spec->port);
	}
}

int target_parse(const char *text, struct target *ret, char *why, size_t size)
{
	char reason[160];

	if (text[0] == '\0') {
		snprintf(why, size, "target \"\": is empty");
		return -1;
	}
	if (address_parse(text, TARGET_DEFAULT_PORT, &ret->spec, reason, sizeof(reason)) < 0) {
		snprintf(why, size, "target \"%.64s\": %s", text, reason);
		return -1;
	}
	address_spec_format(&ret->spec, ret->text, sizeof(ret->text));
	set_authority(ret);
	return 0;
}
