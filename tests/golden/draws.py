"""The numbers that leased's random operations draw (core/base/rng.h: Philox4x32-10), so that PyTorch gets the same."""
import math

RNG_OPERATION = 7
RNG_ATTACK = 10
RNG_EXPLAIN = 13
MASK = 0xFFFFFFFF


def philox(counter, key):
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


class Stream:
    """What one node of a graph draws for one image of the batch, in order."""

    def __init__(self, seed, node, step, image, purpose=RNG_OPERATION):
        self.key = seed & MASK, seed >> 32
        self.counter = [0, image, step, purpose | node << 8]
        self.words = []

    def word(self):
        if not self.words:
            self.words = list(philox(self.counter, self.key))
            self.counter[0] += 1
        return self.words.pop(0)

    def uniform(self):
        return (self.word() >> 8) * 2.0 ** -24

    def normal(self):
        u = (self.word() + 1.0) * 2.0 ** -32
        angle = 6.283185307179586 * self.word() * 2.0 ** -32
        return math.sqrt(-2.0 * math.log(u)) * math.cos(angle)


def streams(seed, node, step, images):
    return [Stream(seed, node, step, image) for image in range(images)]
