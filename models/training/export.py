"""Writes a trained model as ONNX, in the layout and with the metadata of YOLOv8.

    python export.py --weights RUN/best.pt --out ../nuclei-he/nuclei-he.onnx
    python export.py --weights RUN/best.pt --out ../nuclei-he/nuclei-he-seg.onnx --segment

Input ``images`` float32 [batch, 3, height, width], RGB, 0..1, sides multiples of
16. Output ``output0`` float32 [batch, 4 + classes, N]: cx, cy, w, h in input
pixels, then class scores after the sigmoid; N = height/4 * width/4. With
``--segment`` six mask coefficients follow, and ``output1`` [batch, 6, height/4,
width/4] holds their prototypes (see :class:`Outlined`). Checks itself against
PyTorch and prints the operations of a 2048 x 2048 window.
"""

from __future__ import annotations

import argparse
import ast
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

import data
import evaluate
import net

OPSET = 17
WINDOW = 2048


class Deployed(nn.Module):
    """The network with its decoding, all in [B, C, H, W] so that nothing is transposed."""

    def __init__(self, model: net.NucleusNet) -> None:
        super().__init__()
        self.model, self.stride = model, model.shape.head_stride

    def forward(self, images: Tensor) -> Tensor:
        raw = self.model(images)
        rows = torch.arange(raw.shape[2], dtype=torch.float32).view(1, 1, -1, 1)
        columns = torch.arange(raw.shape[3], dtype=torch.float32).view(1, 1, 1, -1)
        x = (raw[:, 0:1] + columns + 0.5) * self.stride
        y = (raw[:, 1:2] + rows + 0.5) * self.stride
        sides = raw[:, 2:4].clamp(-4.0, 3.0).exp() * net.DEFAULT_SIDE_PX
        return torch.cat([x, y, sides, net.scores(raw[:, 4:], 1)], dim=1).flatten(2)


class Outlined(nn.Module):
    """As :class:`Deployed`, with masks as YOLACT lays them out (Bolya et al. 2019): a
    pixel of a nucleus' box belongs to it where the sum of the prototypes, weighted with
    its coefficients, is positive.

    That sum is what the training-only mask head saw there, P(inside a nucleus) minus
    P(background), plus ``PRIOR`` times ``1 - r^2``, r the distance from the box's centre
    over the radius of an ellipse ``WIDER`` than the box. Where the head is sure the mask
    follows it; the ellipse parts nuclei that touch. It needs x, x^2, y, y^2 and 1 as
    prototypes, counted from the window's middle in units of ``UNIT`` px so that float32
    holds them.
    """

    PRIOR = 1.0
    WIDER = 1.05
    UNIT = 64.0
    PROTOTYPES = 6

    def __init__(self, model: net.NucleusNet) -> None:
        super().__init__()
        self.model, self.stride = model, model.shape.head_stride

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        raw, mask = self.model.forward_with_mask(images)
        y, x = (
            ((torch.arange(raw.shape[axis], dtype=torch.float32) + 0.5) * self.stride).view(shape)
            for axis, shape in ((2, (1, 1, -1, 1)), (3, (1, 1, 1, -1)))
        )
        middle_x, middle_y = raw.shape[3] * self.stride / 2, raw.shape[2] * self.stride / 2
        whole = torch.ones_like(raw[:, :1])

        centre_x, centre_y = raw[:, 0:1] * self.stride + x, raw[:, 1:2] * self.stride + y
        sides = raw[:, 2:4].clamp(-4.0, 3.0).exp() * net.DEFAULT_SIDE_PX
        u, v = (centre_x - middle_x) / self.UNIT, (centre_y - middle_y) / self.UNIT
        a, b = (self.PRIOR / (sides * (self.WIDER / 2 / self.UNIT)) ** 2).chunk(2, dim=1)
        coefficients = [whole, -a, 2 * a * u, -b, 2 * b * v, self.PRIOR - a * u * u - b * v * v]
        answers = torch.cat([centre_x, centre_y, sides, net.scores(raw[:, 4:], 1), *coefficients], dim=1)

        share = mask.softmax(dim=1)
        u, v = whole * (x - middle_x) / self.UNIT, whole * (y - middle_y) / self.UNIT
        prototypes = [share[:, 1:2] - share[:, 0:1], u * u, u, v * v, v, whole]
        return answers.flatten(2), torch.cat(prototypes, dim=1)


