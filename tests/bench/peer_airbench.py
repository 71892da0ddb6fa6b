#!/usr/bin/env python3
"""The peer: PyTorch trains by the recipe of the preset airbench94, on the CIFAR-10 binary files in a folder, and prints an epoch a line.

The network, its whitening, alternating flips and shifts by up to 2 pixels, label smoothing, SGD with Nesterov's momentum in groups, the
triangular schedule, lookahead and the averaged test views are those of schema/presets/airbench94.json; what is drawn is drawn otherwise, so
accuracies agree as two seeds' do.

usage: peer_airbench.py FOLDER [--epochs 9.9] [--stop 3] [--seed 0] [--threads 2] [--format channels_last]
"""
import argparse
import copy
import json
import math
import os
import sys
import time

import numpy
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
from make_recipe import average, factor, floats  # noqa: E402
from models import Airbench94  # noqa: E402

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
RECORD = 1 + 3 * 32 * 32
MEAN, STD = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2470, 0.2435, 0.2616])


def read(folder, files):
    records = numpy.concatenate([numpy.fromfile(os.path.join(folder, name), dtype=numpy.uint8).reshape(-1, RECORD) for name in files])
    pixels = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy()).float() / 255
    return (pixels - MEAN[:, None, None]) / STD[:, None, None], torch.from_numpy(records[:, 0].astype(numpy.int64))


def whiten(model, images, eps=5e-4):
    patches = F.unfold(images, 2).transpose(1, 2).reshape(-1, 12).double()
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    scaled = vectors.T / torch.sqrt(values + eps)[:, None]
    model.whiten.weight.data.copy_(torch.cat((scaled, -scaled)).reshape(24, 3, 2, 2))


def shift(images, pixels=2):
    """Each image moved by up to `pixels` either way, reflected at the border."""
    padded = F.pad(images, (pixels,) * 4, mode="reflect")
    moves = torch.randint(0, 2 * pixels + 1, (len(images), 2))
    out = torch.empty_like(images)
    for y in range(2 * pixels + 1):
        for x in range(2 * pixels + 1):
            which = (moves[:, 0] == y) & (moves[:, 1] == x)
            out[which] = padded[which][:, :, y:y + 32, x:x + 32]
    return out


@torch.no_grad()
def accuracy(model, images, labels, layout):
    model.eval()
    right = 0
    for i in range(0, len(images), 1000):
        x = images[i:i + 1000]
        padded = F.pad(x, (1,) * 4, mode="reflect")
        views = ((0.25, x), (0.125, padded[:, :, :32, :32]), (0.125, padded[:, :, 2:, 2:]))
        views = [(weight, view.contiguous(memory_format=layout)) for weight, view in views]
        logits = sum(weight * (model(view) + model(view.flip(3))) for weight, view in views)
        right += (logits.argmax(1) == labels[i:i + 1000]).sum().item()
    model.train()
    return right / len(images)


def groups(model, decay):
    biases = [p for name, p in model.named_parameters() if ".bn" in name and name.endswith("bias")]
    special = {id(p) for p in (*biases, model.whiten.bias)}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in special]
    return [{"params": others, "scale": 1, "weight_decay": decay}, {"params": [model.whiten.bias], "scale": 1, "weight_decay": decay},
            {"params": biases, "scale": 64, "weight_decay": decay / 64}]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=float, default=9.9, help="what the schedule is made for")
    parser.add_argument("--stop", type=int, default=3, help="epochs that are trained")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--format", choices=FORMATS, default="channels_last")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    layout = FORMATS[args.format]
    images, labels = read(args.folder, [f"data_batch_{i}.bin" for i in range(1, 6)])
    test_images, test_labels = read(args.folder, ["test_batch.bin"])
    model = Airbench94()
    whiten(model, images[:5000])
    model = model.to(memory_format=layout)
    optimizer = torch.optim.SGD(groups(model, 1.3304e-3), lr=1.5, momentum=0.85, nesterov=True)
    per_epoch = len(images) // args.batch
    steps = math.ceil(args.epochs * per_epoch)
    side = torch.randint(0, 2, (len(images),)).bool()
    step, slow, seconds = 0, None, 0
    for epoch in range(args.stop):
        start = time.perf_counter()
        model.whiten.bias.requires_grad = epoch < 3
        if epoch == 3:
            slow = copy.deepcopy(floats(model))
        order = torch.randperm(len(images))
        for i in range(min(per_epoch, steps - step)):
            items = order[i * args.batch:(i + 1) * args.batch]
            x = images[items]
            flipped = side[items] ^ bool(epoch % 2)
            x[flipped] = x[flipped].flip(3)
            loss = F.cross_entropy(model(shift(x).contiguous(memory_format=layout)), labels[items], label_smoothing=0.2)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            for group in optimizer.param_groups:
                group["lr"] = 1.5 * group["scale"] * factor(step, steps)
            optimizer.step()
            step += 1
            if slow and step % 5 == 0:
                average(slow, model, 0.95**5 * (step / steps)**3)
        if slow:
            average(slow, model, 1)
        seconds += time.perf_counter() - start
        print(json.dumps({"epoch": epoch + 1, "test_accuracy": accuracy(model, test_images, test_labels, layout), "training_minutes": seconds / 60,
                          "last_loss": loss.item()}), flush=True)


if __name__ == "__main__":
    main()
