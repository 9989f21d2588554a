"""Writes the tiles of a small slide again and again, into one as large as wanted.

    python -m venv .venv-peers && .venv-peers/bin/pip install tifffile numpy
    .venv-peers/bin/python benches/repeat_slide.py SLIDE OUT.svs --width 20000 --height 20000 [--shared]

SLIDE is an Aperio file of JPEG tiles. OUT is a BigTIFF of one level, made of the
tiles that SLIDE fills whole, as stored: decoding it costs what decoding tissue like
SLIDE's costs. With `--shared` every tile is stored once and pointed at many times:
small files for measuring memory, but no figure for disks.
"""

from __future__ import annotations

import argparse
import re
import struct
from pathlib import Path

import tifffile

SHORT, LONG8, UNDEFINED, ASCII = 3, 16, 7, 2
FORMATS = {SHORT: "H", LONG8: "Q"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=20000)
    parser.add_argument("--height", type=int, default=20000)
    parser.add_argument("--shared", action="store_true", help="store every tile once")
    args = parser.parse_args()
    with tifffile.TiffFile(args.slide) as tiff:
        page = tiff.pages[0]
        if page.compression != 7 or not page.is_tiled:
            raise SystemExit(f"{args.slide}: compression {page.compression}, expected tiles in JPEG (7)")
        write(args.out, page, stored_tiles(tiff, page), (args.width, args.height), args.shared)


def stored_tiles(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> list[list[bytes]]:
    """Rows of tiles that lie wholly inside."""
    columns = -(-page.imagewidth // page.tilewidth)
    whole_columns, whole_rows = page.imagewidth // page.tilewidth, page.imagelength // page.tilelength

    def tile(index: int) -> bytes:
        tiff.filehandle.seek(page.dataoffsets[index])
        return tiff.filehandle.read(page.databytecounts[index])

    return [[tile(row * columns + column) for column in range(whole_columns)] for row in range(whole_rows)]


def write(out: Path, page: tifffile.TiffPage, tiles: list[list[bytes]], size: tuple[int, int], shared: bool) -> None:
    (width, height), (across, down) = size, (-(-size[0] // page.tilewidth), -(-size[1] // page.tilelength))
    offsets: list[int] = []
    counts: list[int] = []
    known: dict[bytes, int] = {}
    with out.open("wb") as file:
        file.write(bytes(16))
        for row in range(down):
            for column in range(across):
                tile = tiles[row % len(tiles)][column % len(tiles[0])]
                if not (shared and tile in known):
                    known[tile] = file.tell()
                    file.write(tile)
                offsets.append(known[tile])
                counts.append(len(tile))
        described = re.sub(r"\d+x\d+", f"{width}x{height}", page.description)
        tags = {
            256: (LONG8, [width]),
            257: (LONG8, [height]),
            258: (SHORT, [8, 8, 8]),
            259: (SHORT, [7]),
            262: (SHORT, [int(page.photometric)]),
            270: (ASCII, described.encode() + b"\0"),
            277: (SHORT, [3]),
            284: (SHORT, [1]),
            322: (SHORT, [page.tilewidth]),
            323: (SHORT, [page.tilelength]),
            324: (LONG8, offsets),
            325: (LONG8, counts),
            347: (UNDEFINED, page.tags[347].value),
        }
        if 530 in page.tags:
            tags[530] = (SHORT, list(page.tags[530].value))
        directory = finish(file, tags)
        file.seek(0)
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, directory))


def finish(file, tags: dict[int, tuple[int, list[int] | bytes]]) -> int:
    """Writes the directory of a BigTIFF, its long values first; its offset."""
    entries = []
    for tag, (kind, values) in sorted(tags.items()):
        data = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{FORMATS[kind]}", *values)
        if len(data) > 8:
            file.write(bytes(-file.tell() % 8))
            place = struct.pack("<Q", file.tell())
            file.write(data)
        else:
            place = data.ljust(8, b"\0")
        entries.append(struct.pack("<HHQ", tag, kind, len(values)) + place)
    file.write(bytes(-file.tell() % 8))
    directory = file.tell()
    file.write(struct.pack("<Q", len(entries)) + b"".join(entries) + bytes(8))
    return directory


if __name__ == "__main__":
    main()
