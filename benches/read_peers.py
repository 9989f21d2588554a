"""Reads the windows of `benches/read.rs` with other readers, for comparison.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install tiffslide cucim-cu12 openslide-python openslide-bin imagecodecs
    /tmp/peers/bin/python benches/read_peers.py SLIDE [--rows ROWS] [--rounds 3]

Windows of 2048 px of level 0, or of its first ROWS, at strides 2048 and 1024, one
thread, to RGB in memory. The best of the rounds counts, by the clock and by
processor time, in Mpx of the level per second: the figures `cargo bench --bench
read` prints, so run both in one go on one machine. Before them the floor: the bare
decode of the same JPEG tiles by libjpeg-turbo (through imagecodecs), from memory into
one buffer. A reader that is not installed is skipped, and said so.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np

WINDOW = 2048
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


READERS = {"tiffslide": tiffslide, "cuCIM on CPU": cucim, "OpenSlide, Python": openslide}


def floor(path: str, rows: int | None, rounds: int) -> None:
    """Decodes the stored tiles of the first rows, and nothing else."""
    import imagecodecs
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        if page.compression != 7:
            print(f"bare libjpeg-turbo: skipped, compression {page.compression}, expected JPEG (7)")
            return
        count = -(-page.imagewidth // page.tilewidth) * min((rows or page.imagelength) // page.tilelength, page.imagelength // page.tilelength)
        tiles = []
        for offset, length in zip(page.dataoffsets[:count], page.databytecounts[:count], strict=True):
            tiff.filehandle.seek(offset)
            tiles.append(tiff.filehandle.read(length))
        colours = "RGB" if page.photometric == 2 else "YCBCR"
        tables, out = page.jpegtables, np.empty((page.tilelength, page.tilewidth, 3), np.uint8)
    times = []
    for _ in range(rounds):
        clock, processor = time.perf_counter(), time.process_time()
        for tile in tiles:
            imagecodecs.jpeg8_decode(tile, tables=tables, colorspace=colours, outcolorspace="RGB", out=out)
        times.append((time.perf_counter() - clock, time.process_time() - processor))
    show("bare libjpeg-turbo", "", out.shape[0] * out.shape[1] * count, times)


def show(name: str, what: str, px: int, times: list[tuple[float, float]]) -> None:
    clock, processor = (px / min(each) / 1e6 for each in zip(*times, strict=True))
    print(f"{name:18} {what:12}: {clock:7.1f} Mpx/s by the clock, {processor:7.1f} by processor time", flush=True)


def once(read: Reader, width: int, rows: int, stride: int) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    for y in starts(rows, stride):
        for x in starts(width, stride):
            read(x, y)
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide")
    parser.add_argument("--rows", type=int, help="of level 0; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    try:
        floor(args.slide, args.rows, args.rounds)
    except ImportError as error:
        print(f"bare libjpeg-turbo: skipped, {error}")
    for name, open_with in READERS.items():
        try:
            read, (width, height) = open_with(args.slide)
        except ImportError as error:
            print(f"{name}: skipped, {error}")
            continue
        rows = min(args.rows or height, height)
        for stride in (WINDOW, WINDOW // 2):
            times = [once(read, width, rows, stride) for _ in range(args.rounds)]
            show(name, f"stride {stride}", width * rows, times)


if __name__ == "__main__":
    main()
