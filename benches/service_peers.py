"""The service beside the usual wrapper of a model: FastAPI, one ONNX session, a pool of two threads.

    python -m venv env && env/bin/pip install fastapi uvicorn python-multipart onnxruntime pillow numpy
    env/bin/python benches/service_peers.py target/release/slidemill models/nuclei-he/nuclei-he.onnx
    env/bin/python benches/service_peers.py target/release/slidemill models/nuclei-he/nuclei-he.onnx --memory 5000

Both run the same file on the same pictures on the same processors, by turns, so that what else the
machine does weighs on both; figures are for the medians of the rounds. The wrapper decodes, runs and answers JSON; it keeps
nothing, and what it was asked is lost when it is killed. The service writes what it was sent, a job, its ledger
and its tables to the disk before it answers.

With --memory only the service runs: so many requests, and the memory of it and of each of its workers on the way.
"""

import argparse
import http.client
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SCORE, IOU = 0.25, 0.45


def wrapper(model):
    """The application, as tutorials have it."""
    from concurrent.futures import ThreadPoolExecutor

    import asyncio
    import numpy as np
    import onnxruntime
    from fastapi import FastAPI, File, UploadFile
    from PIL import Image

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    pool, app = ThreadPoolExecutor(2), FastAPI()

    def detect(content):
        begun = time.perf_counter()
        rgb = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=np.float32) / 255
        rows = session.run(None, {name: rgb.transpose(2, 0, 1)[None]})[0][0].T
        rows = rows[rows[:, 4] >= SCORE]
        rows = rows[np.argsort(-rows[:, 4])]
        half = rows[:, 2:4] / 2
        boxes = np.hstack([rows[:, :2] - half, rows[:, :2] + half])
        area, kept, left = rows[:, 2] * rows[:, 3], [], np.arange(len(rows))
        while len(left):
            first, left = left[0], left[1:]
            kept.append(first)
            low = np.maximum(boxes[first, :2], boxes[left, :2])
            high = np.minimum(boxes[first, 2:], boxes[left, 2:])
            shared = np.prod(np.clip(high - low, 0, None), axis=1)
            left = left[shared / (area[first] + area[left] - shared) <= IOU]
        findings = [
            {
                "id": int(nth),
                "type": "nucleus",
                "location": dict(zip(("x", "y", "width", "height"), map(float, (*boxes[row, :2], *rows[row, 2:4])))),
                "confidence": float(rows[row, 4]),
            }
            for nth, row in enumerate(kept)
        ]
        return {"findings": findings, "inference_time_ms": int(1000 * (time.perf_counter() - begun))}

    @app.post("/detect")
    async def answer(file: UploadFile = File(...)):
        content = await file.read()
        return await asyncio.get_running_loop().run_in_executor(pool, detect, content)

    return app


