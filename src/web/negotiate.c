#include "web/negotiate.h"

#include "base/util.h"
#include "metrics/exposition.h"

#define OPENMETRICS_DRAFT_TYPE "application/openmetrics-text; version=0.0.1; charset=utf-8"

/* What can be said of one body: its format, and a version of it. */
enum offer { OFFER_TEXT, OFFER_OPENMETRICS, OFFER_OPENMETRICS_DRAFT, OFFER_PROTOBUF, NO_OFFER };

static const enum negotiated_format formats[] = {
	[OFFER_TEXT] = NEGOTIATED_TEXT,
	[OFFER_OPENMETRICS] = NEGOTIATED_OPENMETRICS,
	[OFFER_OPENMETRICS_DRAFT] = NEGOTIATED_OPENMETRICS,
	[OFFER_PROTOBUF] = NEGOTIATED_PROTOBUF,
};

static const char *const escapings[] = { "allow-utf-8", "underscores", "dots", "values" };
#define NO_ESCAPING ARRAY_SIZE(escapings)

/* In the order of `escapings`, and without. */
#define TYPES(type)                                                             \
	{                                                                       \
		type "; escaping=allow-utf-8", type "; escaping=underscores",   \
			type "; escaping=dots", type "; escaping=values", type, \
	}
static const char *const content_types[][NO_ESCAPING + 1] = {
	[OFFER_TEXT] = TYPES(EXPOSITION_TEXT_TYPE),
	[OFFER_OPENMETRICS] = TYPES(EXPOSITION_OPENMETRICS_TYPE),
	[OFFER_OPENMETRICS_DRAFT] = TYPES(OPENMETRICS_DRAFT_TYPE),
	[OFFER_PROTOBUF] = TYPES(EXPOSITION_PROTOBUF_TYPE),
};

/*
 * One alternative of a list: its name, its weight in thousandths, and what else matters
 * here. Values are as sent, also in quotes.
 */
struct clause {
	struct str name, version, escaping, proto, encoding;
	int weight;
};

static bool is_name(struct str s, const char *name)
{
	return str_equal_nocase(s, str_from(name));
}

/* A parameter's value: a token, or the same in quotes, in which `\\` quotes what follows it. */
static bool is_value(struct str s, const char *value)
{
	size_t n = strlen(value), i = 0;
	bool quoted = s.len >= 2 && s.data[0] == '"' && s.data[s.len - 1] == '"';

	if (!quoted) {
		return is_name(s, value);
	}
	s = (struct str){ s.data + 1, s.len - 2 };
	for (; s.len > 0; i++) {
		if (s.data[0] == '\\' && s.len > 1) {
			s.data++;
			s.len--;
		}
		if (i == n || strncasecmp(s.data, value + i, 1) != 0) {
			return false;
		}
		s.data++;
		s.len--;
	}
	return i == n;
}

/* Cuts what stands before the first `separator` outside a quoted string off the front of `rest`. */
static struct str cut(struct str *rest, char separator)
{
	struct str part = { rest->data, 0 };
	bool quoted = false;

	while (part.len < rest->len && (quoted || part.data[part.len] != separator)) {
		if (quoted && part.data[part.len] == '\\' && part.len + 1 < rest->len) {
			part.len++;
		} else if (part.data[part.len] == '"') {
			quoted = !quoted;
		}
		part.len++;
	}

	size_t used = MIN(part.len + 1, rest->len);

	rest->data += used;
	rest->len -= used;
	return str_trim(part);
}

/* RFC 9110 12.4.2: 0 to 1 with at most three decimals; in thousandths, -1 for anything else. */
static int parse_weight(struct str s)
{
	int weight = 0, unit = 1000;

	if (s.len == 0 || s.len > 5 || (s.len > 1 && s.data[1] != '.')) {
		return -1;
	}
	for (size_t i = 0; i < s.len; i++) {
		if (i == 1) {
			continue;
		}
		if (s.data[i] < '0' || s.data[i] > '9') {
			return -1;
		}
		weight += (s.data[i] - '0') * unit;
		unit /= 10;
	}
	return weight <= 1000 ? weight : -1;
}

static struct str unquoted(struct str s)
{
	if (s.len >= 2 && s.data[0] == '"' && s.data[s.len - 1] == '"') {
		return (struct str){ s.data + 1, s.len - 2 };
	}
	return s;
}

