#!/usr/bin/env python3
"""Throughput and peak memory beside PyTorch, in pairs: ours, the peer, ours, the peer, ...

Both run in the same minute on the same pinned cores, so that what the machine does to one it does to the other; the ratio is the median
over the pairs. The peer runs in its better memory format, found first, and with the allocator settings that serve it best.
A run whose loss is not finite or does not fall is refused: a wrong result is not timed; where nothing is trained, both sides have the same
weights and images, and their losses must agree, or the numbers of their heat maps ("values"). One image of a search is a training and a
validation image. The peer "winograd" is PyTorch with oneDNN's Winograd kernels (peer_winograd.c).

usage: run_bench.py BUILD [--workload resnet18] [--peer torch] [--pairs 5] [--threads 2] [--json FILE] [--batch 128 and other sizes of the workload]
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TUNED = {"MALLOC_MMAP_THRESHOLD_": "8589934592", "MALLOC_TRIM_THRESHOLD_": "34359738368",
         "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "OMP_PROC_BIND": "true"}
FORMATS = {"torch": ("contiguous", "channels_last"), "winograd": ("contiguous",)}  # peer: those that it is tried in
TRAIN = {"width": 64, "batch": 128, "steps": 7, "warm": 2}
SEARCH = {"channels": 16, "cells": 8, "batch": 64, "steps": 3, "warm": 1}
INFER = {"width": 64, "batch": 1, "attack": 0, "steps": 100, "warm": 10}
EXPLAIN = {"method": "gradcam", "layer": "layer3", "all": 0, "width": 64, "batch": 1, "steps": 100, "warm": 10}
AGREEMENT = 1e-3  # of losses, relative; of maps, by their maximum

# workload: what it is, our program, the peer's, sizes that both take as options
WORKLOADS = {
    "resnet18": ("training", "leased-bench-train", "peer_torch.py", {"model": "resnet18", "attention": "none", **TRAIN}),
    "se_resnet18": ("training", "leased-bench-train", "peer_torch.py", {"model": "resnet18", "attention": "se", **TRAIN}),
    "airbench94": ("training", "leased-bench-train", "peer_torch.py",
                   {"model": "airbench94", "attention": "none", **TRAIN, "batch": 1024, "steps": 3, "warm": 1}),
    "predict": ("predictions of ResNet-18", "leased-bench-infer", "peer_infer.py", INFER),
    "fgsm": ("fast gradient sign attack on ResNet-18", "leased-bench-infer", "peer_infer.py",
             {**INFER, "batch": 64, "attack": 1, "steps": 6, "warm": 2}),
    "gradcam": ("Grad-CAM on ResNet-18", "leased-bench-explain", "peer_explain.py", EXPLAIN),
    "gradcam_all": ("Grad-CAM of ten classes on ResNet-18", "leased-bench-explain", "peer_explain.py",
                    {**EXPLAIN, "layer": "layer4", "all": 1, "batch": 100, "steps": 8, "warm": 2}),
    "search_s5": ("first-order DARTS step", "leased-bench-search", "peer_search.py", {"space": "s5", **SEARCH}),
    "search_s3_se_eca": ("first-order DARTS step", "leased-bench-search", "peer_search.py", {"space": "s3_se_eca", **SEARCH}),
}


def measure(command, cores, extra_environment):
    """Runs one measurement pinned to `cores`; its JSON line."""
    environment = {**os.environ, **extra_environment}
    environment.pop("OPENBLAS_CORETYPE", None)  # some environments hold OpenBLAS to slow kernels (docs/adr/0004)
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True,
                         preexec_fn=lambda: os.sched_setaffinity(0, cores))
    result = json.loads(run.stdout.strip().splitlines()[-1])
    if "values" in result:
        return result
    losses = result["first_loss"], result["last_loss"]
    if not all(map(math.isfinite, losses)) or ("attack" not in result and losses[1] >= losses[0]):
        sys.exit(f"{command[0]}: the loss went from {losses[0]} to {losses[1]}: not timing a wrong result")
    return result


def agree(ours, theirs):
    """Ends the program unless both sides computed the same, where they were given the same."""
    if "values" in ours:
        a, b = ours["values"], theirs["values"]
        top = max(map(abs, b))
        if len(a) != len(b) or top == 0 or not all(abs(x - y) <= AGREEMENT * top for x, y in zip(a, b)):
            sys.exit("the maps are not the peer's: not timing a wrong result")
        return
    for name in ("first_loss", "last_loss"):
        if "attack" in ours and abs(ours[name] - theirs[name]) > AGREEMENT * abs(theirs[name]):
            sys.exit(f"{name} is {ours[name]}, and the peer's {theirs[name]}: not timing a wrong result")


def cpu_name():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")


def table(rows):
    lines = ["| | images/s | peak memory |", "|---|---|---|"]
    for name, results in rows:
        speed = statistics.median(r["images_per_second"] for r in results)
        peak = max(r["peak_rss_bytes"] for r in results)
        lines.append(f"| {name} | {speed:.1f} | {peak / 2**20:.0f} MiB |")
    return "\n".join(lines)


def parse():
    """The arguments; each size of the workload is one of them."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--workload", choices=WORKLOADS, default="resnet18")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[first])
    parser.add_argument("build", help="the folder of an optimised build")
    parser.add_argument("--peer", choices=FORMATS, default="torch")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--python", default="/usr/bin/python3", help="a Python that has PyTorch")
    parser.add_argument("--json", help="write all measurements here")
    for name, value in WORKLOADS[first.parse_known_args()[0].workload][3].items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser.parse_args()


