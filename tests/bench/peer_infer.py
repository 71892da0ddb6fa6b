#!/usr/bin/env python3
"""The peer: PyTorch runs ResNet-18 in eval mode on the CPU, a process per measurement so that peak memory is its own.

Prints one line of JSON: images/s (median over the steps), peak memory, and the loss of the batch; with --attack=1 each step is the fast
gradient sign method, and the last loss is that of the attacked images. Predictions are made by torch.jit.script with the batch norms folded
into the convolutions (optimize_for_inference), or as written; see --mode. Weights, images and labels are the closed forms that
bench_infer.c has.
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
from closed_form import closed_form, closed_form_labels, closed_form_state  # noqa: E402
from models import resnet18  # noqa: E402

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
SEED, CLASSES, EPSILON = 1, 10, 0.03


def network(width, layout):
    model = resnet18(width=width, classes=CLASSES)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.from_numpy(closed_form_state(SEED, name, tuple(value.shape))))
    for p in model.parameters():
        p.requires_grad_(False)
    return model.eval().to(memory_format=layout)


def scripted(model, x):
    model = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.script(model)))
    for _ in range(3):  # profiling and optimising happen on the first calls
        model(x)
    return model


def attack(model, x, labels):
    """The loss of x, and x one step up."""
    x = x.detach().requires_grad_(True)
    loss = F.cross_entropy(model(x), labels, reduction="sum")
    gradient, = torch.autograd.grad(loss, x)
    with torch.no_grad():
        return loss.item() / len(x), x + EPSILON * gradient.sign()


def predict(model, x, labels):
    with torch.inference_mode():
        return F.cross_entropy(model(x), labels).item(), x


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=FORMATS, default="channels_last")
    parser.add_argument("--mode", choices=("scripted", "eager"), default="scripted", help="of predictions; an attack is eager")
    parser.add_argument("--attack", type=int, choices=(0, 1), default=0)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--warm", type=int, default=5, help="steps before the first that counts")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    layout = FORMATS[args.format]
    model = network(args.width, layout)
    x = torch.from_numpy(closed_form(SEED, "images/0", (args.batch, 3, 32, 32), 0.0, 2.0)).contiguous(memory_format=layout)
    labels = torch.from_numpy(closed_form_labels(SEED, "labels/0", args.batch, CLASSES))
    if args.attack == 0 and args.mode == "scripted":
        with torch.inference_mode():
            model = scripted(model, x)
    run = attack if args.attack else predict
    seconds, losses = [], []
    for _ in range(args.warm + args.steps):
        start = time.perf_counter()
        loss, attacked = run(model, x, labels)
        seconds.append(time.perf_counter() - start)
        losses.append(loss)
    if args.attack:
        losses.append(predict(model, attacked, labels)[0])
    print(json.dumps({
        "name": "pytorch " + torch.__version__, "format": args.format, "mode": "eager" if args.attack else args.mode, "width": args.width,
        "attack": args.attack, "batch": args.batch, "threads": args.threads, "steps": args.steps,
        "images_per_second": round(args.batch / statistics.median(seconds[args.warm:]), 3),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "first_loss": losses[0], "last_loss": losses[-1],
    }))


if __name__ == "__main__":
    main()