/* False at the end of the list. A weight that cannot be read is 0: such a clause does not count. */
static bool next_clause(struct str *list, struct clause *ret)
{
	if (list->len == 0) {
		return false;
	}

	struct str rest = cut(list, ',');

	*ret = (struct clause){ .name = cut(&rest, ';'), .weight = 1000 };
	while (rest.len > 0) {
		struct str value = cut(&rest, ';');
		struct str name = cut(&value, '=');

		value = str_trim(value);
		if (is_name(name, "q")) {
			ret->weight = MAX(parse_weight(unquoted(value)), 0);
		} else if (is_name(name, "version")) {
			ret->version = value;
		} else if (is_name(name, "escaping")) {
			ret->escaping = value;
		} else if (is_name(name, "proto")) {
			ret->proto = value;
		} else if (is_name(name, "encoding")) {
			ret->encoding = value;
		}
	}
	return true;
}

/* What is offered by this name; of no version that there is: nothing. */
static enum offer offer_of(const struct clause *clause, bool openmetrics)
{
	bool any = clause->version.len == 0;

	if (is_name(clause->name, "text/plain")) {
		return any || is_value(clause->version, "0.0.4") ? OFFER_TEXT : NO_OFFER;
	}
	if (openmetrics && is_name(clause->name, "application/openmetrics-text")) {
		return any || is_value(clause->version, "1.0.0") ? OFFER_OPENMETRICS
		       : is_value(clause->version, "0.0.1")      ? OFFER_OPENMETRICS_DRAFT
								 : NO_OFFER;
	}
	if (is_name(clause->name, "application/vnd.google.protobuf") &&
	    is_value(clause->proto, "io.prometheus.client.MetricFamily") &&
	    is_value(clause->encoding, "delimited")) {
		return OFFER_PROTOBUF;
	}
	return NO_OFFER;
}

static size_t escaping_of(const struct clause *clause)
{
	size_t i = 0;

	while (i < NO_ESCAPING && !is_value(clause->escaping, escapings[i])) {
		i++;
	}
	return i;
}

/* The best so far, and its place in the list, by which the first wins. */
struct choice {
	enum offer offer;
	size_t escaping;
	int weight;
	unsigned place;
};

/*
 * The most specific clause for a type is the one that counts (RFC 9110 12.5.1): a range
 * does only where text is not named.
 */
static bool range_wins(const struct choice *range, const struct choice *best, bool text_is_named)
{
	return !text_is_named && (range->weight > best->weight ||
				  (range->weight == best->weight && range->place < best->place));
}

struct negotiated negotiate_format(const struct http1_request *request, bool openmetrics)
{
	const struct http1_header *header = NULL;
	struct choice best = { .offer = OFFER_TEXT, .escaping = NO_ESCAPING }, range = best;
	bool text_is_named = false;
	unsigned place = 0;

	while ((header = http1_request_next(request, STR("Accept"), header))) {
		struct str list = header->value;
		struct clause clause;

		for (; next_clause(&list, &clause); place++) {
			enum offer offer = offer_of(&clause, openmetrics);

			text_is_named |= offer == OFFER_TEXT;
			if (offer != NO_OFFER && clause.weight > best.weight) {
				best = (struct choice){ offer, escaping_of(&clause), clause.weight,
							place };
			} else if ((is_name(clause.name, "*/*") ||
				    is_name(clause.name, "text/*")) &&
				   clause.weight > range.weight) {
				range.weight = clause.weight;
				range.place = place;
			}
		}
	}
	if (range_wins(&range, &best, text_is_named)) {
		best = range;
	}
	return (struct negotiated){ formats[best.offer], content_types[best.offer][best.escaping] };
}

bool negotiate_gzip(const struct http1_request *request)
{
	const struct http1_header *header = NULL;
	int named = -1, any = 0;

	while ((header = http1_request_next(request, STR("Accept-Encoding"), header))) {
		struct str list = header->value;
		struct clause clause;

		while (next_clause(&list, &clause)) {
			if (is_name(clause.name, "gzip") || is_name(clause.name, "x-gzip")) {
				named = MAX(named, clause.weight);
			} else if (is_name(clause.name, "*")) {
				any = clause.weight;
			}
		}
	}
	return (named >= 0 ? named : any) > 0;
}
