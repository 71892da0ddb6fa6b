#!/usr/bin/env python3
"""Loads one of our checkpoints by load_state_dict() into the network of models.py that it names, and measures its test accuracy.

usage: check_checkpoint.py CHECKPOINT DATASET_DIR ACCURACY [--images N]

CHECKPOINT is a file or an http:// address (/api/v1/jobs/{id}/checkpoints/latest), DATASET_DIR holds CIFAR-10's test_batch.bin, ACCURACY
is what leased reports (a fraction). Exits with 1 if PyTorch's differs by more than two images: rounding may flip
one whose two best logits are equal to six digits. Needs Python with PyTorch (Debian: python3-torch).
"""
import argparse
import os
import sys
import tempfile
import urllib.request

import torch

import safetensors_file
from models import MODELS

FLIPS_ALLOWED = 2
DTYPES = {"F32": torch.float32, "I64": torch.int64}


def load(path):
    """The state dict without the optimiser's state, and the metadata."""
    tensors, metadata = safetensors_file.read(path)
    state = {}
    for name, (dtype, shape, data) in tensors.items():
        if "." in name and name.split(".")[0] not in ("optimizer", "trainer"):
            state[name] = torch.frombuffer(bytearray(data), dtype=DTYPES[dtype]).reshape(shape)
    return state, metadata


def number(text):
    """A parameter as the models take it: an integer where it is one."""
    try:
        return int(float(text)) if float(text) == int(float(text)) else float(text)
    except ValueError:
        return text


def load_images(folder, count):
    """The first images of CIFAR-10's test file: bytes [N,3,32,32] and labels."""
    with open(os.path.join(folder, "test_batch.bin"), "rb") as file:
        records = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).reshape(-1, 1 + 3 * 32 * 32)
    records = records[:count]
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].long()


def accuracy(model, images, labels, mean, std):
    right = 0
    with torch.no_grad():
        for at in range(0, len(labels), 100):
            x = (images[at:at + 100].float() / 255 - mean) / std
            right += (model(x).argmax(1) == labels[at:at + 100]).sum().item()
    return right / len(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("dataset")
    parser.add_argument("accuracy", type=float)
    parser.add_argument("--images", type=int, default=None, help="the first N test images only")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.checkpoint
        if path.startswith(("http://", "https://")):
            path, _ = urllib.request.urlretrieve(path, os.path.join(folder, "checkpoint"))
        state, metadata = load(path)
    if metadata.get("model") not in MODELS:
        sys.exit(f"the checkpoint's model is {metadata.get('model')!r}, models.py knows {', '.join(MODELS)}")
    params = {key.split(".", 1)[1]: number(value) for key, value in metadata.items() if key.startswith("model.")}
    sizes = {key: int(metadata[name]) for key, name in
             (("size", "input.height"), ("channels", "input.channels"), ("classes", "classes"))}
    model = MODELS[metadata["model"]](sizes, params)
    model.load_state_dict(state, strict=True)
    mean, std = (torch.tensor([float(metadata[f"{key}.{c}"]) for c in range(3)])[:, None, None] for key in ("mean", "std"))
    images, labels = load_images(args.dataset, args.images)
    got = accuracy(model.eval(), images, labels, mean, std)
    print(f"PyTorch {got:.4f}, leased {args.accuracy:.4f} on {len(labels)} images")
    return 0 if abs(got - args.accuracy) * len(labels) <= FLIPS_ALLOWED + 1e-6 else 1


if __name__ == "__main__":
    sys.exit(main())
