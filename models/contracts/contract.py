"""What the scripts in this folder share: the picture every model is shown, and how a contract is written.

A contract is three files of one name in `detector/tests/contracts`: the model (ONNX, random weights), its manifest
(TOML) and what its own framework made of the picture (JSON).
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

FOLDER = Path(__file__).resolve().parents[2] / "detector/tests/contracts"
MOST_BYTES = 200_000
# Distance that the threshold keeps from the scores next to it, so that no rounding moves one across.
LEAST_GAP = 1e-3
# Between an export and its model, as a part of the largest number.
MOST_DIFFERENCE = 2e-5
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}

# Glass, then the classes. Painted slides of the tests are of these colours.
COLOURS = np.array([[244, 242, 244], [142, 74, 150], [226, 150, 190], [120, 128, 196]], dtype=np.float64)


def nearest_colour():
    """Weight and bias of a convolution of one place whose largest score is that of the nearest of the colours."""
    palette = COLOURS / 255
    weight = (2 * palette).astype(np.float32)[:, :, None, None]
    bias = (-(palette**2).sum(axis=1)).astype(np.float32)
    return [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")]


def picture(side):
    """RGB bytes, side x side x 3, that the Rust tests make by the same rule."""
    places = np.arange(side * side * 3, dtype=np.uint64)
    return ((places * np.uint64(2_654_435_761)) >> np.uint64(13)).astype(np.uint8).reshape(side, side, 3)


def tensor(side, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)):
    """The picture as frameworks are given it: [1, 3, side, side], over 255, less the mean, over the deviation."""
    import torch  # Only where a network of torch is exported.

    pixels = torch.from_numpy(picture(side)).permute(2, 0, 1)[None].float() / 255
    mean, std = torch.tensor(mean), torch.tensor(std)
    return (pixels - mean[:, None, None]) / std[:, None, None]


def threshold(scores):
    """A score with room around it that about half of the answers pass."""
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    gaps = ordered[1:] - ordered[:-1]
    middle = np.abs(np.arange(len(gaps)) - len(gaps) / 2)
    wide = np.flatnonzero(gaps > 2 * LEAST_GAP)
    if len(wide) == 0:
        raise SystemExit(f"no gap of {2 * LEAST_GAP} between the scores: {ordered}")
    place = wide[np.argmin(middle[wide])]
    return round(float(ordered[place] + ordered[place + 1]) / 2, 4)


def export(name, model, inputs, input_names, output_names):
    """Writes NAME.onnx with opset 18, without what is only for people to read."""
    import torch

    model.eval()
    program = torch.onnx.export(
        model, inputs, dynamo=True, opset_version=18, input_names=input_names, output_names=output_names,
        verbose=False, optimize=True,
    )
    proto = program.model_proto
    strip(proto.graph)
    del proto.metadata_props[:]
    for function in proto.functions:
        strip(function)
    size = write_model(name, proto)
    compare(FOLDER / f"{name}.onnx", model, inputs)
    return size


def made_by_hand(name, nodes, given, answered, weights):
    """A checked model of one graph, with these inputs and outputs."""
    graph = helper.make_graph(nodes, name, given, answered, weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(proto)
    return proto


def write_model(name, proto):
    """Writes NAME.onnx, the same bytes for the same model; gives their number."""
    onnx.checker.check_model(proto)
    path = FOLDER / f"{name}.onnx"
    FOLDER.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(f"{path.name} has {size} bytes, expected at most {MOST_BYTES}")
    return size


def compare(path, model, inputs):
    """Refuses an export that answers otherwise than the model: the choice among equal scores is left to the runtime."""
    session = onnxruntime.InferenceSession(str(path))
    given = {place.name: value.numpy() for place, value in zip(session.get_inputs(), inputs, strict=True)}
    import torch

    with torch.no_grad():
        expected = model(*inputs)
    for place, theirs, ours in zip(session.get_outputs(), expected, session.run(None, given), strict=True):
        theirs = theirs.numpy()
        worst = float(np.abs(theirs - ours).max() / max(np.abs(theirs).max(), 1))
        if worst > MOST_DIFFERENCE:
            raise SystemExit(f"{path.name}: {place.name} differs by {worst:.1e} of its largest number from the framework's own answer")


def strip(graph):
    """Drops traces of the exporter: stack traces and names of scopes, some of them paths of this machine."""
    graph.doc_string = ""
    del graph.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    if isinstance(graph, onnx.GraphProto):
        del graph.value_info[:]
        for value in [*graph.input, *graph.output]:
            value.doc_string = ""
            del value.metadata_props[:]
        for initializer in graph.initializer:
            initializer.doc_string = ""
            del initializer.metadata_props[:]


def write_reference(name, framework, side, conf, found):
    """Writes NAME.json; `found` is a list of (box as x0, y0, x1, y1 in px, score, class), best first."""
    rows = [{"box": list(map(float, box)), "score": float(score), "class": int(label)} for box, score, label in found]
    reference = {"framework": framework, "side": side, "conf": conf, "found": rows}
    (FOLDER / f"{name}.json").write_text(json.dumps(reference, indent=1) + "\n")


def write_manifest(name, text):
    """Writes NAME.toml."""
    (FOLDER / f"{name}.toml").write_text(text)
