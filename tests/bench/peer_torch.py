#!/usr/bin/env python3
"""The peer: PyTorch trains a network on the CPU, a process per measurement so that peak memory is its own.

Prints one line of JSON: images/s (median over the steps), peak memory, first and last loss. The optimiser is ours:
SGD, momentum 0.9, Nesterov, weight decay 5e-4 on every parameter.
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
from models import MODELS  # noqa: E402

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=FORMATS, default="channels_last")
    parser.add_argument("--model", choices=MODELS, default="resnet18")
    parser.add_argument("--attention", choices=("none", "se", "eca"), default="none")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--warm", type=int, default=2, help="steps before the first that counts")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    layout = FORMATS[args.format]
    params = {"width": args.width, **({} if args.attention == "none" else {"attention": args.attention})}
    model = MODELS[args.model]({"channels": 3, "classes": 10, "size": 32}, params).to(memory_format=layout)
    sgd = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    x = torch.randn(args.batch, 3, 32, 32).contiguous(memory_format=layout)
    labels = torch.randint(0, 10, (args.batch,))
    seconds, losses = [], []
    for _ in range(args.warm + args.steps):
        start = time.perf_counter()
        sgd.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        sgd.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    print(json.dumps({
        "name": "pytorch " + torch.__version__, "format": args.format, "model": args.model, "attention": args.attention, "width": args.width, "batch": args.batch,
        "threads": args.threads, "steps": args.steps,
        "images_per_second": round(args.batch / statistics.median(seconds[args.warm:]), 3),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "first_loss": losses[0], "last_loss": losses[-1],
    }))


if __name__ == "__main__":
    main()
