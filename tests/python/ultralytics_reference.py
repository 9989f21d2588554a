#!/usr/bin/env python3
"""Writes what Ultralytics answers on seeded models and pictures, for the parity test of `detector`.

    python tests/python/ultralytics_reference.py [--out DIR] [--quick]

DIR is $SLIDEMILL_REFERENCE_DIR, else target/reference. For each case it holds

    MODEL.onnx   exported by Ultralytics, random weights from a fixed seed, biased so that hundreds of
                 boxes survive
    CASE.rgb     the letterboxed input, height x width x 3 bytes
    CASE.json    what Ultralytics' own ONNX pipeline answered: boxes in the picture's px, scores, classes,
                 masks as run lengths over the picture (segment models, `retina_masks=True`), and how the
                 picture was letterboxed

A case that is already there is not made again. Needs requirements-ultralytics.txt; the Rust side reads the
files only.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp(prefix="ultralytics-"))
os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")

import numpy as np
import onnxruntime
import torch
from ultralytics import YOLO

# Two thousand small operations do not gain from threads, and lose much on a busy machine.
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[2]
CONF, IOU = 0.25, 0.7

# Name, architecture, classes, and its cases: (side of the model's input, picture height, picture width).
MODELS = [
    ("yolov8n", "yolov8n.yaml", 3, [(640, 640, 640), (1280, 900, 1500), (2048, 2048, 2048)]),
    ("yolo11n", "yolo11n.yaml", 1, [(640, 480, 640), (1280, 1280, 1280)]),
    ("yolov8n-p2", "yolov8n-p2.yaml", 2, [(640, 640, 448), (1280, 1280, 1280)]),
    ("yolov8n-seg", "yolov8n-seg.yaml", 2, [(640, 640, 640), (1280, 768, 1280), (2048, 2048, 2048)]),
    ("yolo11n-seg", "yolo11n-seg.yaml", 1, [(640, 640, 640), (640, 500, 900)]),
]


def picture(height, width, seed):
    """Dark ellipses on a mottled pink ground: RGB bytes."""
    rng = np.random.default_rng(seed)
    ground = rng.normal(0, 1, (height // 16 + 2, width // 16 + 2))
    ground = np.kron(ground, np.ones((16, 16)))[:height, :width]
    rgb = np.stack([225 + 8 * ground, 190 + 14 * ground, 215 + 8 * ground], -1)
    for _ in range(height * width // 2500):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        a, b = rng.uniform(4, 22, 2)
        y0, y1 = max(int(cy - b), 0), min(int(cy + b) + 1, height)
        x0, x1 = max(int(cx - a), 0), min(int(cx + a) + 1, width)
        yy, xx = np.mgrid[y0:y1, x0:x1]
        inside = ((xx - cx) / a) ** 2 + ((yy - cy) / b) ** 2 < 1
        colour = np.array([110, 70, 150]) + rng.normal(0, 18, 3)
        rgb[y0:y1, x0:x1][inside] = colour
    rgb += rng.normal(0, 4, rgb.shape)
    return rgb.clip(0, 255).astype(np.uint8)


def tensor_of(rgb):
    return torch.from_numpy(rgb.transpose(2, 0, 1).copy())[None].float() / 255


def seeded_model(architecture, classes, seed):
    """Random weights whose activations have the spread of a trained net, and confident enough scores."""
    torch.manual_seed(seed)
    model = YOLO(architecture)
    net = model.model
    names = ["cell", "it's", 'a "b"'][:classes]
    rebuilt = type(net)(architecture, ch=3, nc=classes, verbose=False)
    rebuilt.names = dict(enumerate(names))
    rebuilt.args = net.args
    rebuilt.task = net.task
    model.model = net = rebuilt
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.weight.data.uniform_(0.7, 1.3)
        norm.bias.data.normal_(0, 0.2)
    sample = tensor_of(picture(640, 640, seed))
    net.train()
    with torch.no_grad():
        net(sample)
    for norm in norms:
        norm.momentum = 0.03
    net.eval()
    head = net.model[-1]

    with torch.no_grad():
        # Boxes of many sizes: the distance bins get far apart.
        for branch in head.cv2:
            branch[-1].weight.mul_(6)
        for branch in head.cv3:
            branch[-1].bias.zero_()
        # Scores that differ, none near 1, at every stride: the order of suppression is then the same for
        # everybody.
        for branch, logits in zip(head.cv3, class_logits(net, head, sample)):
            branch[-1].weight.mul_(2.5 / float(logits.abs().max()))
        # So many of the sample's anchors pass before suppression; larger pictures have more.
        best = torch.cat([logits.amax(1).flatten() for logits in class_logits(net, head, sample)])
        passing = float(best.sort(descending=True).values[500])
        for branch in head.cv3:
            branch[-1].bias.add_(float(np.log(CONF / (1 - CONF))) - passing)
    return model


def class_logits(net, head, sample):
    """What the class branch of each stride answers."""
    given = []
    hooks = [branch.register_forward_hook(lambda _m, _i, out: given.append(out)) for branch in head.cv3]
    net(sample)
    for hook in hooks:
        hook.remove()
    return given


def export(name, architecture, classes, out, seed):
    path = out / f"{name}.onnx"
    if not path.exists():
        model = seeded_model(architecture, classes, seed)
        with tempfile.TemporaryDirectory() as folder:
            here = Path.cwd()
            os.chdir(folder)
            try:
                made = Path(model.export(format="onnx", imgsz=640, dynamic=True, simplify=False, opset=17)).resolve()
                made.replace(path)
            finally:
                os.chdir(here)
    return path


def runs(mask):
    """Lengths of alternating runs over the flattened mask, the first of zeros."""
    flat = mask.reshape(-1).astype(np.int8)
    borders = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0], borders, [flat.size]])
    lengths = np.diff(edges).tolist()
    return [0, *lengths] if flat.size and flat[0] else lengths


def crop_of(mask, box):
    """The part of a mask that can be set: its box, one pixel wider."""
    height, width = mask.shape
    x0, y0 = max(int(np.floor(box[0])) - 1, 0), max(int(np.floor(box[1])) - 1, 0)
    x1, y1 = min(int(np.ceil(box[2])) + 1, width), min(int(np.ceil(box[3])) + 1, height)
    part = mask[y0:y1, x0:x1]
    assert part.sum() == mask.sum(), "a mask reaches out of its box"
    return {"left": x0, "top": y0, "width": x1 - x0, "height": y1 - y0, "runs": runs(part)}


def answer(path, task, rgb, side):
    """Ultralytics' prediction, the bytes it gave to the model, and the score threshold.

    The threshold lets at most 3000 anchors of the picture pass (fewer where each brings a mask of the whole
    picture: 600 million mask pixels in all), and lies amid a gap between two scores, so that the last bit of
    a score decides nothing.
    """
    given = []
    options = dict(imgsz=side, iou=IOU, max_det=100_000, retina_masks=True, device="cpu", verbose=False)
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    model = YOLO(str(path), task=task)
    model.predict(bgr, conf=0.999, **options)
    predictor = model.predictor
    preprocess = predictor.preprocess
    predictor.preprocess = lambda images: given.append(preprocess(images)) or given[-1]
    model.predict(bgr, conf=0.999, **options)
    predictor.preprocess = preprocess
    tensor = given[-1]
    raw = session(path).run(None, {"images": tensor.numpy()})[0][0]
    classes = len(model.names)
    scores = np.sort(raw[4 : 4 + classes].max(0))[::-1].astype(float)
    most = 3000 if task == "detect" else min(3000, 600_000_000 // (rgb.shape[0] * rgb.shape[1]))
    last = min(most, int((scores > CONF).sum()))
    gaps = scores[max(last - 50, 0) : last] - scores[max(last - 49, 1) : last + 1]
    cut = max(last - 50, 0) + int(gaps.argmax())
    conf = float(scores[cut] + scores[cut + 1]) / 2
    result = model.predict(bgr, conf=conf, **options)[0]
    pixels = (tensor[0] * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return result, pixels, conf


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def make(name, path, task, side, height, width, seed, out):
    case = f"{name}-{side}-{height}x{width}"
    target = out / f"{case}.json"
    if target.exists():
        return
    rgb = picture(height, width, seed)
    result, pixels, conf = answer(path, task, rgb, side)
    in_height, in_width = pixels.shape[:2]
    gain = min(in_height / height, in_width / width)
    boxes = result.boxes.xyxy.numpy()
    reference = {
        "model": path.name,
        "input": f"{case}.rgb",
        "height": in_height,
        "width": in_width,
        "picture_height": height,
        "picture_width": width,
        "gain": gain,
        "conf": conf,
        "iou": IOU,
        "boxes": boxes.astype(float).tolist(),
        "scores": result.boxes.conf.numpy().astype(float).tolist(),
        "classes": result.boxes.cls.numpy().astype(int).tolist(),
        "masks": None,
    }
    if result.masks is not None:
        masks = result.masks.data.numpy() > 0.5
        reference["masks"] = [crop_of(mask, box) for mask, box in zip(masks, boxes)]
    (out / f"{case}.rgb").write_bytes(pixels.tobytes())
    partial = target.with_suffix(".tmp")
    partial.write_text(json.dumps(reference))
    partial.replace(target)
    print(f"{case}: {len(boxes)} boxes, input {in_width} x {in_height}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("SLIDEMILL_REFERENCE_DIR") or ROOT / "target" / "reference"
    parser.add_argument("--out", type=Path, default=Path(default))
    parser.add_argument("--quick", action="store_true", help="only the cases of side 640")
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for seed, (name, architecture, classes, cases) in enumerate(MODELS):
        path = export(name, architecture, classes, out, seed)
        task = "segment" if name.endswith("-seg") else "detect"
        for side, height, width in cases:
            if not options.quick or side == 640:
                make(name, path, task, side, height, width, seed, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
