#!/usr/bin/env python3
"""What slidemill does on a GPU, in a few minutes on a machine that has nothing but a driver and Python.

    day.py LOAD --out OUT [--device cuda] [--minutes 9] [--steps a,b] [--again day.json]

LOAD is what `cargo xtask gpu-day` packed: the command, its bench of the detecting stage, ONNX Runtime, models and
slides. Each step's figures go to OUT/day.json as soon as it ends, and OUT/day.md shows all of them as tables; `--again`
takes the figures of an earlier day.json over and does only the steps that are missing or failed. A step that cannot
end before the minutes are over is not begun. Nothing is installed and nothing is fetched.
"""

import argparse
import contextlib
import glob
import hashlib
import json
import os
import shutil
import signal
import site
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

# In the order in which they need each other.
CUDA_PARTS = ["cuda_runtime", "cublas", "cuda_nvrtc", "nvjitlink", "curand", "cufft", "cudnn"]
# What two devices may differ by in the count of a class.
COUNTS_DIFFER = 0.001
# All sides of one model, one way.
MOST_SECONDS_OF_A_RATE = 30
# Model of a whole run, and the one whose outlines are timed.
OUTLINES = "nuclei-he-seg"
ANCHOR = "nuclei-he"
# Part of what a run says on standard error when memory makes it halve its batch.
HALVED = "the memory does not do for"


class StepFailed(Exception):
    """A step did not give its figures; the reason in words."""


@dataclass
class Day:
    """The load, unpacked, and what has been measured so far."""

    load: Path
    out: Path
    work: Path
    device: str
    threads: int
    is_small: bool
    ends: float
    steps: list[str] = field(default_factory=list)
    results: dict = field(default_factory=dict)

    def left(self) -> float:
        """Seconds until no step may run any more."""
        return self.ends - time.monotonic()

    def environment(self) -> dict:
        """For every program of the load: where its libraries are."""
        folders = [str(self.load / "lib"), *cuda_folders()]
        if earlier := os.environ.get("LD_LIBRARY_PATH"):
            folders.append(earlier)
        return {
            **os.environ,
            "LD_LIBRARY_PATH": ":".join(folders),
            "SLIDEMILL_NATIVE_DIR": str(self.load / "lib"),
        }

    def program(self, name: str, *words: object, limit: float | None = None) -> str:
        """Runs a program of the load; gives what it printed on standard output."""
        return self.ended(name, *words, limit=limit).stdout

    def ended(self, name: str, *words: object, limit: float | None = None) -> subprocess.CompletedProcess:
        """Runs a program of the load to its good end."""
        command = [str(self.load / name), *map(str, words)]
        try:
            ended = subprocess.run(
                command, env=self.environment(), capture_output=True, text=True, timeout=limit or max(self.left(), 1)
            )
        except subprocess.TimeoutExpired as late:
            raise StepFailed(f"{name} {words[0]} took more than {late.timeout:.0f} s") from late
        if ended.returncode != 0:
            said = (ended.stdout + ended.stderr).strip().splitlines()
            raise StepFailed(f"{name} {words[0]} ended with {ended.returncode}: {' / '.join(said[-4:])}")
        return ended

    def run_words(self, slide: Path, dataset: Path, device: str) -> list:
        """The words of a run. Few cores get small windows, so that a slide has some."""
        small = ["--window", 512] if self.is_small else []
        return ["run", slide, "-o", dataset, "--device", device, *small]

    def slides(self) -> list[Path]:
        return sorted((self.load / "slides").iterdir(), key=lambda path: path.stat().st_size)

    def models(self) -> list[Path]:
        """Smallest first."""
        return sorted((self.load / "models").glob("*.onnx"), key=lambda path: (path.stat().st_size, path.name))

    def model(self, name: str) -> list[Path]:
        """The model of that name, if it is in the load."""
        return [model for model in self.models() if model.stem == name]

    def run_slide(self, slide: Path, name: str, device: str, *more: object) -> dict:
        """A whole run over a slide; gives its account and the seconds by the clock."""
        dataset = self.work / name
        begun = time.monotonic()
        ended = self.ended("slidemill", *self.run_words(slide, dataset, device), *more)
        figures = {**account(dataset), "wall_secs": time.monotonic() - begun}
        halved = [line for line in ended.stderr.splitlines() if HALVED in line]
        return {**figures, "halved": halved} if halved else figures


