#!/usr/bin/env python3
"""Writes the contracts of DETR kinds: random weights, and what their own frameworks answer.

    pip install -r models/contracts/requirements.txt
    python models/contracts/detr.py

| contract | model | outputs | decoding compared with |
| --- | --- | --- | --- |
| rt-detr | RT-DETR of transformers | logits, pred_boxes | its `post_process_object_detection` |
| yolos | YOLOS of transformers, softmax, last score is no class | logits, pred_boxes | the same |
| rf-detr | RF-DETR of transformers under the names of Roboflow's own export | dets, labels | `PostProcess` of rfdetr |
| d-fine | D-FINE of transformers, decoded in the graph as its authors' own export does | labels, boxes, scores | that code |

rfdetr itself and the repositories of RT-DETR and D-FINE are not on the package index with a tiny configuration;
`RfDetrOutputs` and `Deployed` below follow their published code.
"""

import importlib.metadata

import torch
import transformers
from torch import nn
from transformers.image_transforms import center_to_corners_format
from transformers.models.d_fine import modeling_d_fine

import contract

SIDE = 64
QUERIES = 12
FRAMEWORK = f"transformers {importlib.metadata.version('transformers')}"


def sharpened(model, spreads, seed):
    """Random weights whose answers differ: as initialised, all scores are alike and all boxes are. `spreads` are the
    deviations of parameters by part of their name."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        spread = next((spread for part, spread in spreads.items() if part in name), None)
        if parameter.dim() > 1:
            # Signals keep their strength from layer to layer.
            kept = 2 / parameter[0].numel() ** 0.5
            parameter.data = torch.randn(parameter.shape, generator=generator) * (spread or kept)
        elif spread:
            parameter.data = torch.randn(parameter.shape, generator=generator) * spread / 2
    return model.eval()


class Named(nn.Module):
    """The two outputs of a model of transformers, in the order given."""

    def __init__(self, model, order):
        super().__init__()
        self.model, self.order = model, order

    def forward(self, pixels):
        answered = self.model(pixels)
        return tuple(getattr(answered, name) for name in self.order)


class Deployed(nn.Module):
    """D-FINE as `tools/deployment/export_onnx.py` of its authors writes it: `DFINEPostProcessor` in the graph."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images, orig_target_sizes):
        answered = self.model(images)
        logits, boxes = answered.logits, center_to_corners_format(answered.pred_boxes)
        boxes = boxes * orig_target_sizes.repeat(1, 2).unsqueeze(1)
        classes, queries = logits.shape[2], logits.shape[1]
        scores, index = torch.topk(torch.sigmoid(logits).flatten(1), queries, dim=-1)
        labels = index - index // classes * classes
        index = index // classes
        boxes = boxes.gather(dim=1, index=index.unsqueeze(-1).repeat(1, 1, boxes.shape[-1]))
        return labels, boxes, scores


def rows(result):
    """What a framework's decoding answered, best first."""
    found = zip(result["boxes"].tolist(), result["scores"].tolist(), result["labels"].tolist(), strict=True)
    return sorted(found, key=lambda row: -row[1])


def manifest(about, classes, conf, more="", normalisation=None):
    lines = [f"# {about}. Random weights: it finds nothing.", "mpp = 0.5", "max_object_um = 10", f"conf = {conf}"]
    lines += [line for line in more.splitlines() if line]
    if normalisation:
        lines += ["", "[input]", f"mean = {normalisation['mean']}", f"std = {normalisation['std']}"]
    for name in classes:
        lines += ["", "[[classes]]", f'name = "{name}"']
    return "\n".join(lines) + "\n"


PLAIN = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}


def rt_detr():
    config = transformers.RTDetrConfig(
        backbone_config=transformers.RTDetrResNetConfig(
            embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        ),
        encoder_hidden_dim=16, encoder_in_channels=[8, 16, 16], encoder_ffn_dim=16, encoder_attention_heads=2,
        d_model=16, num_queries=QUERIES, decoder_in_channels=[16, 16, 16], decoder_ffn_dim=16, decoder_layers=1,
        decoder_attention_heads=2, num_denoising=0, hidden_expansion=0.5, num_labels=3,
    )
    torch.manual_seed(1)
    model = sharpened(transformers.RTDetrForObjectDetection(config), {"class_embed": 0.6, "bbox_embed": 0.6, "enc_score": 0.6, "enc_bbox": 0.3}, 1)
    processor = transformers.RTDetrImageProcessor()
    finish("rt-detr", "RT-DETR exported from transformers", model, processor, ["logits", "pred_boxes"],
           ["tumour", "lymphocyte", "stroma"], PLAIN)


def yolos():
    config = transformers.YolosConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[SIDE, SIDE],
        patch_size=16, num_detection_tokens=QUERIES, use_mid_position_embeddings=False, num_labels=2,
    )
    torch.manual_seed(2)
    model = sharpened(transformers.YolosForObjectDetection(config), {"classifier": 0.6, "bbox_predictor": 0.6, "detection_tokens": 0.6}, 2)
    processor = transformers.YolosImageProcessor()
    finish("yolos", "YOLOS exported from transformers", model, processor, ["logits", "pred_boxes"],
           ["tumour", "lymphocyte"], contract.IMAGENET, 'activation = "softmax"\nbackground = "last"')


