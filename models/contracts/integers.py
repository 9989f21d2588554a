#!/usr/bin/env python3
"""Writes the contracts of models that answer integers of few bits, made by hand.

    python models/contracts/integers.py

| contract | model | output | compared with |
| --- | --- | --- | --- |
| classes-u8 | the class of a place is that of the nearest of four colours | uint8 [N, H/2, W/2] | painted slides |
| classes-i16 | the same | int16 [N, H/2, W/2] | painted slides |
| labels-u16 | each square of 16 x 16 px that is not glass is an object | uint16 [N, 1, 128, 128], numbers up to 64,000 | painted slides |
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import contract

SIDE = 128
SQUARE = 16
ACROSS = SIDE // SQUARE


def written(name, nodes, given, answered, weights):
    proto = contract.made_by_hand(name, nodes, [given], [answered], [*contract.nearest_colour(), *weights])
    print(f"{name}: {contract.write_model(name, proto)} bytes")


def seen(side):
    """The number of the nearest colour of each square of px, 0 for glass, as int64 [N, 1, rows, columns]."""
    return [
        helper.make_node("AveragePool", ["pixels"], ["seen"], kernel_shape=[side, side], strides=[side, side]),
        helper.make_node("Conv", ["seen", "weight", "bias"], ["scores"], kernel_shape=[1, 1]),
        helper.make_node("ArgMax", ["scores"], ["nearest"], axis=1, keepdims=1),
    ]


def classes(name, kind):
    nodes = [
        *seen(2),
        helper.make_node("Squeeze", ["nearest", "axis"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["classes"], to=kind),
    ]
    given = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, "height", "width"])
    answered = helper.make_tensor_value_info("classes", kind, ["batch", "rows", "columns"])
    written(name, nodes, given, answered, [numpy_helper.from_array(np.array([1], np.int64), "axis")])
    contract.write_manifest(name, f'{CLASSES}\n{INPUT}')


def labels():
    """Numbers are 1000 apart: those of the last squares are negative where they are taken for int16."""
    numbers = (1000 * (1 + np.arange(ACROSS**2, dtype=np.float32))).reshape(1, 1, ACROSS, ACROSS)
    nodes = [
        *seen(SQUARE),
        helper.make_node("Cast", ["nearest"], ["kind"], to=TensorProto.FLOAT),
        helper.make_node("Clip", ["kind", "", "one"], ["is_object"]),
        helper.make_node("Mul", ["is_object", "numbers"], ["of_squares"]),
        helper.make_node(
            "Resize", ["of_squares", "", "scales"], ["of_px"], mode="nearest", coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        helper.make_node("Cast", ["of_px"], ["labels"], to=TensorProto.UINT16),
    ]
    given = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    answered = helper.make_tensor_value_info("labels", TensorProto.UINT16, ["batch", 1, SIDE, SIDE])
    weights = {"numbers": numbers, "one": np.float32(1), "scales": np.array([1, 1, SQUARE, SQUARE], np.float32)}
    weights = [numpy_helper.from_array(np.asarray(value), key) for key, value in weights.items()]
    written("labels-u16", nodes, given, answered, weights)
    contract.write_manifest("labels-u16", LABELS)


INPUT = """[input]
mean = [0.0, 0.0, 0.0]

[[classes]]
name = "tumour"

[[classes]]
name = "stroma"

[[classes]]
name = "necrosis"
"""

CLASSES = """# Made by hand: the number of the nearest of four colours, the first of them glass, for each place of 2 x 2 px.
head = "semantic"
background = "first"
mpp = 1.0
stride = 2
"""

LABELS = """# Made by hand: each square of 16 x 16 px that is not glass is an object.
head = "labels"
mpp = 1.0

[input]
mean = [0.0, 0.0, 0.0]

[[classes]]
name = "square"
"""


if __name__ == "__main__":
    classes("classes-u8", TensorProto.UINT8)
    classes("classes-i16", TensorProto.INT16)
    labels()
