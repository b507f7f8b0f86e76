#include "base/random.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static uint64_t rotate_left(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

/*
 * splitmix64: a bijection of a counter, so that no seed, 0 included, gives the
 * all-zero state.
 */
static uint64_t spread(uint64_t *counter)
{
	uint64_t z = *counter += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void random_seed(struct random *random, uint64_t seed)
{
	for (unsigned i = 0; i < 4; i++) {
		random->state[i] = spread(&seed);
	}
}

uint64_t random_entropy(void)
{
	uint64_t seed;
	struct timespec now;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed)) {
		return seed;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	seed = (uint64_t)now.tv_sec << 32 ^ (uint64_t)now.tv_nsec << 16 ^ (uint64_t)getpid();
	return spread(&seed);
}

/* xoshiro256**: period 2^256 - 1. */
uint64_t random_next(struct random *random)
{
	uint64_t *s = random->state;
	uint64_t result = rotate_left(s[1] * 5, 7) * 9;
	uint64_t shifted = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= shifted;
	s[3] = rotate_left(s[3], 45);
	return result;
}

/*
 * 2^64 is rarely a multiple of `bound`: of the 2^64 draws the first
 * 2^64 mod bound are thrown away, and what is left covers each remainder
 * equally often. `-bound % bound` is that number in 64 bits.
 */
uint64_t random_below(struct random *random, uint64_t bound)
{
	uint64_t surplus = -bound % bound;
	uint64_t draw;

	do {
		draw = random_next(random);
	} while (draw < surplus);
	return draw % bound;
}

double random_unit(struct random *random)
{
	return (double)(random_next(random) >> 11) * 0x1.0p-53;
}