def cuda_folders() -> list[str]:
    """Libraries of CUDA that came with Python packages."""
    roots = [*site.getsitepackages(), site.getusersitepackages()]
    found = [folder for part in CUDA_PARTS for root in roots for folder in glob.glob(f"{root}/nvidia/{part}*/lib")]
    # CUDA 13's packages share one folder.
    shared = [folder for root in roots for folder in glob.glob(f"{root}/nvidia/cu*/lib")]
    return [*shared, *found]


def account(dataset: Path) -> dict:
    """What the only account of a dataset says, as far as it is compared."""
    accounts = list((dataset / "runs").glob("*.json"))
    if len(accounts) != 1:
        raise StepFailed(f"{len(accounts)} accounts were written, expected 1")
    said = json.loads(accounts[0].read_text())
    if said.get("outcome") != "done":
        raise StepFailed(f"the run ended {said.get('outcome')}: {said.get('reason')}")
    analysis = said["analysis"]
    table = next((dataset / "cells").glob("*/part-0.parquet"))
    return {
        "device": said["device"],
        "cells": analysis["cells"],
        "windows": analysis["windows"]["done"],
        "analysed_mm2": analysis["coverage"]["analysed_mm2"],
        "slide_secs": said["elapsed_secs"],
        "warnings": said.get("warnings", []),
        "cells_sha256": hashlib.sha256(table.read_bytes()).hexdigest(),
    }


def machine(day: Day) -> dict:
    """The card, its driver, the libraries, and what the command says of itself."""
    facts = {"cpus": os.cpu_count(), "version": day.program("slidemill", "--version").strip()}
    if day.device != "cpu":
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,compute_cap", "--format=csv,noheader"]
        facts["gpu"] = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
        facts["cuda_folders"] = cuda_folders()
    return facts


def outlines(day: Day) -> list[dict]:
    """Seconds per window with outlines: the session alone, through the detector, and with its answers decoded."""
    models = day.model(OUTLINES) + day.model(ANCHOR)
    return [row for model in models for row in rates_of(day, model, ["bare", "infer", "detector"])]


def rates(day: Day) -> list[dict]:
    """Seconds per window of the other models: the bare session against the detector."""
    rows = []
    for model in day.models():
        if model.stem in (OUTLINES, ANCHOR):
            continue
        if day.left() < MOST_SECONDS_OF_A_RATE and not day.is_small:
            break
        rows += rates_of(day, model, ["bare", "detector"])
    return rows


def rates_of(day: Day, model: Path, ways: list[str]) -> list[dict]:
    sides = [(256, 1)] if day.is_small else [(640, 16), (2048, 4)]
    if model.stem.startswith("yolo") and not day.is_small:
        sides = sides[:1]
    rows = [{"model": model.stem, "side": side, "batch": batch} for side, batch in sides]
    for way in ways:
        for row, seconds in zip(rows, seconds_per_window(day, way, model, sides)):
            row[way] = seconds
    return rows


def seconds_per_window(day: Day, way: str, model: Path, sides: list[tuple[int, int]]) -> list[float | str]:
    """Or why there are none: a bare session takes no smaller batch where memory runs out."""
    words = [",".join(str(size[place]) for size in sides) for place in (0, 1)]
    try:
        told = day.program(
            "detect", way, model, words[0], day.threads, words[1], day.device, limit=MOST_SECONDS_OF_A_RATE
        )
        return [float(line) for line in told.split()]
    except StepFailed as failed:
        return [str(failed)] * len(sides)


def other_sizes(day: Day) -> dict:
    """Seconds that the first batch with one window less takes longer than the next of that size."""
    model = (day.model(ANCHOR) or day.models())[0]
    sides = [(256, 2)] if day.is_small else [(640, 16), (2048, 4)]
    more = seconds_per_window(day, "other", model, sides)
    return {f"{side} px, {batch} - 1 windows": seconds for (side, batch), seconds in zip(sides, more)}


def placement(day: Day) -> dict:
    """Where the nodes of each model run, as `slidemill model` says."""
    told = {}
    for model in day.models():
        if day.left() < 20 and not day.is_small:
            break
        lines = day.program("slidemill", "model", model, "--device", day.device).splitlines()
        told[model.stem] = [line for line in lines if line.startswith(("runs on", "left to cpu", "note"))]
        if not told[model.stem]:
            raise StepFailed(f"slidemill model says nothing of where {model.stem} runs")
    return told


