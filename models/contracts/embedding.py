#!/usr/bin/env python3
"""Writes the contracts of vectors of windows: a small vision transformer with random weights, and the mean colour.

    python models/contracts/embedding.py

Foundation models (UNI, Virchow, H-optimus, DINOv2) are not on the package index with a tiny configuration. `embedding` has
their layout: patches of the picture through a linear map, a class token, places, a block of attention and a block of two
layers, a norm, of which the class token is the answer, scaled to length 1. What is compared is this file's own arithmetic in
numpy, in double precision, by the published formulas, rounded to halves. `mean-colour` answers the mean of red, green and blue, which whoever
paints a window knows. Needs numpy, onnx and onnxruntime only.
"""

import json

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import contract

SIDE, PATCH = 32, 8
WIDTH, HEADS, HIDDEN = 64, 4, 128
PLACES = (SIDE // PATCH) ** 2
NORM = 1e-6
# Of vectors of length 1, whose numbers are about an eighth.
MOST_DIFFERENCE = 2e-7
# Larger steps between two halves are not left to rounding.
LEAST_STEP = 2e-5


def weights():
    """By name; single precision, as the graph holds them."""
    random = np.random.Generator(np.random.PCG64(13))

    def matrix(*sides):
        return (random.standard_normal(sides) / np.sqrt(sides[0])).astype(np.float32)

    return {
        "look": matrix(3 * PATCH * PATCH, WIDTH),
        "token": matrix(1, 1, WIDTH),
        "places": matrix(1, 1 + PLACES, WIDTH) * np.float32(0.5),
        "before": matrix(WIDTH) + np.float32(1),
        "asked": matrix(WIDTH, 3 * WIDTH),
        "told": matrix(WIDTH, WIDTH),
        "between": matrix(WIDTH) + np.float32(1),
        "wide": matrix(WIDTH, HIDDEN),
        "narrow": matrix(HIDDEN, WIDTH),
        "after": matrix(WIDTH) + np.float32(1),
    }


def norm(values, scale):
    mean = values.mean(-1, keepdims=True)
    deviation = np.sqrt(((values - mean) ** 2).mean(-1, keepdims=True) + NORM)
    return (values - mean) / deviation * scale


def softmax(values):
    values = np.exp(values - values.max(-1, keepdims=True))
    return values / values.sum(-1, keepdims=True)


def answer(pixels, own):
    """The vector of a picture [3, side, side], in double precision."""
    own = {name: values.astype(np.float64) for name, values in own.items()}
    cells = SIDE // PATCH
    parts = pixels.reshape(3, cells, PATCH, cells, PATCH).transpose(1, 3, 0, 2, 4).reshape(PLACES, -1)
    tokens = np.concatenate([own["token"][0], parts @ own["look"]]) + own["places"][0]
    asked = (norm(tokens, own["before"]) @ own["asked"]).reshape(-1, 3, HEADS, WIDTH // HEADS)
    queries, keys, values = asked.transpose(1, 2, 0, 3)
    weight = softmax(queries @ keys.transpose(0, 2, 1) / np.sqrt(WIDTH // HEADS))
    tokens = tokens + (weight @ values).transpose(1, 0, 2).reshape(-1, WIDTH) @ own["told"]
    tokens = tokens + np.maximum(norm(tokens, own["between"]) @ own["wide"], 0) @ own["narrow"]
    vector = norm(tokens, own["after"])[0]
    return vector / np.sqrt((vector**2).sum())


class Graph:
    """Nodes and constants of a graph, in order."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, values):
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def model(self, name, side, width):
        pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, side, side])
        vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", width])
        return contract.made_by_hand(name, self.nodes, [pixels], [vectors], self.constants)


def transformer(own):
    graph = Graph()
    for name, values in own.items():
        graph.constant(name, values)
    whole = {name: graph.constant(name, np.array(sides, dtype=np.int64)) for name, sides in {
        "to_cells": [0, 3, SIDE // PATCH, PATCH, SIDE // PATCH, PATCH], "to_parts": [0, PLACES, 3 * PATCH * PATCH],
        "to_heads": [0, 1 + PLACES, 3, HEADS, WIDTH // HEADS], "to_tokens": [0, 1 + PLACES, WIDTH],
        "batch_of": [0], "one": [1], "token_sides": [1, WIDTH], "first": 0, "thirds": [0, 1, 2],
    }.items()}
    root = graph.constant("root", np.float32(np.sqrt(WIDTH // HEADS)))

    cells = graph.node("Reshape", ["pixels", whole["to_cells"]], "cells")
    turned = graph.node("Transpose", [cells], "turned", perm=[0, 2, 4, 1, 3, 5])
    parts = graph.node("MatMul", [graph.node("Reshape", [turned, whole["to_parts"]], "parts"), "look"], "looked")
    size = graph.node("Shape", ["pixels"], "size", start=0, end=1)
    sides = graph.node("Concat", [size, whole["token_sides"]], "sides", axis=0)
    token = graph.node("Expand", ["token", sides], "tokens_first")
    tokens = graph.node("Add", [graph.node("Concat", [token, parts], "joined", axis=1), "places"], "tokens")

    seen = graph.node("LayerNormalization", [tokens, "before"], "seen", axis=-1, epsilon=NORM)
    asked = graph.node("MatMul", [seen, "asked"], "asked_all")
    heads = graph.node("Transpose", [graph.node("Reshape", [asked, whole["to_heads"]], "heads")], "by_third",
                       perm=[2, 0, 3, 1, 4])
    thirds = []
    for place, name in enumerate(["queries", "keys", "values"]):
        index = graph.constant(f"third_{place}", np.int64(place))
        thirds.append(graph.node("Gather", [heads, index], name, axis=0))
    queries, keys, values = thirds
    keys = graph.node("Transpose", [keys], "keys_turned", perm=[0, 1, 3, 2])
    weight = graph.node("Div", [graph.node("MatMul", [queries, keys], "agreement"), root], "scaled")
    weight = graph.node("Softmax", [weight], "weight", axis=-1)
    mixed = graph.node("Transpose", [graph.node("MatMul", [weight, values], "mixed")], "mixed_turned", perm=[0, 2, 1, 3])
    mixed = graph.node("MatMul", [graph.node("Reshape", [mixed, whole["to_tokens"]], "mixed_flat"), "told"], "told_all")
    tokens = graph.node("Add", [tokens, mixed], "tokens_told")

    seen = graph.node("LayerNormalization", [tokens, "between"], "seen_again", axis=-1, epsilon=NORM)
    wide = graph.node("Relu", [graph.node("MatMul", [seen, "wide"], "widened")], "positive")
    tokens = graph.node("Add", [tokens, graph.node("MatMul", [wide, "narrow"], "narrowed")], "tokens_thought")

    token = graph.node("Gather", [tokens, whole["first"]], "class_token", axis=1)
    token = graph.node("LayerNormalization", [token, "after"], "answer", axis=-1, epsilon=NORM)
    graph.node("LpNormalization", [token], "vectors", axis=-1, p=2)
    used = {name for node in graph.nodes for name in node.input}
    graph.constants = [values for values in graph.constants if values.name in used]
    return graph.model("embedding", SIDE, WIDTH)


def mean_colour(side):
    graph = Graph()
    graph.node("Flatten", [graph.node("GlobalAveragePool", ["pixels"], "mean")], "vectors")
    return graph.model("mean-colour", side, 3)


def main():
    own = weights()
    size = contract.write_model("embedding", transformer(own))
    mean, std = (np.array(contract.IMAGENET[name]) for name in ["mean", "std"])
    pixels = ((contract.picture(SIDE) / 255 - mean) / std).transpose(2, 0, 1)
    vector = answer(pixels, own)
    session = onnxruntime.InferenceSession(str(contract.FOLDER / "embedding.onnx"))
    (theirs,) = session.run(None, {"pixels": pixels[None].astype(np.float32)})
    worst = float(np.abs(theirs[0] - vector).max())
    if theirs.shape != (1, WIDTH) or worst > MOST_DIFFERENCE:
        raise SystemExit(f"the graph answers {theirs.shape}, {worst:.1e} from its own arithmetic")
    halves = vector.astype(np.float16)
    nudged = [(vector + by).astype(np.float16) for by in (-MOST_DIFFERENCE, MOST_DIFFERENCE)]
    if any(np.abs(halves.astype(float) - other).max() > LEAST_STEP for other in nudged):
        raise SystemExit("a number lies between two halves, so that rounding decides: take another seed")
    reference = {"framework": f"numpy {np.__version__}", "side": SIDE, "vector": halves.astype(float).tolist()}
    (contract.FOLDER / "embedding.json").write_text(json.dumps(reference, indent=1) + "\n")
    contract.write_manifest("embedding", MANIFEST)
    small = contract.write_model("mean-colour", mean_colour(16))
    contract.write_manifest("mean-colour", MEAN_COLOUR)
    print(f"embedding: {size} bytes, {WIDTH} numbers, {worst:.1e} from numpy; mean-colour: {small} bytes")


MANIFEST = """# Vectors in the layout of a vision transformer. Random weights: they mean nothing.
head = "embedding"
mpp = 0.5

[input]
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
"""

MEAN_COLOUR = """# Made by hand: the vector of a patch is its mean red, green and blue, from 0 to 1.
head = "embedding"
mpp = 1.0

[input]
mean = [0.0, 0.0, 0.0]
"""


if __name__ == "__main__":
    main()
