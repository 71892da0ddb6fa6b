#!/usr/bin/env python3
"""How long a heat map takes over HTTP that memory has, while a job trains: latencies of one connection at a time.

A daemon trains a ResNet-18 on `shapes` with as many threads as there are cores; once its first epoch is there, one PNG of that epoch is asked for
again and again, over one connection. What is computed (another image each time) and what is unchanged (304) stand beside it.

usage: cached_png.py BUILD [--requests 2000] [--threads CORES]
"""
import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time


def asked(connection, path, headers=None):
    """The answer's status, its ETag, and the milliseconds until its last byte."""
    begin = time.perf_counter()
    connection.request("GET", path, headers=headers or {})
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers.get("ETag"), 1000 * (time.perf_counter() - begin)


def line(name, times):
    times = sorted(times)
    print(f"{name:10} {len(times):5} requests: median {statistics.median(times):.2f} ms, 99th percentile {times[int(0.99 * len(times))]:.2f} ms, "
          f"slowest {times[-1]:.2f} ms")


def measure(address, job_id, requests):
    connection = http.client.HTTPConnection(address, timeout=60)
    maps = f"/api/v1/jobs/{job_id}/heatmaps/"
    status, etag, _ = asked(connection, maps + "0.png?epoch=1")
    assert status == 200
    cached = [asked(connection, maps + "0.png?epoch=1") for _ in range(requests)]
    unchanged = [asked(connection, maps + "0.png?epoch=1", {"If-None-Match": etag}) for _ in range(requests)]
    computed = [asked(connection, maps + f"{image}.png?epoch=1") for image in range(1, 1 + min(100, requests))]
    assert {a[0] for a in cached + computed} == {200} and {a[0] for a in unchanged} == {304}
    for name, answers in (("cached", cached), ("unchanged", unchanged), ("computed", computed)):
        line(name, [a[2] for a in answers])


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("build")
    arguments.add_argument("--requests", type=int, default=2000)
    arguments.add_argument("--threads", type=int, default=os.cpu_count())
    args = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        daemon = subprocess.Popen([os.path.join(args.build, "leased"), "serve", "--listen", "127.0.0.1:0", "--data-dir", os.path.join(folder, "data"),
                                   "--workers", "1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            address = daemon.stdout.readline().split()[-1].removeprefix("http://")
            params = {"dataset": "shapes", "train_images": 256, "test_images": 128, "epochs": 10000, "checkpoint_every": 1,
                      "model": {"name": "resnet18", "width": 64}}
            connection = http.client.HTTPConnection(address, timeout=60)
            connection.request("POST", "/api/v1/jobs", json.dumps({"kind": "train", "threads": args.threads, "params": params}),
                               {"Content-Type": "application/json"})
            job_id = json.load(connection.getresponse())["id"]
            progress = {"epoch": 0}
            while progress["epoch"] == 0:
                time.sleep(0.2)
                connection.request("GET", f"/api/v1/jobs/{job_id}")
                job = json.load(connection.getresponse())
                assert job["state"] not in ("failed", "cancelled", "succeeded"), job
                progress = job["progress"]
            measure(address, job_id, args.requests)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()


if __name__ == "__main__":
    main()