def finish(name, about, model, processor, order, classes, normalisation, more=""):
    """Exports a model whose raw answers are its outputs, and writes what the processor of its framework makes of them."""
    pixels = contract.tensor(SIDE, **normalisation)
    with torch.no_grad():
        answered = model(pixels)
    everything = decoded(processor, answered, 0.0)
    conf = contract.threshold([score for _, score, _ in everything])
    found = decoded(processor, answered, conf)
    write(name, about, Named(model, order), (pixels,), ["pixel_values"], order, classes, conf, found, normalisation, more)


def decoded(processor, answered, conf):
    sizes = torch.tensor([[SIDE, SIDE]])
    return rows(processor.post_process_object_detection(answered, threshold=conf, target_sizes=sizes)[0])


def write(name, about, module, inputs, input_names, output_names, classes, conf, found, normalisation, more):
    size = contract.export(name, module, inputs, input_names, output_names)
    contract.write_reference(name, FRAMEWORK, SIDE, conf, found)
    contract.write_manifest(name, manifest(about, classes, conf, more, normalisation))
    print(f"{name}: {size} bytes, {len(found)} of the answers above {conf}")


def rf_detr():
    backbone = transformers.models.rf_detr.configuration_rf_detr.RfDetrDinov2Config
    config = transformers.RfDetrConfig(
        backbone_config=backbone(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=1, image_size=SIDE, patch_size=16,
            num_windows=2, out_indices=[1, 2],
        ),
        d_model=16, decoder_ffn_dim=16, decoder_layers=1, decoder_self_attention_heads=2,
        decoder_cross_attention_heads=2, num_queries=QUERIES, group_detr=1, decoder_n_points=2, num_labels=3,
    )
    torch.manual_seed(3)
    model = sharpened(transformers.RfDetrForObjectDetection(config), {"class_embed": 0.6, "bbox_embed": 0.1}, 3)
    pixels = contract.tensor(SIDE, **contract.IMAGENET)
    with torch.no_grad():
        answered = model(pixels)
    everything = post_process(answered.logits, answered.pred_boxes)
    conf = contract.threshold([score for _, score, _ in everything])
    found = [row for row in everything if row[1] > conf]
    # Slot 0 is no class: its scores are dropped by who reads the answers.
    found = [(box, score, label - 1) for box, score, label in found if label > 0]
    write("rf-detr", "RF-DETR under the names of Roboflow's export", Named(model, ["pred_boxes", "logits"]), (pixels,),
          ["input"], ["dets", "labels"], ["tumour", "lymphocyte"], conf, found, None, 'background = "first"')


def post_process(logits, boxes):
    """`PostProcess.forward` of rfdetr/models/lwdetr.py, as of January 2026."""
    prob = logits.sigmoid()
    scores, indexes = torch.topk(prob.view(logits.shape[0], -1), QUERIES, dim=1)
    chosen, labels = indexes // logits.shape[2], indexes % logits.shape[2]
    corners = center_to_corners_format(boxes)
    corners = torch.gather(corners, 1, chosen.unsqueeze(-1).repeat(1, 1, 4)) * SIDE
    return list(zip(corners[0].tolist(), scores[0].tolist(), labels[0].tolist(), strict=True))


def d_fine():
    config = transformers.DFineConfig(
        backbone_config=transformers.HGNetV2Config(
            embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], stem_channels=[3, 4, 8],
            stage_in_channels=[8, 8, 8, 16], stage_mid_channels=[4, 4, 8, 8], stage_out_channels=[8, 8, 16, 16],
            stage_num_blocks=[1, 1, 1, 1], stage_numb_of_layers=[1, 1, 1, 1], out_features=["stage2", "stage3", "stage4"],
        ),
        encoder_hidden_dim=16, encoder_in_channels=[8, 16, 16], encoder_ffn_dim=16, encoder_attention_heads=2,
        d_model=16, num_queries=QUERIES, decoder_in_channels=[16, 16, 16], decoder_ffn_dim=16, decoder_layers=2,
        decoder_attention_heads=2, num_denoising=0, hidden_expansion=0.5, max_num_bins=8, lqe_hidden_dim=8,
        decoder_n_points=[2, 2, 2], depth_mult=0.34, num_labels=2,
    )
    # A check of shapes for torch.compile, which has no counterpart in ONNX.
    modeling_d_fine.torch_compilable_check = lambda *_, **__: None
    torch.manual_seed(4)
    model = sharpened(transformers.DFineForObjectDetection(config), {"class_embed": 0.6, "bbox_embed": 0.6}, 4)
    images, sizes = contract.tensor(SIDE), torch.tensor([[SIDE, SIDE]])
    deployed = Deployed(model).eval()
    with torch.no_grad():
        labels, boxes, scores = deployed(images, sizes)
    conf = contract.threshold(scores[0].tolist())
    result = {"boxes": boxes[0], "scores": scores[0], "labels": labels[0]}
    found = [row for row in rows(result) if row[1] > conf]
    write("d-fine", "D-FINE as its authors export it", deployed, (images, sizes), ["images", "orig_target_sizes"],
          ["labels", "boxes", "scores"], ["tumour", "lymphocyte"], conf, found, PLAIN, "")


if __name__ == "__main__":
    rt_detr()
    yolos()
    rf_detr()
    d_fine()
