#!/usr/bin/env python3
"""Makes arrays/search_*.safetensors with PyTorch: one DARTS step of small supernets, as the public code takes it. First the
architecture on batch 0 (Adam 3e-4, betas 0.5 and 0.999, weight decay 1e-3), then the weights on batch 1 (SGD 0.025, momentum 0.9, weight
decay 3e-4, clipped to CLIP, which is less than the norm here). In the second order the momenta are closed forms, too, and the
architecture's gradient is L_val's at the weights one step ahead, less the mixed derivative by a finite difference.

A file holds val/loss, val/NAME of each gradient of the architecture, train/loss, the norm of the weights' gradients, and end/NAME of all
weights and alphas after the step; of the second order also norm/ahead, that of v. A seed is chosen as in make_models.py, of all passes; in
the second order the two precisions have to agree to ten times as much, and on what everything is at the end as well.
"""
import torch
import torch.nn.functional as F

from cells import MODELS
from closed_form import closed_form
from make_models import disagreement, thinned, watch_kinks
from make_resnet import AGREEMENT, KINK, batch, fill, relative, save

CLIP, EVERY = 0.5, 7
RATE, MOMENTUM, DECAY, LENGTH = 0.025, 0.9, 3e-4, 0.01
MOMENTA = 0.1  # their range


def is_architecture(name):
    return name.startswith(("alphas", "betas"))


def momenta(seed, weights, dtype):
    return [torch.from_numpy(closed_form(seed, "momentum/" + name, tuple(p.shape), 0.0, MOMENTA)).to(dtype) for name, p in weights.items()]


def second_order(model, alphas, weights, buffers, train, val, results):
    """Leaves the gradient in the alphas' .grad."""
    def loss_of(data):
        return F.cross_entropy(model(data[0]), data[1])

    def put(values):
        with torch.no_grad():
            for p, value in zip(weights.values(), values):
                p.copy_(value)

    origin = [p.detach().clone() for p in weights.values()]
    gradients = torch.autograd.grad(loss_of(train), list(weights.values()))
    put([w - RATE * (MOMENTUM * b + g + DECAY * w) for w, b, g in zip(origin, buffers, gradients)])
    loss = loss_of(val)
    both = torch.autograd.grad(loss, list(alphas.values()) + list(weights.values()))
    direct, v = both[:len(alphas)], both[len(alphas):]
    results["norm/ahead"] = torch.cat([x.flatten() for x in v]).norm()
    eps = LENGTH / results["norm/ahead"]
    sides = []
    for sign in (1, -1):
        put([w + sign * eps * x for w, x in zip(origin, v)])
        sides.append(torch.autograd.grad(loss_of(train), list(alphas.values())))
    put(origin)
    for p, d, plus, minus in zip(alphas.values(), direct, *sides):
        p.grad = d - RATE * (plus - minus) / (2 * eps)
    return loss


def step(seed, params, images, size, order, dtype):
    model = fill(seed, MODELS["supernet"](dict(size=size, channels=3, classes=10), params), dtype).train()
    alphas = {name: p for name, p in model.named_parameters() if is_architecture(name)}
    weights = {name: p for name, p in model.named_parameters() if not is_architecture(name)}
    adam = torch.optim.Adam(alphas.values(), lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
    sgd = torch.optim.SGD(weights.values(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    val, train = (batch(seed, number, images, size, dtype) for number in (0, 1))
    nearest = watch_kinks(model)
    results = {}
    if order == 2:
        buffers = momenta(seed, weights, dtype)
        for p, buffer in zip(weights.values(), buffers):
            sgd.state[p]["momentum_buffer"] = buffer.clone()
        results["val/loss"] = second_order(model, alphas, weights, buffers, train, val, results).detach()
    else:
        results["val/loss"] = F.cross_entropy(model(val[0]), val[1])
        results["val/loss"].backward()
    results.update({"val/" + key: p.grad.clone() for key, p in alphas.items()})
    adam.step()
    model.zero_grad(set_to_none=True)
    results["train/loss"] = F.cross_entropy(model(train[0]), train[1])
    results["train/loss"].backward()
    results["norm"] = torch.nn.utils.clip_grad_norm_(list(weights.values()), CLIP)
    sgd.step()
    results.update({"end/" + key: value for key, value in model.named_parameters()})
    return model, results, min(nearest)


def gap_of(single, model, rounded, results, order):
    """Between the precisions, in units of what is asked for."""
    def largest(prefix):
        return max(relative(rounded[key], value) for key, value in results.items() if key.startswith(prefix))

    if order == 1:
        return max(disagreement(single, model), largest("val"))
    return max(disagreement(single, model), largest("val") / 10, largest("end"))


def make_case(name, params, images, size, order=1):
    for seed in range(5000):
        model, results, kink = step(seed, params, images, size, order, torch.float64)
        if kink < KINK or results["norm"] <= CLIP:
            continue
        single, rounded, _ = step(seed, params, images, size, order, torch.float32)
        gap = gap_of(single, model, rounded, results, order)
        if gap <= AGREEMENT:
            break
    else:
        raise SystemExit(f"{name}: no seed does")
    print(f"{name}: seed {seed}: {images} images of {size}x{size}x3; nearest kink {kink:.2g}; fp32 and fp64 gradients agree to {gap:.2g}", flush=True)
    save(name, {key: thinned(key, value, EVERY) for key, value in results.items()}, seed=seed, images=images, size=size, classes=10, every=EVERY,
         clip=CLIP, order=order, model="supernet", **{"model." + key: value for key, value in params.items()})


def main():
    torch.set_num_threads(1)
    make_case("search_s5", {"space": "s5", "channels": 2, "cells": 3}, images=17, size=8)
    make_case("search_s3_se_eca", {"space": "s3_se_eca", "channels": 4, "cells": 3, "reduction": 2}, images=18, size=8)
    make_case("search_second_s5", {"space": "s5", "channels": 2, "cells": 3}, images=4, size=8, order=2)
    make_case("search_second_pc_darts", {"space": "s3_se_eca", "partial": 4, "channels": 8, "cells": 3, "reduction": 1}, images=6, size=8, order=2)


if __name__ == "__main__":
    main()
