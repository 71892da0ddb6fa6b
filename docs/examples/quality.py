#!/usr/bin/env python3
"""The table of docs/explanations.md: trains a ResNet-18 on `shapes` unless a job's id is given, measures the heat maps of every method and
baseline by every metric, waits, and prints the means with half the width of their 95 % intervals. The pointing games take no more than the
maps, and get all test images.

usage: quality.py [--url http://127.0.0.1:8080] [--job ID] [--images 200] [--width 16] [--epochs 8] [--layer layer3] [--threads 1] [--methods ...]
"""
import argparse

from results import AUGMENT, Daemon

DATASET = {"dataset": "shapes", "test_images": 1000}
# What takes no layer of the network.
LAYERLESS = {"input_gradient", "smoothgrad", "integrated_gradients", "delta", "centre", "random", "edges"}
ATTACKS = {"pgd_l2", "pgd_linf", "fgsm"}  # delta is the first of them, as a map of pixels
LAST = {"cam": "layer4"}  # the only layer that CAM can use
POINTING = ["pointing_game", "pointing_game_off_centre"]
OTHERS = ["deletion_auc", "insertion_auc", "road", "average_drop", "increase", "energy_in_mask", "sanity_randomisation"]


def kind_fields(daemon):
    kind = next(kind for kind in daemon.get("kinds")["items"] if kind["name"] == "quality")
    return {field["name"]: field for field in kind["params"]}


def train(daemon, args):
    return daemon.submit({"kind": "train", "name": f"shapes, width {args.width}", "tags": ["quality"], "seed": 1, "threads": args.threads,
                          "params": {**DATASET, "epochs": args.epochs, "batch_size": 64, "model": {"name": "resnet18", "width": args.width},
                                     "optimizer": {"name": "sgd", "lr": 0.05}, "augment": AUGMENT}})


def measure(daemon, args, job, method, metrics, images):
    layer = None if method in LAYERLESS else LAST.get(method, args.layer)
    return daemon.submit({"kind": "quality", "name": f"quality of {method}", "tags": ["quality"], "seed": 1, "threads": args.threads,
                          "params": {**DATASET, "checkpoint": {"job": job}, "method": method, "layer": layer, "images": images,
                                     "metrics": metrics}})


def cell(row):
    mark = {True: " passed", False: " **failed**"}.get(row.get("passed"), "")
    return f"{row['mean']:.3f} ± {row['high'] - row['mean']:.3f}{mark}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--job", type=int, help="a finished job of kind train, on shapes")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--layer", default="layer3")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="+")
    args = parser.parse_args()
    daemon = Daemon(args.url)
    methods = args.methods or [name for name in kind_fields(daemon)["method"]["choices"] if name not in ATTACKS]
    trained = daemon.finish(args.job or train(daemon, args))
    jobs = {method: [measure(daemon, args, trained["id"], method, POINTING, DATASET["test_images"])] for method in methods}
    for method in methods:
        jobs[method].append(measure(daemon, args, trained["id"], method, OTHERS, args.images))
    results = {}
    for method, ids in jobs.items():
        results[method] = {metric: row for job in ids for metric, row in daemon.finish(job)["result"]["quality"].items()}
    print(f"test accuracy {trained['latest']['test/accuracy']:.3f}\n")
    for metrics in (POINTING, OTHERS):
        print("| method | " + " | ".join(f"{metric} (n = {results[methods[0]][metric]['n']})" for metric in metrics) + " |")
        print("|---|" + "---|" * len(metrics))
        for method, rows in results.items():
            print(f"| {method} | " + " | ".join(cell(rows[metric]) for metric in metrics) + " |")
        print()


if __name__ == "__main__":
    main()