def main():
    args = parse()
    what, program, peer_program, sizes = WORKLOADS[args.workload]
    cores = set(sorted(os.sched_getaffinity(0))[:args.threads])
    if len(cores) < args.threads:
        sys.exit(f"{args.threads} threads want as many cores; there are {len(cores)}")
    sizes = {name: getattr(args, name) for name in sizes}
    options = [f"--{name}={value}" for name, value in {**sizes, "threads": args.threads}.items()]
    our = [os.path.join(args.build, "tests", "bench", program), *options]
    peer = [args.python, os.path.join(HERE, peer_program), *options]

    environment = {**TUNED, "LD_PRELOAD": os.path.join(args.build, "tests", "bench", "peer_winograd.so")} if args.peer == "winograd" else TUNED
    formats = {name: measure([*peer, f"--format={name}"], cores, environment) for name in FORMATS[args.peer]}
    best = max(formats, key=lambda name: formats[name]["images_per_second"])
    ours, theirs = [], []
    for _ in range(args.pairs):
        ours.append(measure(our, cores, {}))
        theirs.append(measure([*peer, f"--format={best}"], cores, environment))
        agree(ours[-1], theirs[-1])
    ratios = [a["images_per_second"] / b["images_per_second"] for a, b in zip(ours, theirs)]
    ratio = statistics.median(ratios)
    memory = max(r["peak_rss_bytes"] for r in theirs) / max(r["peak_rss_bytes"] for r in ours)

    print(f"{what}, {', '.join(f'{name} {value}' for name, value in sizes.items())}, fp32, {args.threads} threads on {cpu_name()}; "
          f"median of {args.pairs} pairs\n")
    print(table([(f"leased ({ours[0]['kernels']})", ours), (f"{theirs[0]['name']} ({args.peer}), {best}", theirs)]))
    print(f"\nratio {ratio:.3f} (pairs: {' '.join(f'{r:.3f}' for r in ratios)}); peak memory 1/{memory:.2f}")
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"cpu": cpu_name(), "workload": args.workload, "peer_kind": args.peer, "sizes": sizes, "ratio": ratio, "ratios": ratios, "memory": memory,
                       "ours": ours, "peer": theirs, "formats": formats}, file, indent=1)


if __name__ == "__main__":
    main()