def picture(nth, side):
    """Nuclei, more or less: dark spots on pink, another picture for each number."""
    import numpy as np
    from PIL import Image

    dice, count = np.random.default_rng(nth), side * side // 1200
    y, x = np.mgrid[:side, :side]
    rgb = np.full((side, side, 3), (232, 190, 214), dtype=np.float32)
    for cx, cy, r in zip(dice.uniform(0, side, count), dice.uniform(0, side, count), dice.uniform(6, 10, count)):
        rgb[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = (96, 60, 140)
    rgb += dice.normal(0, 4, rgb.shape)
    out = io.BytesIO()
    Image.fromarray(rgb.clip(0, 255).astype("uint8")).save(out, "PNG")
    return out.getvalue()


def multipart(content):
    return b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n' + content + b"\r\n--xyz--\r\n"


class Service:
    name, path, kind = "slidemill serve", "/v1/detect?mpp=0.5", "image/png"

    def __init__(self, command, model):
        self.data = tempfile.TemporaryDirectory()
        args = [command, "serve", "--data", self.data.name, "--listen", "127.0.0.1:0", "--models", model, "--max-uploads", "64"]
        self.child = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
        self.port = int(self.child.stdout.readline().strip().rsplit(":", 1)[1].strip("/ "))

    def body(self, content):
        return content

    def processes(self):
        own = self.child.pid
        children = {int(pid) for task in Path(f"/proc/{own}/task").iterdir() for pid in (task / "children").read_text().split()}
        return [own, *sorted(children)]


class Wrapper:
    name, path, kind = "FastAPI", "/detect", "multipart/form-data; boundary=xyz"

    def __init__(self, model, port=8791):
        self.port = port
        self.child = subprocess.Popen([sys.executable, __file__, "--wrap", model, "--port", str(port)])

    def body(self, content):
        return multipart(content)


def request(server, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request(method, path, body, {"Content-Type": server.kind} if body else {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status not in (200, 202):
        raise SystemExit(f"{server.name}: {answer.status} {text[:300]!r}")
    return answer.status, json.loads(text)


def ask(server, body):
    """Seconds until the result was there, and how many findings it has."""
    begun = time.perf_counter()
    status, answer = request(server, "POST", server.path, body)
    if status == 202:
        job = answer["links"]
        while answer["state"] in ("queued", "running"):
            time.sleep(0.05)
            answer = request(server, "GET", job["self"])[1]
        answer = request(server, "GET", job["result"])[1]
    return time.perf_counter() - begun, len(answer["findings"])


def wait_for(server, body):
    for _ in range(600):
        try:
            return ask(server, body)
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{server.name} does not answer")


def load(server, bodies, clients, requests):
    """Requests a second, and the times of each."""
    times, lock, left = [], threading.Lock(), iter(range(requests))

    def client():
        while True:
            with lock:
                nth = next(left, None)
            if nth is None:
                return
            took = ask(server, bodies[nth % len(bodies)])[0]
            with lock:
                times.append(took)

    begun = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return requests / (time.perf_counter() - begun), sorted(times)


def at(times, share):
    return 1000 * times[min(len(times) - 1, int(share * len(times)))]


def compare(servers, pictures, args):
    for server in servers:
        _, found = wait_for(server, server.body(pictures[0]))
        print(f"{server.name}: {found} findings on the first picture")
    print("clients | server | requests/s | p50 ms | p99 ms")
    for clients in args.clients:
        seen = {server.name: [] for server in servers}
        for _ in range(args.rounds):
            for server in servers:
                bodies = [server.body(content) for content in pictures]
                rate, times = load(server, bodies, clients, args.requests)
                seen[server.name].append((rate, at(times, 0.5), at(times, 0.99)))
        medians = {name: [statistics.median(column) for column in zip(*rounds)] for name, rounds in seen.items()}
        for name, (rate, p50, p99) in medians.items():
            print(f"{clients} | {name} | {rate:.1f} | {p50:.0f} | {p99:.0f}")
        ours, theirs = (medians[server.name] for server in servers)
        print(f"{clients} | ratio | {ours[0] / theirs[0]:.2f} | {ours[1] / theirs[1]:.2f} | {ours[2] / theirs[2]:.2f}", flush=True)


def rss_mb(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def memory(service, pictures, args):
    bodies = [service.body(content) for content in pictures]
    wait_for(service, bodies[0])
    print("requests | service MB | workers MB | jobs on the disk")
    done, begun = 1, time.perf_counter()
    for step in range(11):
        wanted = max(100, args.memory * step // 10)
        if wanted > done:
            load(service, bodies, 2, wanted - done)
            done = wanted
        own, *workers = service.processes()
        jobs = sum(1 for _ in Path(service.data.name, "jobs").iterdir())
        each = " + ".join(f"{rss_mb(pid):.0f}" for pid in workers)
        print(f"{done} | {rss_mb(own):.1f} | {each} | {jobs}", flush=True)
    print(f"{(time.perf_counter() - begun) / 60:.1f} minutes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?")
    parser.add_argument("model", nargs="?")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--requests", type=int, default=60, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, default=0, help="requests of 2 clients to the service alone")
    parser.add_argument("--side", type=int, default=512, help="of the pictures, px")
    parser.add_argument("--wrap", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.wrap:
        import uvicorn

        uvicorn.run(wrapper(args.wrap), host="127.0.0.1", port=args.port, log_level="warning")
        return
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    pictures = [picture(nth, args.side) for nth in range(8)]
    servers = [Service(args.command, args.model)]
    if not args.memory:
        servers.append(Wrapper(args.model))
    try:
        memory(servers[0], pictures, args) if args.memory else compare(servers, pictures, args)
    finally:
        for server in servers:
            server.child.terminate()
            server.child.wait()


if __name__ == "__main__":
    main()
