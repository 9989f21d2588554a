#!/usr/bin/env python3
"""Writes the contracts of class maps.

    pip install -r models/contracts/requirements.txt
    python models/contracts/semantic.py

| contract | model | output | compared with |
| --- | --- | --- | --- |
| segformer | SegFormer of transformers, random weights, first class of none | logits [1, 4, 16, 16] | its `post_process_semantic_segmentation` |
| colours | made by hand: the class of a place is that of the nearest of four colours | scores [N, 4, H/2, W/2] | painted slides |
| patch | the same of the mean colour of a patch of 16 x 16 px | scores [N, 4] | painted slides |
"""

import json

import numpy as np
import torch
import transformers
from onnx import TensorProto, helper
from torch import nn

import contract

SIDE = 64
PATCH_SIDE = 16
CLASSES = ["tumour", "stroma", "necrosis"]


class Logits(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        return (self.model(pixels).logits,)


def segformer():
    torch.manual_seed(5)
    config = transformers.SegformerConfig(
        num_encoder_blocks=4, depths=[1, 1, 1, 1], sr_ratios=[4, 2, 1, 1], hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 1, 1], mlp_ratios=[1, 1, 1, 1], decoder_hidden_size=16,
        num_labels=len(CLASSES) + 1, initializer_range=0.6,
    )
    model = Logits(transformers.SegformerForSemanticSegmentation(config)).eval()
    pixels = contract.tensor(SIDE, **contract.IMAGENET)
    with torch.no_grad():
        # Centred, so that every class is somewhere.
        model.model.decode_head.classifier.bias -= model(pixels)[0].mean(dim=(0, 2, 3))
    size = contract.export("segformer", model, (pixels,), ["pixel_values"], ["logits"])
    with torch.no_grad():
        answered = model.model(pixels)
    processor = transformers.SegformerImageProcessor()
    labels = processor.post_process_semantic_segmentation(answered)[0].numpy()
    rows, columns = labels.shape
    reference = {
        "framework": f"transformers {transformers.__version__}", "side": SIDE, "columns": columns,
        # As in the manifest: 0 is the first class, and the background none.
        "classes": [int(label) - 1 if label > 0 else None for label in labels.ravel()],
    }
    (contract.FOLDER / "segformer.json").write_text(json.dumps(reference) + "\n")
    contract.write_manifest("segformer", SEGFORMER)
    counts = np.bincount(labels.ravel(), minlength=len(CLASSES) + 1)
    print(f"segformer: {size} bytes, {columns} x {rows} places, by class {counts.tolist()}")
    if counts.min() == 0:
        raise SystemExit("a class is nowhere")


def colours():
    """Of the squared distances to the colours, what differs between them is linear: a convolution of one place."""
    halved = helper.make_node("AveragePool", ["pixels"], ["seen"], kernel_shape=[2, 2], strides=[2, 2])
    scored = helper.make_node("Conv", ["seen", "weight", "bias"], ["scores"], kernel_shape=[1, 1])
    by_hand("colours", [halved, scored], ["height", "width"], ["rows", "columns"])
    contract.write_manifest("colours", COLOURS_MANIFEST)


def patch():
    mean = helper.make_node("GlobalAveragePool", ["pixels"], ["seen"])
    scored = helper.make_node("Conv", ["seen", "weight", "bias"], ["of_patch"], kernel_shape=[1, 1])
    flat = helper.make_node("Flatten", ["of_patch"], ["scores"])
    by_hand("patch", [mean, scored, flat], [PATCH_SIDE, PATCH_SIDE], [])
    contract.write_manifest("patch", PATCH_MANIFEST)


def by_hand(name, nodes, sides, places):
    """Writes a graph whose weights tell the nearest of the colours, for pictures and maps with these sides."""
    proto = contract.made_by_hand(
        name,
        nodes,
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, *sides])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", len(contract.COLOURS), *places])],
        contract.nearest_colour(),
    )
    path = contract.FOLDER / f"{name}.onnx"
    path.write_bytes(proto.SerializeToString(deterministic=True))
    print(f"{name}: {path.stat().st_size} bytes")


SEGFORMER = """# SegFormer of transformers. Random weights: what it sees is nothing.
head = "semantic"
activation = "softmax"
background = "first"
mpp = 2.0
stride = 4

[input]
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]

[[classes]]
name = "tumour"

[[classes]]
name = "stroma"

[[classes]]
name = "necrosis"
"""

COLOURS_MANIFEST = """# Made by hand: the class of a place of 2 x 2 px is that of the nearest of four colours, the first of them glass.
head = "semantic"
activation = "softmax"
background = "first"
mpp = 1.0
stride = 2

[input]
mean = [0.0, 0.0, 0.0]

[[classes]]
name = "tumour"

[[classes]]
name = "stroma"

[[classes]]
name = "necrosis"
"""

PATCH_MANIFEST = f"""# Made by hand: the class of a patch is that of the nearest of four colours to its mean, the first of them glass.
head = "patch"
activation = "softmax"
background = "first"
mpp = 1.0
{COLOURS_MANIFEST[COLOURS_MANIFEST.index("[input]") - 1:]}"""


if __name__ == "__main__":
    segformer()
    colours()
    patch()
