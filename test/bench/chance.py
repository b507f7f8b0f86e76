"""The server's dice (src/base/random.c), to know each delay and each fault beforehand."""

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

    def unit(self):
        """In [0, 1), of 53 bits."""
        return (self.next() >> 11) * 2.0**-53


def rotate_left(word, n):
    return (word << n | word >> 64 - n) & WORD


def delays_ms(seed, low_ms, high_ms, count):
    """What --echo.delay=uniform:LOW,HIGH --echo.seed=SEED draws for the first `count` calls."""
    chance = Chance(seed)
    return [low_ms + chance.below(high_ms - low_ms) for _ in range(count)]


def weighted_ns(seed, points, count):
    """What --echo.delay=DURATION:PERCENT,... draws: `points` are (ns, percent)."""
    chance = Chance(seed)

    def draw():
        drawn = chance.below(10**9)
        for ns, percent in points:
            share = round(percent * 10**7)
            if drawn < share:
                return ns
            drawn -= share
        return 0

    return [draw() for _ in range(count)]


def percentiles_ns(seed, points, count):
    """What --echo.delay=pPERCENT=DURATION,... draws: `points` are (percent, ns)."""
    chance = Chance(seed)
    shares = [(0, 0)] + [(round(percent * 10**7), ns) for percent, ns in points]

    def draw():
        at = chance.unit() * 10**9
        for (before, low), (share, high) in zip(shares, shares[1:]):
            if at < share:
                return int(low + (at - before) / (share - before) * (high - low))
        return shares[-1][1]

    return [draw() for _ in range(count)]


def faults(seed, shares, count):
    """What --echo.fault-mode=random does to the first `count` calls: an index of `shares`, which are percentages
    in the order of the flags, or None."""
    chance = Chance(~seed & WORD)
    bounds = [round(sum(shares[: i + 1]) * 10**7) for i in range(len(shares))]

    def throw():
        drawn = chance.below(10**9)
        return next((i for i, bound in enumerate(bounds) if drawn < bound), None)

    return [throw() for _ in range(count)]


def every_nth(shares, count):
    """The same of --echo.fault-mode=every-nth."""
    owed = [0] * len(shares)

    def add_up():
        for i, share in enumerate(shares):
            owed[i] += round(share * 10**7)
        met = next((i for i, each in enumerate(owed) if each >= 10**9), None)
        if met is not None:
            owed[met] -= 10**9
        return met

    return [add_up() for _ in range(count)]
