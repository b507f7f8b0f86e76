#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

static bool continues(unsigned char byte)
{
	return (byte & 0xc0) == 0x80;
}

/*
 * Length of the sequence of two to four bytes at `p`, of which `n` can be
 * read; 0: not valid. The second byte's range is what shuts out overlong forms,
 * surrogates and numbers past U+10FFFF (RFC 3629 4):
 *
 *	C2..DF  80..BF
 *	E0      A0..BF  80..BF		below A0: overlong
 *	E1..EF  80..BF  80..BF		ED: 80..9F, above: surrogates
 *	F0      90..BF  80..BF  80..BF	below 90: overlong
 *	F1..F4  80..BF  80..BF  80..BF	F4: 80..8F, above: past U+10FFFF
 */
static size_t sequence(const unsigned char *p, size_t n)
{
	unsigned char lead = p[0];
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (lead < 0xc2 || lead > 0xf4) {
		return 0;
	}
	if (lead < 0xe0) {
		len = 2;
	} else if (lead < 0xf0) {
		len = 3;
		low = lead == 0xe0 ? 0xa0 : 0x80;
		high = lead == 0xed ? 0x9f : 0xbf;
	} else {
		len = 4;
		low = lead == 0xf0 ? 0x90 : 0x80;
		high = lead == 0xf4 ? 0x8f : 0xbf;
	}
	if (n < len || p[1] < low || p[1] > high) {
		return 0;
	}
	for (size_t i = 2; i < len; i++) {
		if (!continues(p[i])) {
			return 0;
		}
	}
	return len;
}

/*
 * Where the ASCII that begins at `i` ends: eight bytes at a time, no high bit
 * in any of them. The last word of a text may overlap the one before: fewer
 * than eight bytes then need no loop of their own.
 */
static size_t ascii_end(const unsigned char *p, size_t i, size_t len)
{
	uint64_t word;

	for (; len - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, p + i, sizeof(word));
		if (word & HIGH_BITS) {
			break;
		}
	}
	if (len - i < sizeof(word) && len >= sizeof(word)) {
		memcpy(&word, p + len - sizeof(word), sizeof(word));
		if (!(word & HIGH_BITS)) {
			return len;
		}
	}
	while (i < len && p[i] < 0x80) {
		i++;
	}
	return i;
}

size_t utf8_valid_prefix(struct str text)
{
	const unsigned char *p = (const unsigned char *)text.data;
	size_t i = 0;

	while (i < text.len) {
		i = ascii_end(p, i, text.len);
		/* A run of another script goes on here, without a look for words of ASCII. */
		while (i < text.len && p[i] >= 0x80) {
			size_t len = sequence(p + i, text.len - i);

			if (len == 0) {
				return i;
			}
			i += len;
		}
	}
	return i;
}

bool utf8_valid(struct str text)
{
	return utf8_valid_prefix(text) == text.len;
}
