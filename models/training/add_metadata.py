"""Adds what slidemill needs to know to an ONNX model trained elsewhere.

    python add_metadata.py my-model.onnx mpp=0.5 max_object_um=24 conf=0.3

Every ``key=value`` becomes a string in ``metadata_props``; an empty value removes
the entry. Without pairs it prints what is there. Works on any ONNX file, also one
exported by Ultralytics, and needs nothing but the ``onnx`` package.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx


def pair(text: str) -> tuple[str, str]:
    """``key=value`` taken apart; ``mpp`` must be a plausible pixel size."""
    key, found, value = text.partition("=")
    if not found or not key:
        raise argparse.ArgumentTypeError(f"expected key=value, found {text!r}")
    if key == "mpp" and value:
        try:
            plausible = 0.05 <= float(value) <= 5
        except ValueError:
            plausible = False
        if not plausible:
            raise argparse.ArgumentTypeError(f"mpp is microns per pixel, 0.05 to 5, found {value!r}")
    return key, value


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("pairs", nargs="*", type=pair, metavar="key=value")
    args = parser.parse_args()
    model = onnx.load(str(args.model))
    entries = {p.key: p.value for p in model.metadata_props} | dict(args.pairs)
    entries = {key: value for key, value in entries.items() if value}
    if args.pairs:
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, entries)
        part = args.model.with_suffix(".part")
        onnx.save(model, str(part))
        part.replace(args.model)
    for key in sorted(entries):
        print(f"{key}={entries[key]}")


if __name__ == "__main__":
    main()
