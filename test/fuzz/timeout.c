/* grpc-timeout: the parser against a slow one, and what is formatted against the parser. */
#include <errno.h>

#include "fuzz.h"
#include "grpc/wire.h"

static const struct {
	char name;
	int64_t ns;
} units[] = {
	{ 'n', 1 },        { 'u', 1000 },          { 'm', NS_PER_MS },
	{ 'S', NS_PER_S }, { 'M', 60 * NS_PER_S }, { 'H', 3600 * NS_PER_S },
};

static size_t unit_of(char name)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(units) && units[i].name != name) {
		i++;
	}
	return i;
}

__extension__ typedef __int128 wide; /* twice the room, so that nothing overflows */

/* -1: malformed. */
static wide slowly(struct str text)
{
	wide value = 0;

	if (text.len < 2 || text.len > 9 || unit_of(text.data[text.len - 1]) == ARRAY_SIZE(units)) {
		return -1;
	}
	for (size_t i = 0; i + 1 < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9') {
			return -1;
		}
		value = value * 10 + text.data[i] - '0';
	}
	value *= units[unit_of(text.data[text.len - 1])].ns;
	return value > INT64_MAX ? INT64_MAX : value;
}

static void parse(struct str text)
{
	wide expected = slowly(text);
	int64_t ns = -7;
	int rv = grpc_timeout_parse(text, &ns);

	MUST(rv == (expected < 0 ? -EINVAL : 0));
	MUST(ns == (rv == 0 ? (int64_t)expected : -7));
}

/* Never less than was asked for, by less than one unit more, in the smallest unit that fits. */
static void format(int64_t ns)
{
	char text[16];
	size_t n = grpc_timeout_format(ns, text), unit;
	int64_t back = -1, wanted = MAX(ns, 0);

	MUST(n >= 2 && n <= 9 && text[n] == '\0');
	MUST(grpc_timeout_parse((struct str){ text, n }, &back) == 0);
	unit = unit_of(text[n - 1]);
	MUST(back >= wanted && back - wanted < units[unit].ns);
	MUST(unit == 0 || wanted > 99999999 * units[unit - 1].ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	int64_t ns;

	parse(input_text((struct bytes){ data, size }));
	ns = (int64_t)((uint64_t)input_number(&input, 4) << 32 | input_number(&input, 4));
	format(ns);
	format(ns >> (ns & 63));
	return 0;
}
