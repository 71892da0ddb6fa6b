#!/usr/bin/env python3
"""How much of the bare step's rate is left inside a real search job, with metrics, event stream and checkpoints on: in pairs.

A daemon runs first-order DARTS on `shapes`, three epochs of 12 steps; the rate is that of the steps after the first, by the times at which their
metrics were taken. What an epoch's end costs besides (validation, test, the checkpoint made durable) is said apart, as it is a share of the
epoch's length. The bare step is leased-bench-search, as beside PyTorch.

usage: job_rate.py BUILD [--space s3_se_eca] [--pairs 5] [--threads 2]
"""
import argparse
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request

BATCH, STEPS, EPOCHS = 64, 12, 3


def bare(args, environment):
    run = subprocess.run([os.path.join(args.build, "tests", "bench", "leased-bench-search"), f"--space={args.space}", "--steps=8", "--warm=1",
                          f"--threads={args.threads}"], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.strip().splitlines()[-1])["images_per_second"]


def call(url, body=None):
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def rates(points):
    """Images a second in the epochs, the first step of the run left out, and of the whole run after that step."""
    times = {step: ms / 1000 for step, _, ms in points}
    inside = sum(times[last] - times[last - STEPS + 1] for last in range(STEPS, STEPS * EPOCHS + 1, STEPS))
    return BATCH * EPOCHS * (STEPS - 1) / inside, BATCH * (EPOCHS * STEPS - 1) / (times[EPOCHS * STEPS] - times[1])


def job(args, environment):
    with tempfile.TemporaryDirectory() as folder:
        daemon = subprocess.Popen([os.path.join(args.build, "leased"), "serve", "--listen", "127.0.0.1:0", "--data-dir", os.path.join(folder, "data")],
                                  env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            api = daemon.stdout.readline().split()[-1] + "/api/v1/"
            params = {"dataset": "shapes", "train_images": 2 * BATCH * STEPS, "test_images": BATCH, "space": args.space, "searcher": {"name": "darts"},
                      "epochs": EPOCHS, "batch_size": BATCH, "augment": [{"name": "crop"}, {"name": "flip"}]}
            job_id = call(api + "jobs", {"kind": "search", "threads": args.threads, "params": params})["id"]
            while (state := call(f"{api}jobs/{job_id}")["state"]) not in ("succeeded", "failed"):
                time.sleep(0.5)
            if state == "failed":
                raise SystemExit("the job failed")
            return rates(call(f"{api}jobs/{job_id}/metrics?keys=train/loss")["series"][0]["points"])
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="the folder of an optimised build")
    parser.add_argument("--space", default="s3_se_eca")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    pairs = []
    for _ in range(args.pairs):
        alone, (steps, whole) = bare(args, environment), job(args, environment)
        pairs.append((alone, steps, whole))
        print(f"bare {alone:.1f}, in a job {steps:.1f} images/s ({steps / alone:.3f}), with epochs' ends {whole:.1f}", flush=True)
    print(f"median of {args.pairs} pairs: {statistics.median(steps / alone for alone, steps, _ in pairs):.3f} of the bare step's rate")


if __name__ == "__main__":
    main()
