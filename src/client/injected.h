/*
 * What the trailers of a reply say was done to its call on purpose: `echod-fault`, the
 * server's own word for the fault, and `echod-delay-ns`. A call that was reset, or lost
 * its connection, has no trailers: nobody can tell it from another that was.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "grpc/metadata.h"
#include "service/faults.h"

/* A status by its number; the others follow. */
enum injected_word {
	INJECTED_NOTHING = 0,
	INJECTED_LAST_STATUS = 16,
#define X(symbol, text) INJECTED_##symbol,
	FAULT_ABORTS(X)
#undef X
		INJECTED_OTHER, /* a word that this echod does not know */
	INJECTED_WORDS
};

/* No server of ours delays a call for longer; what says more is not believed. */
#define INJECTED_LONGEST_DELAY_NS DELAY_LONGEST_NS

struct injected {
	enum injected_word word;
	int64_t delay_ns; /* 0: none */
};

/* INJECTED_OTHER where it is none of those that there are. */
enum injected_word injected_word(struct str text);
/* "UNAVAILABLE", "truncate", "other". */
const char *injected_word_name(enum injected_word word);
/* Does the word say that the call ends with one status, and this is another? */
static inline bool injected_changed(enum injected_word word, enum grpc_status status)
{
	return word != INJECTED_NOTHING && word <= INJECTED_LAST_STATUS && (int)word != (int)status;
}

/* True: it is one of the two, and `injected` has it, unless it had one before. */
bool injected_read(const struct metadata_entry *entry, struct injected *injected);
