#!/usr/bin/env python3
"""The peer: PyTorch makes Grad-CAM maps of ResNet-18 on the CPU, a process per measurement so that peak memory is its own.

No hooks, which cost it several times as much: the network is cut at the layer. What lies before runs without autograd (by torch.jit.script,
batch norms folded into the convolutions, optimize_for_inference; or as written, see --mode), what follows with it, from the activation on and no
further, with folded batch norms as well. With --all=1 one pass gives the maps of all ten classes: the gradient of each class's sum over the batch.
Prints one line of JSON: images/s (median over the steps), peak memory, and every k-th number of the maps. Weights and images are the closed
forms that bench_explain.c has.
"""
import argparse
import copy
import json
import os
import resource
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from peer_infer import CLASSES, FORMATS, SEED, network, scripted

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
from closed_form import closed_form  # noqa: E402

LAYERS = ("layer1", "layer2", "layer3", "layer4")
SHOWN_MAX = 1000  # numbers of the maps, as in bench_explain.c


def folded(stages):
    """Batch norms of basic blocks within their convolutions."""
    stages = copy.deepcopy(stages)
    for block in stages.modules():
        for conv, norm in (("conv1", "bn1"), ("conv2", "bn2"), ("0", "1")):
            owner = getattr(block, "downsample", None) if conv == "0" else block
            if owner is not None and isinstance(getattr(owner, norm, None), nn.BatchNorm2d):
                setattr(owner, conv, fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm)))
                setattr(owner, norm, nn.Identity())
    return stages


def split(model, layer, mode, x, layout):
    """The network up to the layer, and what follows."""
    cut = LAYERS.index(layer) + 1
    before = nn.Sequential(model.conv1, model.bn1, model.relu, *(getattr(model, name) for name in LAYERS[:cut])).eval()
    after = nn.Sequential(*(getattr(model, name) for name in LAYERS[cut:]), model.avgpool, nn.Flatten(), model.fc).eval()
    if mode == "scripted":
        with torch.no_grad():
            before, after = scripted(before, x), folded(after).to(memory_format=layout)
    for p in after.parameters():
        p.requires_grad_(False)
    return before, after


def explain(before, after, x, every_class):
    """Grad-CAM maps [N,K,h,w]: of the predicted class, or of all."""
    with torch.no_grad():
        a = before(x)
    a = a.detach().requires_grad_()
    logits = after(a)
    if every_class:
        sums = [logits[:, k].sum() for k in range(CLASSES)]
    else:
        sums = [logits.gather(1, logits.argmax(1, keepdim=True)).sum()]
    with torch.no_grad():
        maps = []
        for i, y in enumerate(sums):
            g, = torch.autograd.grad(y, a, retain_graph=i + 1 < len(sums))
            maps.append((g.mean((2, 3), keepdim=True) * a).sum(1).relu())
        return torch.stack(maps, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=FORMATS, default="channels_last")
    parser.add_argument("--mode", choices=("scripted", "eager"), default="scripted", help="of what lies before the layer")
    parser.add_argument("--method", choices=("gradcam",), default="gradcam")
    parser.add_argument("--layer", choices=LAYERS, default="layer3")
    parser.add_argument("--all", type=int, choices=(0, 1), default=0)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--warm", type=int, default=5, help="steps before the first that counts")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    layout = FORMATS[args.format]
    x = torch.from_numpy(closed_form(SEED, "images/0", (args.batch, 3, 32, 32), 0.0, 2.0)).contiguous(memory_format=layout)
    before, after = split(network(args.width, layout), args.layer, args.mode, x, layout)
    seconds = []
    for _ in range(args.warm + args.steps):
        start = time.perf_counter()
        maps = explain(before, after, x, args.all == 1)
        seconds.append(time.perf_counter() - start)
    values = maps.contiguous().flatten()
    step = len(values) // SHOWN_MAX | 1
    step += 2 * (len(values) // step > SHOWN_MAX)
    print(json.dumps({
        "name": "pytorch " + torch.__version__, "format": args.format, "mode": args.mode, "width": args.width, "method": args.method,
        "layer": args.layer, "all": args.all, "batch": args.batch, "threads": args.threads, "steps": args.steps,
        "images_per_second": round(args.batch / statistics.median(seconds[args.warm:]), 3),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "values": values[::step].tolist(),
    }))


if __name__ == "__main__":
    main()
