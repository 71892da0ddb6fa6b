#!/usr/bin/env python3
"""How the cost of training grows: one size at a time, the others as they are, and the exponent between neighbours.

Time is that of a step (of an epoch, for images), memory the process's peak; an exponent e says that doubling the size multiplies by 2^e.

usage: growth.py BUILD [--axis images|width|batch|cells|threads] [--repeat 3]
"""
import argparse
import json
import math
import os
import statistics
import subprocess

TRAIN = {"program": "leased-bench-train", "model": "resnet18", "width": 64, "batch": 128, "threads": 2, "steps": 4, "warm": 2}
SEARCH = {"program": "leased-bench-search", "space": "s3_se_eca", "channels": 16, "batch": 64, "threads": 2, "steps": 2, "warm": 1}

# axis: the run that it is an option of, and its values
AXES = {
    "images": ({**TRAIN, "width": 16, "warm": 1}, (1024, 2048, 4096, 8000)),
    "width": (TRAIN, (8, 16, 32, 64, 128)),
    "batch": ({**TRAIN, "steps": 10}, (1, 4, 16, 64, 256)),
    "cells": (SEARCH, (4, 8, 16)),
    "threads": (TRAIN, (1, 2)),
}


def measure(build, run):
    """Seconds (of a step, or of the epoch where images are given) and bytes of one run."""
    run = dict(run)
    program = os.path.join(build, "tests", "bench", run.pop("program"))
    if "images" in run:  # an epoch beside the steps that warm up
        run["steps"] = run["images"] // run["batch"]
    options = [f"--{name}={value}" for name, value in run.items()]
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    cores = set(sorted(os.sched_getaffinity(0))[:run["threads"]])
    out = subprocess.run([program, *options], env=environment, stdout=subprocess.PIPE, text=True, check=True,
                         preexec_fn=lambda: os.sched_setaffinity(0, cores)).stdout
    result = json.loads(out.strip().splitlines()[-1])
    return result["seconds"] if "images" in run else run["batch"] / result["images_per_second"], result["peak_rss_bytes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="the folder of an optimised build")
    parser.add_argument("--axis", choices=AXES, action="append")
    parser.add_argument("--repeat", type=int, default=3, help="runs of which the median counts")
    args = parser.parse_args()
    for axis in args.axis or AXES:
        run, values = AXES[axis]
        print(f"| {axis} | seconds | exponent | peak memory | exponent |\n|---|---|---|---|---|")
        before = None
        for value in values:
            runs = [measure(args.build, {**run, axis: value}) for _ in range(args.repeat)]
            seconds, peak = (statistics.median(column) for column in zip(*runs))
            row = value, seconds, peak
            times, bytes_ = ("", "") if before is None else (
                f"{math.log(now / then) / math.log(value / before[0]):.2f}" for now, then in zip(row[1:], before[1:]))
            print(f"| {value} | {seconds:.4f} | {times} | {peak / 2**20:.0f} MiB | {bytes_} |", flush=True)
            before = row
        print()


if __name__ == "__main__":
    main()
