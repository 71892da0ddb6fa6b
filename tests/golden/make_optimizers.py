#!/usr/bin/env python3
"""Makes arrays/optimizers.safetensors with PyTorch from the table optimizers.cases: the weights after the first and after the
tenth step with given gradients.

The weights are two tensors, `a` and `b` = closed_form(0, CASE/NAME), the gradients of step k closed_form(0, CASE/NAME/k); the rate
of step k is lr * (1 - k/20). Everything is computed in double precision.
"""
import os

import torch

import safetensors_file
from closed_form import closed_form

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = {"a": 203, "b": 30}
STEPS = 10


def sgd(groups, p):
    return torch.optim.SGD(groups, momentum=p["momentum"], nesterov=p["nesterov"] == 1)


def adam(groups, p, kind=torch.optim.Adam):
    return kind(groups, betas=(p.get("beta1", 0.9), p.get("beta2", 0.999)), eps=p.get("eps", 1e-8))


def adamw(groups, p):
    return adam(groups, p, torch.optim.AdamW)


OPTIMIZERS = {"sgd": (sgd, 5e-4), "adam": (adam, 0), "adamw": (adamw, 0.01)}  # and PyTorch's (of sgd: our) default decay


def cases():
    with open(os.path.join(HERE, "optimizers.cases")) as file:
        for line in file:
            words = line.split("#")[0].split()
            if words:
                yield words[0], {key: float(value) for key, value in (word.split("=") for word in words[1:])}


def tensor(name, size):
    return torch.from_numpy(closed_form(0, name, (size,))).double()


def compute(case, p):
    make, decay = OPTIMIZERS[case.split("/")[0]]
    decay = p.get("weight_decay", decay)
    weights = {name: tensor(f"{case}/{name}", size).requires_grad_() for name, size in SIZES.items()}
    scale = {"a": 1, "b": p.get("lr_scale", 1)}
    groups = [{"params": [weights["a"]], "lr": p["lr"], "weight_decay": decay},
              {"params": [weights["b"]], "lr": p["lr"] * scale["b"], "weight_decay": decay * p.get("decay_scale", 1)}]
    optimizer = make(groups, p)
    for step in range(STEPS):
        for name, w in weights.items():
            w.grad = tensor(f"{case}/{name}/{step}", w.numel())
        if p.get("clip", 0) > 0:
            torch.nn.utils.clip_grad_norm_(weights.values(), p["clip"])
        for name, group in zip("ab", optimizer.param_groups):
            group["lr"] = p["lr"] * scale[name] * (1 - step / 20)
        optimizer.step()
        if step + 1 in (1, STEPS):
            for name, w in weights.items():
                yield f"{case}/{name}/after{step + 1}", w.detach().clone()


def main():
    rows = {}
    for case, p in cases():
        for name, value in compute(case, p):
            flat = value.numpy().astype("<f4")
            rows[name] = ("F32", flat.shape, flat.tobytes())
    path = os.path.join(HERE, "arrays", "optimizers.safetensors")
    safetensors_file.write(path, rows)
    assert os.path.getsize(path) < 200_000
    print(f"optimizers.safetensors: {len(rows)} arrays, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
