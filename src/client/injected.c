#include "client/injected.h"

static const char *const aborts[] = {
#define X(symbol, text) text,
	FAULT_ABORTS(X)
#undef X
		"other",
};

_Static_assert(GRPC_STATUS_COUNT == 17, "INJECTED_LAST_STATUS is the last");
_Static_assert(INJECTED_LAST_STATUS + 1 + ARRAY_SIZE(aborts) == INJECTED_WORDS,
	       "a name for each word");

const char *injected_word_name(enum injected_word word)
{
	return word <= INJECTED_LAST_STATUS ? grpc_status_name((int)word)
					    : aborts[word - INJECTED_LAST_STATUS - 1];
}

enum injected_word injected_word(struct str text)
{
	for (int word = INJECTED_NOTHING + 1; word < INJECTED_OTHER; word++) {
		if (str_equal(text, str_from(injected_word_name((enum injected_word)word)))) {
			return (enum injected_word)word;
		}
	}
	return INJECTED_OTHER;
}

/* 0: none, or none that can be. */
static int64_t read_delay(struct str text)
{
	int64_t ns = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9') {
			return 0;
		}
		ns = ns * 10 + (text.data[i] - '0');
		if (ns > INJECTED_LONGEST_DELAY_NS) {
			return 0;
		}
	}
	return ns;
}

bool injected_read(const struct metadata_entry *entry, struct injected *injected)
{
	if (str_equal(entry->name, STR("echod-fault"))) {
		if (injected->word == INJECTED_NOTHING) {
			injected->word = injected_word(entry->value);
		}
	} else if (str_equal(entry->name, STR("echod-delay-ns"))) {
		if (injected->delay_ns == 0) {
			injected->delay_ns = read_delay(entry->value);
		}
	} else {
		return false;
	}
	return true;
}