def whole_runs(day: Day) -> list[dict]:
    """Each slide with outlines on the device and on the CPU: counts by class, seconds per mm²."""
    rows = []
    for slide in day.slides():
        model = ["--model", (day.model(OUTLINES) or day.models())[0]]
        on_device = day.run_slide(slide, f"device-{len(rows)}", day.device, *model)
        on_cpu = day.run_slide(slide, f"cpu-{len(rows)}", "cpu", *model)
        rows.append({"slide_bytes": slide.stat().st_size, "cpu": on_cpu, "device": on_device})
        compare(on_cpu, on_device)
    return rows


def compare(one: dict, other: dict) -> None:
    """Two accounts whose counts of each class must agree."""
    for name, count in one["cells"].items():
        found = other["cells"].get(name, 0)
        if abs(count - found) > max(1.0, COUNTS_DIFFER * count):
            raise StepFailed(f"{count} cells of class {name} on {one['device']}, {found} on {other['device']}")


def half_precision(day: Day) -> dict:
    """A whole run with the default model in fp16 where the load has it: its count beside that of fp32, and seconds."""
    slide = day.slides()[0]
    models = day.model(ANCHOR) + day.model(f"{ANCHOR}-fp16")
    return {model.stem: day.run_slide(slide, model.stem, day.device, "--model", model) for model in models}


def kill_and_resume(day: Day) -> dict:
    """A run killed in the middle and begun again gives what an undisturbed one gives."""
    slide = day.slides()[0]
    undisturbed = day.run_slide(slide, "undisturbed", day.device)
    dataset = day.work / "killed"
    command = [str(day.load / "slidemill"), *map(str, day.run_words(slide, dataset, day.device))]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = subprocess.Popen(command, env=day.environment(), start_new_session=True, **quiet)
    kept = wait_for_ledger(dataset, running)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    resumed = day.run_slide(slide, "killed", day.device)
    if resumed["cells"] != undisturbed["cells"]:
        raise StepFailed(f"{resumed['cells']} cells after the kill, {undisturbed['cells']} undisturbed")
    return {
        "ledger_bytes_at_the_kill": kept,
        "cells": resumed["cells"],
        "same_bytes": resumed["cells_sha256"] == undisturbed["cells_sha256"],
    }


def wait_for_ledger(dataset: Path, running: subprocess.Popen) -> int:
    """Waits until the ledger, begun, has grown by a window; gives its size."""
    begun = 0
    while running.poll() is None:
        size = ledger_size(dataset)
        if 0 < begun < size:
            return size
        begun = begun or size
        time.sleep(0.005)
    raise StepFailed("the run ended before it could be killed")


def ledger_size(dataset: Path) -> int:
    size = 0
    for path in dataset.glob(".slidemill/ledger/**/*"):
        # It may go while it is looked at.
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size if path.is_file() else 0
    return size


def out_of_memory(day: Day) -> dict:
    """A batch too large for the memory that the run may take is halved, and told, and the count stays."""
    slide = day.slides()[-1]
    bounded = ["--batch", 4 if day.is_small else 64, "--gpu-mem", "2G"]
    large = day.run_slide(slide, "large-batch", day.device, *bounded)
    small = day.run_slide(slide, "small-batch", day.device, "--batch", 1)
    compare(small, large)
    # A processor has no memory of its own that could be bounded.
    if day.device != "cpu" and "halved" not in large:
        raise StepFailed(f"no line of standard error says {HALVED!r} of a batch of 64 windows with --gpu-mem 2G")
    return {"large": large, "small": small}


def any_batch(day: Day) -> dict:
    """The largest batch that may be asked for, with all of the card's memory."""
    largest = ["--batch", 4 if day.is_small else 256]
    return day.run_slide(day.slides()[-1], "largest-batch", day.device, *largest)


# By worth, with the seconds that each may need: it is not begun with less.
STEPS = [
    (machine, 5),
    (outlines, 40),
    (whole_runs, 35),
    (out_of_memory, 25),
    (placement, 20),
    (other_sizes, 10),
    (half_precision, 20),
    (kill_and_resume, 25),
    (rates, 30),
    (any_batch, 20),
]


def do_steps(day: Day) -> bool:
    """Does what is missing; says whether all steps have figures."""
    wanted = [(step, needs) for step, needs in STEPS if not day.steps or step.__name__ in day.steps]
    for step, needs in wanted:
        name = step.__name__
        if day.results.get(name, {}).get("status") == "done":
            continue
        if day.left() < (1 if day.is_small else needs):
            day.results[name] = {"status": "not begun", "reason": f"{day.left():.0f} s were left, it may need {needs}"}
        else:
            day.results[name] = timed(step, day)
        print(f"{name}: {day.results[name]['status']}", flush=True)
        store(day)
    return all(day.results[step.__name__]["status"] == "done" for step, _ in wanted)


