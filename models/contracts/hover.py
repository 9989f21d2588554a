#!/usr/bin/env python3
"""Writes the contract of maps of nuclei: random weights, and what OpenCV, scipy and scikit-image make of their maps.

    python models/contracts/hover.py

HoVer-Net, CellViT, HistoPLUS and NuLite are not on the package index with a tiny configuration. The graph below is made by
hand with their outputs: raw scores of background and nucleus (`np`), offsets across and down (`hv`), which rise where the
former curve down, and raw scores of types, the first of them background (`tp`). The rule is that of `tests/python/hover_reference.py`, which must run in the same
environment.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import skimage
from onnx import TensorProto, helper, numpy_helper

import contract

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests/python"))
import hover_reference  # noqa: E402

SIDE = 96
MPP = 0.5
CONF = 0.45
CHANNELS = 8
# Deviation of offsets: small, as borders of an empty window have large ones.
OFFSET = 0.02
MAPS = {"np": 2, "hv": 2, "tp": hover_reference.TYPES}
# Seen by chance to give nuclei of all classes, some of them cut apart.
SEED = 4


def graph(weights):
    """Two convolutions around a mean that makes shapes out of noise, then one per map."""
    nodes = [
        helper.make_node("Conv", ["pixels", "look"], ["looked"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Relu", ["looked"], ["seen"]),
        helper.make_node("AveragePool", ["seen"], ["shapes"], kernel_shape=[9, 9], pads=[4] * 4),
        helper.make_node("AveragePool", ["shapes"], ["smooth"], kernel_shape=[5, 5], pads=[2] * 4),
    ]
    nodes += [
        helper.make_node("Conv", ["smooth", f"{name}_weight", f"{name}_bias"], [name], pads=[pad] * 4)
        for name, pad in (("np", 0), ("hv", 1), ("tp", 0))
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", count, "height", "width"])
        for name, count in MAPS.items()
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, "height", "width"])
    held = [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()]
    return contract.made_by_hand("hover", nodes, [pixels], outputs, held)


def answers(weights):
    session = onnxruntime.InferenceSession(graph(weights).SerializeToString())
    return [maps[0] for maps in session.run(list(MAPS), {"pixels": contract.tensor(SIDE).numpy()})]


def main():
    random = np.random.default_rng(SEED)
    weights = {"look": random.normal(size=(CHANNELS, 3, 3, 3))}
    for name, count in MAPS.items():
        weights[f"{name}_weight"] = random.normal(size=(count, CHANNELS, 1, 1))
        weights[f"{name}_bias"] = np.zeros(count)
    margin = weights["np_weight"][1] - weights["np_weight"][0]
    falling = np.outer([0, 1, 0], [1, 0, -1])
    weights["hv_weight"] = np.stack([margin * falling, margin * falling.T])
    # Centred and of one deviation, so that half of the places are nuclei and no type is nowhere.
    for name, maps in zip(MAPS, answers(weights), strict=True):
        scale = (OFFSET if name == "hv" else 1) / maps.std(axis=(1, 2))
        weights[f"{name}_weight"] *= scale[:, None, None, None]
        weights[f"{name}_bias"] = -maps.mean(axis=(1, 2)) * scale
    nuclei, offsets, types = answers(weights)
    kernel, least = hover_reference.SIZES[MPP]
    numbers = hover_reference.instance_map(hover_reference.probability(nuclei), offsets, kernel, least)
    found = hover_reference.objects(numbers, types.argmax(axis=0))
    shares = np.array([score for _, score, _ in found])
    if np.abs(shares - CONF).min(initial=1) < contract.LEAST_GAP:
        raise SystemExit(f"a score lies at {CONF}: {shares}")
    path = contract.FOLDER / "hover.onnx"
    path.write_bytes(graph(weights).SerializeToString(deterministic=True))
    framework = f"OpenCV {cv2.__version__}, scikit-image {skimage.__version__}"
    contract.write_reference("hover", framework, SIDE, CONF, [row for row in found if row[1] > CONF])
    contract.write_manifest("hover", MANIFEST.format(mpp=MPP, conf=CONF))
    labels = np.bincount([label for _, _, label in found], minlength=hover_reference.TYPES - 1)
    print(f"hover: {path.stat().st_size} bytes, by class {labels.tolist()}, scores {np.round(shares, 3).tolist()}")


MANIFEST = """# Maps of nuclei, offsets and types as HoVer-Net answers them. Random weights: it finds nothing.
mpp = {mpp}
conf = {conf}
stride = 1

[input]
mean = [0.0, 0.0, 0.0]

[[classes]]
name = "tumour"

[[classes]]
name = "lymphocyte"

[[classes]]
name = "stroma"
"""


if __name__ == "__main__":
    main()
