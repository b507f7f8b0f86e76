"""The server's drawing of delays (src/base/random.c), to know each one beforehand."""

WORD = (1 << 64) - 1


class Chance:
    """xoshiro256**, its state spread from the seed by splitmix64."""

    def __init__(self, seed):
        self.state = []
        for _ in range(4):
            seed = seed + 0x9E3779B97F4A7C15 & WORD
            word = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 & WORD
            word = (word ^ word >> 27) * 0x94D049BB133111EB & WORD
            self.state.append(word ^ word >> 31)

    def next(self):
        a, b, c, d = self.state
        result = rotate_left(b * 5 & WORD, 7) * 9 & WORD
        c, d = c ^ a, d ^ b
        self.state = [a ^ d, b ^ c, c ^ (b << 17 & WORD), rotate_left(d, 45)]
        return result

    def below(self, bound):
        """Without bias: the draws that would favour small remainders are thrown away."""
        surplus = -bound % (1 << 64) % bound
        while True:
            draw = self.next()
            if draw >= surplus:
                return draw % bound


def rotate_left(word, n):
    return (word << n | word >> 64 - n) & WORD


def delays_ms(seed, low_ms, high_ms, count):
    """What --echo.delay=uniform:LOW,HIGH --echo.seed=SEED draws for the first `count` calls."""
    chance = Chance(seed)
    return [low_ms + chance.below(high_ms - low_ms) for _ in range(count)]