def timed(step, day: Day) -> dict:
    begun = time.monotonic()
    try:
        result = {"status": "done", "figures": step(day)}
    except (StepFailed, OSError, subprocess.SubprocessError, KeyError, ValueError) as failed:
        result = {"status": "failed", "reason": f"{type(failed).__name__}: {failed}"}
    return {**result, "seconds": round(time.monotonic() - begun, 1)}


def store(day: Day) -> None:
    """Both files whole, whatever happens next."""
    for name, text in [("day.json", json.dumps(day.results, indent=1)), ("day.md", report(day.results))]:
        staged = day.out / f"{name}.part"
        staged.write_text(text)
        staged.replace(day.out / name)


def report(results: dict) -> str:
    """The figures as a page of Markdown."""
    lines = ["# A day on a GPU", ""]
    for name, result in results.items():
        lines += [f"## {name.replace('_', ' ')}: {result['status']}, {result.get('seconds', 0)} s", ""]
        if "reason" in result:
            lines += [result["reason"], ""]
        if name in ("rates", "outlines") and result["status"] == "done":
            lines += rate_table(result["figures"])
        elif name == "whole_runs" and result["status"] == "done":
            lines += run_table(result["figures"])
        elif "figures" in result:
            lines += ["```json", json.dumps(result["figures"], indent=1), "```", ""]
    return "\n".join(lines) + "\n"


def rate_table(rows: list[dict]) -> list[str]:
    ways = [way for way in ("bare", "infer", "detector") if any(way in row for row in rows)]
    titles = ["model", "side", "batch", *(f"{way} s/window" for way in ways), "speed of detector over bare"]
    lines = [f"| {' | '.join(titles)} |", "| --- " * len(titles) + "|"]
    for row in rows:
        seconds = [row.get(way, "") for way in ways]
        shown = [f"{value:.5f}" if isinstance(value, float) else value for value in seconds]
        bare, ours = row.get("bare"), row.get("detector")
        ratio = f"{bare / ours:.3f}" if isinstance(bare, float) and isinstance(ours, float) else ""
        lines.append(f"| {row['model']} | {row['side']} | {row['batch']} | {' | '.join(shown)} | {ratio} |")
    return [*lines, ""]


def run_table(rows: list[dict]) -> list[str]:
    lines = ["| slide | on | cells | windows | seconds | s/mm² |", "| --- " * 6 + "|"]
    for place, row in enumerate(rows):
        for figures in (row["cpu"], row["device"]):
            cells, area = sum(figures["cells"].values()), figures["analysed_mm2"]
            each = f"{figures['slide_secs'] / area:.3f}" if area else ""
            seconds = f"{figures['slide_secs']:.1f}"
            lines.append(f"| {place} | {figures['device']} | {cells} | {figures['windows']} | {seconds} | {each} |")
    return [*lines, ""]


def unpacked(load: Path, work: Path) -> Path:
    """The folder of a load that may be packed."""
    if load.is_dir():
        return load.resolve()
    with tarfile.open(load) as packed:
        packed.extractall(work / "load", filter="data")
    return work / "load"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("load", type=Path, metavar="LOAD", help="load.tar.xz of `cargo xtask gpu-day`, or its folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for day.json and day.md")
    parser.add_argument("--device", default="cuda", help="as slidemill's --device; cpu rehearses [default: cuda]")
    parser.add_argument("--minutes", type=float, default=9.0, help="no step runs longer than this after the start")
    known = ",".join(step.__name__ for step, _ in STEPS)
    parser.add_argument("--steps", default="", metavar="a,b", help=f"only these of {known}")
    parser.add_argument("--again", type=Path, metavar="DAY_JSON", help="do only what this earlier day.json lacks")
    parser.add_argument("--small", action="store_true", help="small windows and batches: a rehearsal on few cores")
    given = parser.parse_args()

    steps = [step for step in given.steps.split(",") if step]
    if unknown := set(steps) - set(known.split(",")):
        parser.error(f"no such steps: {', '.join(sorted(unknown))}; expected some of {known}")
    ends = time.monotonic() + 60 * given.minutes
    given.out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="gpu-day-"))
    try:
        load = unpacked(given.load, work)
        earlier = json.loads(given.again.read_text()) if given.again else {}
        threads = os.cpu_count() or 1
        day = Day(load, given.out, work, given.device, threads, given.small, ends, steps, earlier)
        is_whole = do_steps(day)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print((given.out / "day.md").read_text())
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
