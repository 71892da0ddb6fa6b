#!/usr/bin/env python3
"""A file written by another program is read by ours, and what ours writes is read by another program: names, types, shapes,
bytes and metadata are the same. usage: check_safetensors.py safetensors_echo"""
import os
import struct
import subprocess
import sys
import tempfile

import safetensors_file

TENSORS = {
    "fc.weight": ("F32", (2, 3), struct.pack("<6f", *range(6))),
    "bn1.bias": ("F32", (1,), struct.pack("<f", -0.5)),
    "bn1.num_batches_tracked": ("I64", (), struct.pack("<q", -7)),
    "conv1.weight": ("F32", (1, 2, 2, 1), struct.pack("<4f", 1e-38, 3e38, -0.0, 0.1)),
    "none": ("F32", (0, 4), b""),
}
METADATA = {"note": "naïve \"quoted\" \\ text"}


def main():
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = os.path.join(folder, "ours"), os.path.join(folder, "theirs")
        safetensors_file.write(theirs, TENSORS, METADATA)
        subprocess.run([sys.argv[1], theirs, ours], check=True)
        tensors, metadata = safetensors_file.read(ours)
        names = list(tensors)
    assert tensors == TENSORS, f"{tensors} is not {TENSORS}"
    assert metadata == METADATA, f"{metadata} is not {METADATA}"
    assert names == sorted(names), f"{names} are not sorted"
    print(f"{len(tensors)} tensors went there and back")


if __name__ == "__main__":
    main()
