#!/usr/bin/env python3
"""Makes arrays/search_*.safetensors with PyTorch: one first-order DARTS step of small supernets, as the public code takes it. First the
architecture on batch 0 (Adam 3e-4, betas 0.5 and 0.999, weight decay 1e-3), then the weights on batch 1 (SGD 0.025, momentum 0.9, weight
decay 3e-4, clipped to CLIP, which is less than the norm here).

A file holds val/loss, val/NAME of each gradient of the architecture, train/loss, the norm of the weights' gradients, and end/NAME of all
weights and alphas after the step. A seed is chosen as in make_models.py, of both passes.
"""
import torch
import torch.nn.functional as F

from cells import MODELS
from make_models import disagreement, thinned, watch_kinks
from make_resnet import AGREEMENT, KINK, batch, fill, relative, save

CLIP, EVERY = 0.5, 7


def step(seed, params, images, size, dtype):
    model = fill(seed, MODELS["supernet"](dict(size=size, channels=3, classes=10), params), dtype).train()
    alphas = {name: p for name, p in model.named_parameters() if name.startswith("alphas")}
    weights = {name: p for name, p in model.named_parameters() if name not in alphas}
    adam = torch.optim.Adam(alphas.values(), lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
    sgd = torch.optim.SGD(weights.values(), lr=0.025, momentum=0.9, weight_decay=3e-4)
    nearest = watch_kinks(model)
    results = {}
    for number, (name, moved, optimizer) in enumerate((("val", alphas, adam), ("train", weights, sgd))):
        x, labels = batch(seed, number, images, size, dtype)
        model.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        results[name + "/loss"] = loss.detach()
        if moved is alphas:
            results.update({"val/" + key: p.grad.clone() for key, p in alphas.items()})
        else:
            results["norm"] = torch.nn.utils.clip_grad_norm_(list(weights.values()), CLIP)
        optimizer.step()
    results.update({"end/" + key: value for key, value in model.named_parameters()})
    return model, results, min(nearest)


def make_case(name, params, images, size):
    for seed in range(2000):
        model, results, kink = step(seed, params, images, size, torch.float64)
        if kink < KINK or results["norm"] <= CLIP:
            continue
        single, rounded, _ = step(seed, params, images, size, torch.float32)
        gap = max(disagreement(single, model), *(relative(rounded[key], value) for key, value in results.items() if key.startswith("val")))
        if gap <= AGREEMENT:
            break
    else:
        raise SystemExit(f"{name}: no seed does")
    print(f"{name}: seed {seed}: {images} images of {size}x{size}x3; nearest kink {kink:.2g}; fp32 and fp64 gradients agree to {gap:.2g}")
    save(name, {key: thinned(key, value, EVERY) for key, value in results.items()}, seed=seed, images=images, size=size, classes=10, every=EVERY,
         clip=CLIP, model="supernet", **{"model." + key: value for key, value in params.items()})


def main():
    torch.set_num_threads(1)
    make_case("search_s5", {"space": "s5", "channels": 2, "cells": 3}, images=17, size=8)
    make_case("search_s3_se_eca", {"space": "s3_se_eca", "channels": 4, "cells": 3, "reduction": 2}, images=18, size=8)


if __name__ == "__main__":
    main()
