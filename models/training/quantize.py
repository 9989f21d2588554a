"""Makes an int8 model, calibrated on your own pictures.

    python quantize.py --model ../nuclei-he/nuclei-he.onnx --out my.int8.onnx --crops FOLDER

Static quantisation in QDQ form: weights per channel, activations per tensor. The
ranges come from crops at the model's pixel size (any PNG, JPEG or TIFF that Pillow
reads; sides are cut to multiples of the stride); without ``--crops`` they come from
the training fields. Everything after the last shared convolution stays float: a box
needs more than 8 bits. Prints what it costs on dev and what it gains in time;
``--reduce-range`` is for CPUs without VNNI, where int8 products can overflow.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

import data
import evaluate
import export

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}


class Pictures(CalibrationDataReader):
    """Feeds uint8 pictures [H, W, 3] one by one."""

    def __init__(self, pictures: list[np.ndarray], multiple: int) -> None:
        self.feed = iter(self._tensors(pictures, multiple))

    @staticmethod
    def _tensors(pictures: list[np.ndarray], multiple: int) -> Iterator[dict[str, np.ndarray]]:
        for picture in pictures:
            h, w = (side // multiple * multiple for side in picture.shape[:2])
            tensor = picture[:h, :w].transpose(2, 0, 1)[None].astype(np.float32) / 255
            yield {"images": np.ascontiguousarray(tensor)}

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feed, None)


def pictures(args: argparse.Namespace) -> list[np.ndarray]:
    """The user's crops, or else the training fields at the model's pixel size."""
    if args.crops:
        files = sorted(
            p for p in args.crops.iterdir() if p.suffix.lower() in {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
        )
        return [np.asarray(Image.open(p).convert("RGB")) for p in files[: args.limit]]
    fields = [f for name in ("tnbc", "dsb2018") for f in data.load_mask_set(args.data, name, "train")]
    fields += data.load_dot_set(args.data, "train")
    return [data.at_model_mpp(f) for f in fields[:: max(1, len(fields) // args.limit)]]


def float_nodes(model: onnx.ModelProto, keep: list[str]) -> list[str]:
    """Nodes that stay float: all after the last 3x3 convolution, and any whose name
    contains one of ``keep``."""
    nodes = list(model.graph.node)
    shapes = {i.name: tuple(i.dims) for i in model.graph.initializer}
    last = max(i for i, n in enumerate(nodes) if n.op_type == "Conv" and shapes[n.input[1]][-1] == 3)
    late = [n.name for n in nodes[last + 2 :]]
    return late + [n.name for n in nodes if any(word in n.name for word in keep)]


def main() -> None:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=here.parent / "nuclei-he" / "nuclei-he.onnx")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--crops", type=Path, help="folder of pictures at the model's mpp")
    parser.add_argument("--data", type=Path, default=here.parents[2] / "shared" / "nuclei")
    parser.add_argument("--limit", type=int, default=48, help="pictures to calibrate on")
    parser.add_argument("--method", default="minmax", choices=sorted(METHODS))
    parser.add_argument(
        "--keep-float", nargs="*", default=["/stem/"], help="parts of names of nodes to leave alone"
    )
    parser.add_argument("--reduce-range", action="store_true")
    args = parser.parse_args()

    source = onnx.load(str(args.model))
    meta = {p.key: p.value for p in source.metadata_props}
    multiple, conf, nms_iou = int(meta["stride"]), float(meta["conf"]), float(meta["nms_iou"])
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(args.model), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(args.out),
            Pictures(pictures(args), multiple),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=args.reduce_range,
            calibrate_method=METHODS[args.method],
            nodes_to_exclude=float_nodes(onnx.load(str(prepared)), args.keep_float),
        )
    export.set_metadata(args.out, meta | {"precision": "int8"})
    sets = evaluate.dev_sets(args.data)
    for path in (args.model, args.out):
        figures = evaluate.report(evaluate.onnx_predictor(path), sets, multiple, nms_iou, conf)
        times = ", ".join(f"{export.seconds(path, n):.2f} s with {n} threads" for n in (1, 2))
        print(
            f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, {times}\n  "
            + evaluate.line(figures).replace(" | ", "\n  ")
        )


if __name__ == "__main__":
    main()
