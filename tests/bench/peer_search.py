#!/usr/bin/env python3
"""The peer: PyTorch takes first-order DARTS steps on the CPU, a process per measurement so that peak memory is its own.

Prints one line of JSON: images/s (median over the steps; one image is a training and a validation image), peak memory, first and last
training loss. The step is the public code's: alphas on a validation batch (Adam 3e-4, betas 0.5 and 0.999, weight decay 1e-3), then
weights on a training batch (SGD 0.025, momentum 0.9, weight decay 3e-4, clip 5); in the first, only the alphas' gradients are asked for, which
is less work than the public code does.
"""
import argparse
import json
import os
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
from cells import Supernet  # noqa: E402

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=FORMATS, default="channels_last")
    parser.add_argument("--space", default="s5")
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--warm", type=int, default=1, help="steps before the first that counts")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    layout = FORMATS[args.format]
    model = Supernet(args.space, args.channels, args.cells, 10, 3).to(memory_format=layout)
    alphas = [model.alphas_normal, model.alphas_reduce]
    weights = [p for p in model.parameters() if all(p is not a for a in alphas)]
    for alpha in alphas:
        torch.nn.init.normal_(alpha, std=1e-3)
    adam = torch.optim.Adam(alphas, lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
    sgd = torch.optim.SGD(weights, lr=0.025, momentum=0.9, weight_decay=3e-4)
    batches = [(torch.randn(args.batch, 3, 32, 32).contiguous(memory_format=layout), torch.randint(0, 10, (args.batch,)))
               for _ in range(2)]
    seconds, losses = [], []
    for _ in range(args.warm + args.steps):
        start = time.perf_counter()
        for moved, others, optimizer, (x, labels) in ((alphas, weights, adam, batches[0]), (weights, alphas, sgd, batches[1])):
            for p in moved:
                p.requires_grad_(True)
            for p in others:
                p.requires_grad_(False)
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(x), labels)
            loss.backward()
            if moved is weights:
                torch.nn.utils.clip_grad_norm_(weights, 5)
            optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    print(json.dumps({
        "name": "pytorch " + torch.__version__, "format": args.format, "space": args.space, "channels": args.channels,
        "cells": args.cells, "batch": args.batch, "threads": args.threads, "steps": args.steps,
        "images_per_second": round(args.batch / statistics.median(seconds[args.warm:]), 3),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "first_loss": losses[0], "last_loss": losses[-1],
    }))


if __name__ == "__main__":
    main()
