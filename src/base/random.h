/*
 * Seeded pseudo-random numbers (xoshiro256**): not for secrets. Passed at
 * creation to whatever needs chance, so that a test or a run can be repeated.
 */
#pragma once

#include <stdint.h>

struct random {
	uint64_t state[4];
};

/* Any seed is good, 0 included (splitmix64 spreads it). */
void random_seed(struct random *random, uint64_t seed);
/* A seed from the kernel (getrandom); falls back to clock and pid. */
uint64_t random_entropy(void);

uint64_t random_next(struct random *random);
/* Uniform in [0, bound), without bias; bound > 0. */
uint64_t random_below(struct random *random, uint64_t bound);
/* Uniform in [0, 1), 53 bits. */
double random_unit(struct random *random);
