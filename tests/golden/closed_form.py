"""The inputs and weights of the golden tests; closed_form.h makes the same bits in C (and explains them)."""
import numpy as np


def mix(x):
    x = np.asarray(x, dtype=np.uint32)
    with np.errstate(over="ignore"):
        x = x ^ (x >> np.uint32(16))
        x = x * np.uint32(0x7FEB352D)
        x = x ^ (x >> np.uint32(15))
        x = x * np.uint32(0x846CA68B)
        return x ^ (x >> np.uint32(16))


def hashes(seed, name, count):
    key = 2166136261
    for byte in name.encode():
        key = ((key ^ byte) * 16777619) & 0xFFFFFFFF
    key = int(mix(key ^ int(mix(seed))))
    index = np.arange(1, count + 1, dtype=np.uint64)
    return mix(((key + 0x9E3779B9 * index) & 0xFFFFFFFF).astype(np.uint32))


def closed_form(seed, name, shape, offset=0.0, scale=1.0):
    """A float32 array: offset + scale * u, u uniform in [-1,1)."""
    u = hashes(seed, name, int(np.prod(shape)))
    u = ((u >> np.uint32(8)).astype(np.int32) - (1 << 23)).astype(np.float32) / np.float32(1 << 23)
    return (np.float32(offset) + np.float32(scale) * u).astype(np.float32).reshape(shape)


def closed_form_labels(seed, name, count, classes):
    return (hashes(seed, name, count) % np.uint32(classes)).astype(np.int64)


def closed_form_state(seed, name, shape):
    """One entry of a network's state, its range chosen from name and shape alone."""
    if len(shape) > 1:
        return closed_form(seed, name, shape, 0.0, 1.0 / np.sqrt(float(np.prod(shape[1:]))))
    offset = 1.0 if name.replace("/", ".").rsplit(".", 1)[-1] in ("weight", "running_var") else 0.0
    return closed_form(seed, name, shape, offset, 0.25)
