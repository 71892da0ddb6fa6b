#!/usr/bin/env python3
"""Makes arrays/ops_*.safetensors with PyTorch from the table ops.cases: outputs and gradients of single operations.

Everything is computed in double precision from closed_form(0, CASE/NAME): inputs `x` (and `y`), the upstream gradient `grad`,
weights and running statistics. Arrays of more than 1,000 numbers keep every 31st of them.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F

import safetensors_file
from closed_form import closed_form, closed_form_labels, closed_form_state

HERE = os.path.dirname(os.path.abspath(__file__))
WHOLE, EVERY = 1000, 31


def array(case, name, shape, p):
    x = closed_form(0, f"{case}/{name}", shape, p["offset"], p["scale"])
    return torch.from_numpy(x).double().requires_grad_()


def state(case, name, shape):
    return torch.from_numpy(closed_form_state(0, f"{case}/{name}", shape)).double().requires_grad_()


# Each takes the case and its parameters and returns the output, and what is kept beside the gradients; the leaves that want a
# gradient are in `leaves`.

def conv2d(case, p, x, leaves):
    leaves["weight"] = state(case, "weight", (p["channels"], x.shape[1], p["kernel"], p["kernel"]))
    return F.conv2d(x, leaves["weight"], stride=p["stride"], padding=p["padding"]), {}


def batch_norm(case, p, x, leaves):
    channels = (x.shape[1],)
    for name in ("weight", "bias"):
        leaves[name] = state(case, name, channels)
    running = {name: state(case, name, channels).detach() for name in ("running_mean", "running_var")}
    out = F.batch_norm(x, *running.values(), leaves["weight"], leaves["bias"], training=p["train"] == 1)
    return out, running


def relu(case, p, x, leaves):
    assert x.detach().abs().min() > 1e-5
    return F.relu(x), {}


def gelu(case, p, x, leaves):
    return F.gelu(x), {}


def add(case, p, x, leaves):
    leaves["y"] = array(case, "y", tuple(x.shape), p)
    return x + leaves["y"], {}


def global_avg_pool(case, p, x, leaves):
    return x.mean((2, 3)), {}


def linear(case, p, x, leaves):
    leaves["weight"] = state(case, "weight", (p["features"], x.shape[1]))
    leaves["bias"] = state(case, "bias", (p["features"],))
    return F.linear(x, leaves["weight"], leaves["bias"]), {}


def cross_entropy(case, p, x, leaves):
    labels = torch.from_numpy(closed_form_labels(0, f"{case}/labels", *x.shape))
    return F.cross_entropy(x, labels, reduction="none"), {}


OPS = {op.__name__: op for op in (conv2d, batch_norm, relu, gelu, add, global_avg_pool, linear, cross_entropy)}


def cases():
    with open(os.path.join(HERE, "ops.cases")) as file:
        for line in file:
            words = line.split("#")[0].split()
            if words:
                p = dict(word.split("=") for word in words[1:])
                shape = tuple(int(dim) for dim in p.pop("x").split(","))
                yield words[0], shape, {"offset": 0, "scale": 1, **{key: int(value) for key, value in p.items()}}


def compute(case, shape, p):
    leaves = {"x": array(case, "x", shape, p)}
    out, kept = OPS[case.split("/")[0]](case, p, leaves["x"], leaves)
    out.backward(array(case, "grad", tuple(out.shape), {"offset": 0, "scale": 1}).detach())
    kept.update({"out": out.detach()}, **{"d_" + name: leaf.grad for name, leaf in leaves.items()})
    return kept


def main():
    files = {}
    for case, shape, p in cases():
        rows = files.setdefault("conv2d" if case.startswith("conv2d") else "rest", {})
        for name, value in compute(case, shape, p).items():
            flat = value.numpy().astype("<f4").ravel()
            flat = flat if flat.size <= WHOLE else flat[::EVERY]
            rows[f"{case}/{name}"] = ("F32", flat.shape, flat.tobytes())
    for name, rows in files.items():
        path = os.path.join(HERE, "arrays", f"ops_{name}.safetensors")
        safetensors_file.write(path, rows)
        assert os.path.getsize(path) < 200_000
        print(f"ops_{name}.safetensors: {len(rows)} arrays, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
