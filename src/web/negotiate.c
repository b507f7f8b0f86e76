#include "web/negotiate.h"

#include "base/util.h"
#include "metrics/exposition.h"

#define TEXT EXPOSITION_TEXT_TYPE

/* One alternative of a list: its name, its weight in thousandths, and what else matters here. */
struct clause {
	struct str name, version, escaping;
	int weight;
};

static bool is_name(struct str s, const char *name)
{
	return str_equal_nocase(s, str_from(name));
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
		if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"') {
			value = (struct str){ value.data + 1, value.len - 2 };
		}
		if (is_name(name, "q")) {
			ret->weight = MAX(parse_weight(value), 0);
		} else if (is_name(name, "version")) {
			ret->version = value;
		} else if (is_name(name, "escaping")) {
			ret->escaping = value;
		}
	}
	return true;
}

const char *negotiate_text(const struct http1_request *request)
{
	const struct http1_header *header = NULL;
	struct str escaping = { NULL, 0 };
	int best = 0;

	while ((header = http1_request_next(request, STR("Accept"), header))) {
		struct str list = header->value;
		struct clause clause;

		while (next_clause(&list, &clause)) {
			if (is_name(clause.name, "text/plain") && clause.weight > best &&
			    (clause.version.len == 0 || is_name(clause.version, "0.0.4"))) {
				best = clause.weight;
				escaping = clause.escaping;
			}
		}
	}
	return is_name(escaping, "underscores") ? TEXT "; escaping=underscores"
	       : is_name(escaping, "dots")      ? TEXT "; escaping=dots"
	       : is_name(escaping, "values")    ? TEXT "; escaping=values"
						: TEXT;
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
