"""Reads the windows of `benches/read.rs` with other readers, in turn with ours.

    python -m venv .venv-peers && .venv-peers/bin/pip install tiffslide cucim-cu12 openslide-python openslide-bin imagecodecs
    cargo bench --bench read --no-run     # names the bench
    .venv-peers/bin/python benches/read_peers.py SLIDE --ours target/release/deps/read-… [--rows ROWS] [--rounds 5]

Windows of 2048 px of level 0, or of its first ROWS, at strides 2048 and 1024, one
thread, to RGB in memory. With them the floor: the bare decode of the same JPEG tiles by
libjpeg-turbo (through imagecodecs), from memory into one buffer. Every round reads with
every reader once, so that a machine that slows down slows all of them. Printed are Mpx of
the level per second of processor time, and how many times as fast ours is at the same
stride (against the floor: our whole tiles): the median over rounds of each. A reader
that is not installed is skipped, and said so.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np

WINDOW = 2048
FLOOR = "bare libjpeg-turbo, whole tiles"
Reader = Callable[[int, int], np.ndarray]


def starts(size: int, stride: int) -> Iterator[int]:
    return iter(range(0, max(size - (WINDOW - stride), 1), stride))


def tiffslide(path: str) -> tuple[Reader, tuple[int, int]]:
    from tiffslide import TiffSlide

    slide = TiffSlide(path)
    return lambda x, y: slide.read_region((x, y), 0, (WINDOW, WINDOW), as_array=True), slide.dimensions


def cucim(path: str) -> tuple[Reader, tuple[int, int]]:
    from cucim import CuImage

    slide = CuImage(path)
    size = slide.resolutions["level_dimensions"][0]
    return lambda x, y: np.asarray(slide.read_region((x, y), (WINDOW, WINDOW), 0)), size


def openslide(path: str) -> tuple[Reader, tuple[int, int]]:
    from openslide import OpenSlide

    slide = OpenSlide(path)
    return lambda x, y: np.asarray(slide.read_region((x, y), 0, (WINDOW, WINDOW)).convert("RGB")), slide.dimensions


READERS = {"tiffslide": tiffslide, "cuCIM on CPU": cucim, "OpenSlide from Python": openslide}


def seconds(work: Callable[[], object]) -> float:
    """Of the processor."""
    start = time.process_time()
    work()
    return time.process_time() - start


def floor(path: str, rows: int | None) -> Callable[[], float]:
    """Decodes the stored tiles of the first rows, and nothing else; Mpx/s."""
    import imagecodecs
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        if page.compression != 7:
            raise ImportError(f"compression {page.compression}, expected JPEG (7)")
        down = min(rows or page.imagelength, page.imagelength) // page.tilelength
        count = -(-page.imagewidth // page.tilewidth) * down
        tiles = []
        for offset, length in zip(page.dataoffsets[:count], page.databytecounts[:count], strict=True):
            tiff.filehandle.seek(offset)
            tiles.append(tiff.filehandle.read(length))
        colours = "RGB" if page.photometric == 2 else "YCBCR"
        tables, out = page.jpegtables, np.empty((page.tilelength, page.tilewidth, 3), np.uint8)

    def decode() -> None:
        for tile in tiles:
            imagecodecs.jpeg8_decode(tile, tables=tables, colorspace=colours, outcolorspace="RGB", out=out)

    return lambda: out.shape[0] * out.shape[1] * count / seconds(decode) / 1e6


def windows(reader: Reader, size: tuple[int, int], rows: int | None, stride: int) -> Callable[[], float]:
    """Reads all windows; Mpx/s."""
    width, height = size[0], min(rows or size[1], size[1])

    def read() -> None:
        for y in starts(height, stride):
            for x in starts(width, stride):
                reader(x, y)

    return lambda: width * height / seconds(read) / 1e6


def ours(bench: str, path: str, rows: int | None) -> dict[str, float]:
    """Runs our bench for one round; Mpx/s by what it read."""
    command = [bench, "--one-round", *([f"--rows={rows}"] if rows else []), path]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: float(value) for name, value in (line.rsplit(": ", 1) for line in lines)}


def arms(path: str, rows: int | None) -> dict[str, Callable[[], float]]:
    """Everything that is read here."""
    found = {}
    try:
        found[FLOOR] = floor(path, rows)
    except ImportError as error:
        print(f"bare libjpeg-turbo: skipped, {error}")
    for name, open_with in READERS.items():
        try:
            reader, size = open_with(path)
        except ImportError as error:
            print(f"{name}: skipped, {error}")
            continue
        for stride in (WINDOW, WINDOW // 2):
            found[f"{name}, stride {stride}"] = windows(reader, size, rows, stride)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide")
    parser.add_argument("--ours", help="the bench of `benches/read.rs`, built")
    parser.add_argument("--rows", type=int, help="of level 0; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    peers, speeds, ratios = arms(args.slide, args.rows), defaultdict(list), defaultdict(list)
    for _ in range(args.rounds):
        found = ours(args.ours, args.slide, args.rows) if args.ours else {}
        found |= {name: arm() for name, arm in peers.items()}
        for name, speed in found.items():
            speeds[name].append(speed)
            own = found.get(f"slidemill, {name.rsplit(', ', 1)[1]}")
            if own and not name.startswith("slidemill"):
                ratios[name].append(own / speed)
    for name, values in speeds.items():
        times = f"; ours {statistics.median(ratios[name]):.2f} times" if ratios[name] else ""
        print(f"{name:36} {statistics.median(values):7.1f} Mpx/s ({min(values):.1f} to {max(values):.1f}){times}")


if __name__ == "__main__":
    main()
