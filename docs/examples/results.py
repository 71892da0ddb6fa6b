#!/usr/bin/env python3
"""The experiments of docs/results.md: submits their jobs to a running daemon, waits, and prints the tables.

    schedules   section 5.4 of the paper: everything learns in each batch, from signed deltas of one step, beside the defaults of `lease`
    maps        section 5.3: an audience that learns from images under class activation maps, and two controls

usage: results.py schedules|maps [--url http://127.0.0.1:8080] [--dataset cifar10] [--seeds 0 1 2] [--threads 1] [--width 32] [--epochs 10]
"""
import argparse
import json
import statistics
import time
import urllib.request

AUGMENT = [{"name": "crop", "padding": 4}, {"name": "flip"}]
ENDED = {"succeeded", "failed", "cancelled", "early_stopped"}
# What the public code does; the same for what the explainer predicts; and what `lease` does unless told otherwise.
SIGNED = {"source": "pgd_linf", "eps": 8 / 255, "steps": 1, "step_size": 2 / 255, "start": "random", "reweight": "signed"}
RUNS = {
    "joint, one signed step": ("joint", SIGNED),
    "joint, one signed step, for the prediction": ("joint", {**SIGNED, "target": "prediction"}),
    "joint, defaults": ("joint", {}),
    "staged, one signed step": ("staged", SIGNED),
    "staged, defaults": ("staged", {}),
}
CURVES = {
    "explainer/val/raw": "explainer/val/raw/accuracy",
    "explainer/val/reweighted": "explainer/val/reweighted/accuracy",
    "audience/val/raw": "audience/val/raw/accuracy",
    "audience/val/reweighted": "audience/val/reweighted/accuracy",
    "audience/train/epoch": "audience/train/epoch_accuracy",
}
AUDIENCES = {
    "the image alone": {"input": "image"},
    "grouped maps (30 channels)": {"input": "maps"},
    "maps and image (33 channels)": {"input": "image+maps"},
    "control: maps of another image": {"input": "maps", "control": "other"},
    "control: random maps": {"input": "maps", "control": "random"},
}


class Daemon:
    def __init__(self, url):
        self.api = url.rstrip("/") + "/api/v1/"

    def get(self, path):
        with urllib.request.urlopen(self.api + path) as answer:
            return json.load(answer)

    def submit(self, job):
        request = urllib.request.Request(self.api + "jobs", json.dumps(job).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["id"]

    def finish(self, job_id):
        while True:
            job = self.get(f"jobs/{job_id}")
            if job["state"] in ENDED:
                break
            time.sleep(1)
        if job["state"] not in ("succeeded", "early_stopped"):
            raise SystemExit(f"job {job_id} {job['state']}: {job['reason']}")
        return job

    def series(self, job_id, key):
        return [point[1] for point in self.get(f"jobs/{job_id}/metrics?keys={key}")["series"][0]["points"]]


def mean_sd(values):
    return f"{statistics.mean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


def schedules(daemon, args):
    explainer = {"space": "s3_se_eca", "channels": 8, "cells": 5, "batch_size": 32, "augment": AUGMENT, "optimizer": {"name": "sgd", "lr": 0.05}}
    audience = {"model": {"name": "resnet18", "width": 8, "attention": "se"}, "batch_size": 32, "augment": AUGMENT,
                "optimizer": {"name": "sgd", "lr": 0.05}}
    half = args.epochs // 2
    modes = {
        "joint": {"mode": "joint", "epochs": args.epochs, "explainer": explainer, "audience": audience},
        "staged": {"mode": "staged", "rounds": 2, "explainer": {**explainer, "epochs": half}, "audience": {**audience, "epochs": half}},
    }
    runs = {}
    for seed in args.seeds:
        for name, (mode, explanation) in RUNS.items():
            hypergrad = "full" if name == "staged, defaults" else "first"  # `full` in each batch takes hours
            runs[name, seed] = daemon.submit({
                "kind": "lease", "name": name, "tags": ["results", "schedules"], "seed": seed, "threads": args.threads,
                "params": {"dataset": args.dataset, "explanation": explanation, "hypergrad": hypergrad, **modes[mode]}})
    for job_id in runs.values():
        daemon.finish(job_id)
    print("| schedule, explanation | " + " | ".join(CURVES) + " |\n|---|" + "---|" * len(CURVES))
    for name in RUNS:
        cells = (mean_sd([daemon.series(runs[name, seed], key)[-1] for seed in args.seeds]) for key in CURVES.values())
        print(f"| {name} | " + " | ".join(cells) + " |")
    for name in RUNS:
        for title, key in CURVES.items():
            print(f"{name}, seed {args.seeds[0]}, {title}: " + " ".join(f"{v:.3f}".lstrip("0") for v in daemon.series(runs[name, args.seeds[0]], key)))


def maps(daemon, args):
    model = {"name": "resnet18", "width": args.width}
    training = {"model": model, "epochs": args.epochs, "batch_size": 64, "augment": AUGMENT, "optimizer": {"name": "sgd", "lr": 0.05}}
    data = {"dataset": args.dataset, "val_images": 1000}

    def job(kind, name, seed, params):
        return daemon.submit({"kind": kind, "name": name, "tags": ["results", "maps"], "seed": seed, "threads": args.threads, "params": params})

    explainers = {seed: job("train", f"explainer, seed {seed}", seed, {**data, **training}) for seed in args.seeds}
    own, audiences = {}, {}
    for seed, explainer in explainers.items():
        own[seed] = daemon.finish(explainer)["latest"]["test/accuracy"]
        explained = job("explain", f"maps, seed {seed}", seed, {
            "dataset": args.dataset, "checkpoint": {"job": explainer}, "explanation": {"source": "gradcam", "classes": "all"}})
        daemon.finish(explained)
        for name, params in AUDIENCES.items():
            audiences[name, seed] = job("audience", f"{name}, seed {seed}", seed, {
                "dataset": args.dataset, "maps": {"job": explained}, **training, **params})
    print("| audience learns from | test accuracy | by seed |\n|---|---|---|")
    rows = {"(the explainer itself)": list(own.values())}
    for name in AUDIENCES:
        rows[name] = [daemon.finish(audiences[name, seed])["latest"]["test/accuracy"] for seed in args.seeds]
    for name, values in rows.items():
        print(f"| {name} | {mean_sd(values)} | " + ", ".join(f"{value:.3f}" for value in values) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=("schedules", "maps"))
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--width", type=int, default=16, help="of the ResNet-18s of `maps`")
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    {"schedules": schedules, "maps": maps}[args.experiment](Daemon(args.url), args)


if __name__ == "__main__":
    main()
