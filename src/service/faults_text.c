#include "service/faults_p.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHARE_DECIMALS 7 /* of a percentage: FAULTS_PERCENT is ten to that power */

int faults_next_item(const char **rest, char ret_item[FAULTS_ITEM_SIZE], char *why, size_t size)
{
	const char *item = *rest;
	size_t len;

	if (!item) {
		return 0;
	}
	len = strcspn(item, ",");
	if (len == 0) {
		snprintf(why, size, "has an item that is empty");
		return -1;
	}
	if (len >= FAULTS_ITEM_SIZE) {
		snprintf(why, size, "has an item of more than %d characters", FAULTS_ITEM_SIZE - 1);
		return -1;
	}
	memcpy(ret_item, item, len);
	ret_item[len] = '\0';
	*rest = item[len] == ',' ? item + len + 1 : NULL;
	return 1;
}

int faults_refuse(const char *part, const char *reason, char *why, size_t size)
{
	snprintf(why, size, "has \"%.32s\", which %s", part, reason);
	return -1;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int faults_share_parse(const char *text, uint32_t *ret_share, char *why, size_t size)
{
	const char *c = text;
	uint64_t share = 0;
	uint32_t unit = FAULTS_PERCENT;

	if (!is_digit(*c)) {
		return faults_refuse(text, "is no percentage (as in 2 or 0.5)", why, size);
	}
	for (; is_digit(*c); c++) {
		/* what is too much stays so, and does not wrap */
		share = MIN(share * 10 + (uint64_t)(*c - '0') * unit, UINT64_C(10) * FAULTS_WHOLE);
	}
	if (*c == '.' && is_digit(c[1])) {
		for (c++; is_digit(*c); c++) {
			unit /= 10;
			if (unit == 0 && *c != '0') {
				return faults_refuse(text, "is finer than 0.0000001 %", why, size);
			}
			share += (uint64_t)(*c - '0') * unit;
		}
	}
	if (*c != '\0') {
		return faults_refuse(text, "is no percentage (as in 2 or 0.5)", why, size);
	}
	if (share > FAULTS_WHOLE) {
		return faults_refuse(text, "is more than 100 %", why, size);
	}
	*ret_share = (uint32_t)share;
	return 0;
}

void faults_share_print(uint32_t share, char text[FAULTS_SHARE_SIZE])
{
	uint32_t fraction = share % FAULTS_PERCENT;
	int decimals = SHARE_DECIMALS;

	if (fraction == 0) {
		snprintf(text, FAULTS_SHARE_SIZE, "%" PRIu32, share / FAULTS_PERCENT);
		return;
	}
	while (fraction % 10 == 0) {
		fraction /= 10;
		decimals--;
	}
	snprintf(text, FAULTS_SHARE_SIZE, "%" PRIu32 ".%0*" PRIu32,
		 (uint32_t)(share / FAULTS_PERCENT) % 1000, decimals, fraction);
}