def load(
    weights: list[Path], segment: bool = False, classes: int | None = None, shares: list[float] | None = None
) -> net.NucleusNet:
    """The network, without its training-only mask head unless ``segment``, and without
    its answer to *which kind* where ``classes`` is 1. Of several checkpoints of one run
    the mean is taken (Izmailov et al. 2018, stochastic weight averaging), with ``shares`` if given."""
    shares = shares or [1.0] * len(weights)
    if len(shares) != len(weights):
        raise SystemExit(f"--shares has {len(shares)} numbers for {len(weights)} files of weights: give one for each")
    files = [torch.load(path, map_location="cpu", weights_only=False) for path in weights]
    shape = net.Shape(**files[0]["shape"])
    if classes not in (None, 1, shape.classes):
        raise SystemExit(f"{weights[0]}: {classes} names are given, the network tells {shape.classes} classes")
    model = net.NucleusNet(replace(shape, classes=classes or shape.classes), auxiliary=segment)
    if segment and model.mask is None:
        raise SystemExit(f"{weights[0]}: --segment needs a head at stride 4, this one's is at {model.shape.head_stride}")
    mean = {
        name: sum(f.get("average", f["model"])[name].float() * (each / sum(shares)) for f, each in zip(files, shares)).to(value.dtype)
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(mean)
    return model.eval()


def deployed(model: net.NucleusNet) -> nn.Module:
    """What is exported: with outlines where there is a mask head."""
    return (Deployed if model.mask is None else Outlined)(model).eval()


def write(model: net.NucleusNet, path: Path) -> None:
    """Traces with dynamic batch, height and width; batch norm is folded."""
    axes = {"images": {0: "batch", 2: "height", 3: "width"}, "output0": {0: "batch", 2: "cells"}}
    if model.mask is not None:
        axes["output1"] = {0: "batch", 2: "rows", 3: "columns"}
    torch.onnx.export(
        deployed(model),
        (torch.rand(1, 3, 128, 96),),
        str(path),
        input_names=["images"],
        output_names=[name for name in axes if name != "images"],
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )


def set_metadata(path: Path, entries: dict[str, str]) -> None:
    """Writes ``metadata_props``, replacing entries of the same name. Also names the
    number of output channels, which tracing leaves open, and drops unused op sets."""
    model = onnx.load(str(path))
    coefficients = Outlined.PROTOTYPES if entries["task"] == "segment" else 0
    channels = [4 + len(ast.literal_eval(entries["names"])) + coefficients, coefficients]
    for output, count in zip(model.graph.output, channels):
        output.type.tensor_type.shape.dim[1].dim_value = count
    used = {node.domain for node in model.graph.node}
    for index in reversed(range(len(model.opset_import))):
        if model.opset_import[index].domain not in used:
            del model.opset_import[index]
    merged = {p.key: p.value for p in model.metadata_props} | entries
    onnx.helper.set_model_props(model, merged)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def operations(model: net.NucleusNet, side: int = WINDOW) -> float:
    """GFLOPs (two per multiply-add, convolutions only) of one side x side window."""
    total = 0.0

    def count(layer: nn.Conv2d, _: tuple, out: Tensor) -> None:
        nonlocal total
        total += 2 * layer.weight[0].numel() * out[0].numel()

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        model(torch.zeros(1, 3, 256, 256))
    for hook in hooks:
        hook.remove()
    return total * (side / 256) ** 2 / 1e9


def parity(model: net.NucleusNet, path: Path, picture: np.ndarray) -> float:
    """Largest difference between ONNX Runtime and PyTorch, pixels and scores alike, masks aside."""
    picture = evaluate.padded(picture, net.MAX_STRIDE)
    tensor = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None].float() / 255
    with torch.no_grad():
        outputs = deployed(model)(tensor)
    expected = (outputs[0] if model.mask is not None else outputs)[0].numpy()
    found = evaluate.onnx_predictor(path)(picture)
    return float(np.abs(found - expected[: len(found)]).max())


def seconds(path: Path, threads: int, side: int = WINDOW, rounds: int = 3) -> float:
    """Best time of one window on the CPU."""
    predict = evaluate.onnx_predictor(path, threads)
    picture = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        predict(picture)
        times.append(time.perf_counter() - start)
    return min(times)


def metadata(args: argparse.Namespace, conf: float) -> dict[str, str]:
    """As Ultralytics writes it, and what slidemill adds."""
    names = dict(enumerate(args.names))
    return {
        "description": args.description,
        "author": "The slidemill authors",
        "version": args.version,
        "license": "CC-BY-4.0",
        "attribution": "Trained on TNBC (Naylor et al. 2018, CC BY 4.0) and BBBC038 / DSB2018 (CC0)"
        + args.also,
        "task": "segment" if args.segment else "detect",
        "stride": str(net.MAX_STRIDE),
        "batch": "1",
        "imgsz": str([WINDOW, WINDOW]),
        "names": str(names),
        "mpp": str(data.MODEL_MPP),
        "max_object_um": str(args.max_object_um),
        "conf": f"{conf:.2f}",
        "nms_iou": str(args.nms_iou),
        # Kinds of one nucleus: which box it is was decided before its kind.
        **({"cross_class_iou": str(args.nms_iou)} if len(names) > 1 else {}),
    }


def main() -> None:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, nargs="+", required=True, help="several: their mean")
    parser.add_argument("--shares", type=float, nargs="+", help="what each of several weighs in their mean; default: the same")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=here.parents[2] / "shared" / "nuclei")
    parser.add_argument("--segment", action="store_true", help="with outlines, from the mask head")
    parser.add_argument("--names", nargs="+", default=["nucleus"])
    parser.add_argument(
        "--description", default="Nuclei in H&E, 0.25 to 0.5 um per pixel. Not for clinical use."
    )
    parser.add_argument("--also", default="", help="more to attribute")
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--conf", type=float, help="working threshold; default: chosen on dev")
    parser.add_argument("--nms-iou", type=float, default=0.4)
    parser.add_argument("--max-object-um", type=int, default=24)
    args = parser.parse_args()

    model = load(args.weights, args.segment, len(args.names), args.shares)
    sets = evaluate.dev_sets(args.data)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write(model, args.out)
    figures = evaluate.report(
        evaluate.onnx_predictor(args.out), sets, net.MAX_STRIDE, args.nms_iou, args.conf
    )
    conf = figures["tnbc"]["working"]["threshold"]
    set_metadata(args.out, metadata(args, conf))
    difference = parity(model, args.out, data.at_model_mpp(sets["tnbc"][0]))
    print(evaluate.line(figures).replace(" | ", "\n"))
    print(
        f"size {args.out.stat().st_size / 1e6:.2f} MB, {operations(model):.1f} GFLOPs per {WINDOW} window, "
        f"differs from PyTorch by {difference:.1e}"
    )
    for threads in (1, 2):
        print(f"{seconds(args.out, threads):.2f} s per window with {threads} threads")
    assert difference < 1e-3, "the export does not agree with PyTorch"


if __name__ == "__main__":
    main()
