"""Trains a nucleus detector.

    python train.py --out ../../.venv-train/runs/all --steps 1500

Everything random hangs on ``--seed``. The run can be killed and started again
with the same command: it goes on from ``last.pt``. ``best.pt`` holds the averaged
weights that did best on dev.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import augment
import data
import evaluate
import loss
import net

DOT_SETS = ("brca_m2c",)


def collate(crops: list[data.Crop]) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Stacks pictures; truths stay a list, one per picture."""
    keys = ("boxes", "measured", "classes", "mask", "ignore")
    truths = [{k: torch.from_numpy(np.ascontiguousarray(getattr(c, k))) for k in keys} for c in crops]
    return torch.stack([torch.from_numpy(c.image) for c in crops]), truths


class Average:
    """Exponential moving average of weights and statistics; young averages move faster."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay, self.updates = copy.deepcopy(model).eval(), decay, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for mine, theirs in zip(self.model.state_dict().values(), model.state_dict().values()):
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs, 1 - decay)
            else:
                mine.copy_(theirs)


def parameter_groups(model: nn.Module, args: argparse.Namespace) -> list[dict]:
    """Weight decay on convolutions only; the encoder may learn slower (``--encoder-lr``)
    or not at all (``--freeze-encoder``), for fine-tuning on small data."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        encoder = name.startswith(("stem", "down"))
        frozen = (encoder and args.freeze_encoder) or (args.kinds_only and not name.startswith("kind"))
        if frozen:
            parameter.requires_grad_(False)
            continue
        groups.setdefault((encoder, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": params,
            "weight_decay": args.weight_decay if decays else 0.0,
            "factor": args.encoder_lr if encoder else 1.0,
        }
        for (encoder, decays), params in groups.items()
    ]


def load_matching(model: nn.Module, path: Path, device: torch.device) -> set[str]:
    """Takes every weight whose name and shape fit, averaged ones where the file has
    them; a head of other classes starts anew. Returns the names taken."""
    file = torch.load(path, map_location=device)
    weights, own = file.get("average", file["model"]), model.state_dict()
    fitting = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    model.load_state_dict(fitting, strict=False)
    return set(fitting)


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


@torch.no_grad()
def settle_norms(
    model: nn.Module, fields: list[data.Field], device: torch.device, kept: set[str]
) -> None:
    """Measures the batch norms' statistics anew on plain training fields, but for those
    in ``kept``. What training leaves there is the mean over wild crops (ink, glass,
    folds), far from any slide. Kept from then on, so that the network trained is
    exactly the network exported."""
    model.eval()
    for name, norm in model.named_modules():
        if not isinstance(norm, nn.BatchNorm2d) or f"{name}.running_mean" in kept:
            continue
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for item in fields:
        picture = evaluate.padded(data.at_model_mpp(item), net.MAX_STRIDE).transpose(2, 0, 1)
        model(torch.from_numpy(picture.copy())[None].to(device).float() / 255)
    model.eval()


def rate(step: int, args: argparse.Namespace) -> float:
    """Learning rate: linear warm-up, then a cosine down to 2 %."""
    warm = min(1.0, (step + 1) / args.warmup)
    return args.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(step / args.steps, 1))))


def predictor(model: net.NucleusNet, device: torch.device) -> evaluate.Predict:
    """The model as :mod:`evaluate` wants it."""

    @torch.no_grad()
    def predict(image: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())[None].to(device).float() / 255
        boxes, logits = net.decode(model(tensor), model.shape.head_stride)
        return torch.cat([boxes, net.scores(logits, -1)], dim=-1)[0].T.cpu().numpy()

    return predict


def batches(fields: list[data.Field], args: argparse.Namespace, first: int) -> Iterator:
    """Batches from step ``first`` on; the same ones however often the run was stopped."""
    crops = data.Crops(
        fields,
        {name: weight for name, weight in args.sets.items() if weight > 0},
        length=args.steps * args.batch,
        size=args.size,
        seed=args.seed,
        geometry=data.Geometry(scale=tuple(args.scale), mosaic=args.mosaic),
        colour=augment.Colour(args.stain, args.vector, args.tone, args.optics, args.clutter),
        balance=args.field_balance if args.classes > 1 else 0.0,
    )
    order = range(first * args.batch, len(crops))
    return iter(
        DataLoader(
            crops,
            args.batch,
            sampler=order,
            num_workers=args.workers,
            collate_fn=collate,
            prefetch_factor=6 if args.workers else None,
            worker_init_fn=lambda _: torch.set_num_threads(1),
        )
    )


def training_fields(args: argparse.Namespace) -> list[data.Field]:
    """All training fields of the sets that have a weight."""
    fields = []
    for name, weight in args.sets.items():
        if weight <= 0:
            continue
        if name in DOT_SETS:
            fields += data.load_dot_set(args.data, "train", args.dot_boxes, name)
        else:
            fields += data.load_mask_set(args.data, name, "train", class_id=0 if args.classes == 1 else -1)
    if args.classes == 1:
        fields = [replace(f, classes=np.zeros_like(f.classes)) for f in fields]
    return fields


def class_weights(fields: list[data.Field], args: argparse.Namespace) -> tuple[float, ...]:
    """Inverse frequency to the power ``--class-balance``, mean 1; empty for one class."""
    if args.classes == 1:
        return ()
    counts = data.class_counts(fields)
    if len(counts) != args.classes or counts.min() == 0:
        raise SystemExit(f"--classes {args.classes}, but the training dots have {counts.tolist()} per class")
    weights = counts.astype(float) ** -args.class_balance
    return tuple((weights / weights.mean()).tolist())


def worth(figures: dict) -> float:
    """What ``best.pt`` is chosen by: mean F1 over the sets, or macro F1 over classes."""
    per_class = [f["classes"]["best_macro_f1"] for f in figures.values() if "classes" in f]
    return float(np.mean(per_class or [f["working"]["f1"] for f in figures.values()]))


def save(path: Path, **content: object) -> None:
    """Appears whole or not at all."""
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_flush_denormal(True)
    device = torch.device(args.device)
    if args.threads:
        torch.set_num_threads(args.threads)
    shape = net.Shape(tuple(args.widths), tuple(args.depths), args.head_width, args.head_stride, args.classes)
    model = net.NucleusNet(shape, auxiliary=args.mask_weight > 0).to(
        device, memory_format=torch.channels_last
    )
    taken = load_matching(model, args.init, device) if args.init else set()
    fields = training_fields(args)
    if args.hold_norms or args.keep_norms:
        settle_norms(model, fields, device, taken if args.keep_norms else set())
    average = Average(model, args.ema)
    optimiser = torch.optim.AdamW(parameter_groups(model, args), lr=args.lr, betas=(0.9, 0.98), foreach=True)
    weights = loss.Weights(
        box_loss=args.box_loss,
        score_loss=args.score_loss,
        mask=args.mask_weight,
        top=args.top,
        kind=args.kind_weight,
        kinds=class_weights(fields, args),
    )
    first, best, stale = 0, -1.0, 0
    if (args.out / "last.pt").exists():
        state = torch.load(args.out / "last.pt", map_location=device)
        model.load_state_dict(state["model"])
        average.model.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        first, best, stale, average.updates = state["step"], state["best"], state["stale"], state["step"]

    dev = evaluate.dev_sets(args.data)
    start, sums, seen = time.time(), {}, 0
    model.train()
    if args.hold_norms or args.keep_norms:
        for norm in norms(model):
            norm.eval()
    for step, (images, truths) in enumerate(batches(fields, args, first), start=first):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, args) * group["factor"]
        images = images.to(device, memory_format=torch.channels_last)
        truths = [{k: v.to(device) for k, v in t.items()} for t in truths]
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            raw, mask = model.forward_with_mask(images)
        cost, parts = loss.total(raw, mask, truths, shape.head_stride, weights)
        optimiser.zero_grad(set_to_none=True)
        cost.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
        average.update(model)
        seen += 1
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + value
        done = step + 1
        if done % args.every and done != args.steps:
            continue
        figures = evaluate.report(predictor(average.model, device), dev, net.MAX_STRIDE, args.nms_iou, None)
        merit = worth(figures)
        average_parts = " ".join(f"{k} {v / seen:.3f}" for k, v in sums.items())
        print(f"{done} {time.time() - start:.0f}s {average_parts} | {evaluate.line(figures)}", flush=True)
        sums, seen = {}, 0
        best, stale = (merit, 0) if merit > best else (best, stale + 1)
        if stale == 0:
            save(
                args.out / "best.pt",
                model=average.model.state_dict(),
                shape=shape.as_dict(),
                figures=figures,
                step=done,
            )
        save(
            args.out / "last.pt",
            model=model.state_dict(),
            average=average.model.state_dict(),
            optimiser=optimiser.state_dict(),
            step=done,
            best=best,
            stale=stale,
            shape=shape.as_dict(),
            figures=figures,
        )
        if args.stop and done >= args.stop:
            break
        if args.patience and stale >= args.patience:
            print(f"no better for {stale} looks at dev: stopped")
            break


def arguments() -> argparse.Namespace:
    here = Path(__file__).resolve().parent
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, default=here.parents[2] / "shared" / "nuclei")
    p.add_argument("--out", type=Path, required=True, help="folder for best.pt, last.pt and settings.json")
    p.add_argument(
        "--sets",
        type=json.loads,
        default={"tnbc": 0.65, "dsb2018": 0.35},
        help="JSON: share of crops per set",
    )
    p.add_argument("--dot-boxes", type=Path, help="what pseudo.py made of the dots")
    p.add_argument("--classes", type=int, default=1)
    p.add_argument("--steps", type=int, default=12000)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--size", type=int, default=256, help="side of a crop, px at 0.5 mpp")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--workers", type=int, default=1)
    p.add_argument("--every", type=int, default=500, help="steps between looks at dev")
    p.add_argument(
        "--patience", type=int, default=0, help="stop after so many looks without progress; 0: never"
    )
    p.add_argument("--init", type=Path, help="start from these weights")
    p.add_argument("--freeze-encoder", action="store_true")
    p.add_argument(
        "--hold-norms", action="store_true", help="settle batch norm statistics first, then keep them"
    )
    p.add_argument(
        "--keep-norms", action="store_true", help="keep those of --init; only new layers settle theirs"
    )
    p.add_argument("--kinds-only", action="store_true", help="train the classes, leave the detector as it is")
    p.add_argument("--kind-weight", type=float, default=0.5, help="weight of the class loss")
    p.add_argument(
        "--class-balance", type=float, default=1.0, help="class weights: inverse frequency to this power"
    )
    p.add_argument(
        "--field-balance", type=float, default=0.5, help="share of crops drawn from fields rich in rare classes"
    )
    p.add_argument("--stop", type=int, default=0, help="stop at this step of the schedule; 0: run it out")
    p.add_argument("--encoder-lr", type=float, default=1.0, help="the encoder's share of the learning rate")
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--warmup", type=int, default=200)
    p.add_argument("--weight-decay", type=float, default=0.03)
    p.add_argument("--ema", type=float, default=0.998)
    p.add_argument("--widths", type=int, nargs=4, default=[16, 32, 64, 96])
    p.add_argument("--depths", type=int, nargs=3, default=[1, 2, 2])
    p.add_argument("--head-width", type=int, default=32)
    p.add_argument("--head-stride", type=int, default=4, choices=[4, 8])
    p.add_argument("--box-loss", default="ciou", choices=["ciou", "giou", "wiou"])
    p.add_argument("--score-loss", default="quality", choices=["quality", "varifocal", "bce"])
    p.add_argument(
        "--mask-weight", type=float, default=0.5, help="auxiliary mask head, training only; 0: none"
    )
    p.add_argument("--top", type=int, default=6, help="positive cells per nucleus at most")
    p.add_argument("--nms-iou", type=float, default=0.4)
    p.add_argument("--scale", type=float, nargs=2, default=[0.7, 1.5])
    for name in ("mosaic", "stain", "vector", "tone", "optics", "clutter"):
        default = getattr(data.Geometry() if name == "mosaic" else augment.Colour(), name)
        p.add_argument(f"--{name}", type=float, default=default)
    return p.parse_args()


if __name__ == "__main__":
    settings = arguments()
    settings.out.mkdir(parents=True, exist_ok=True)
    (settings.out / "settings.json").write_text(json.dumps(vars(settings), indent=1, default=str))
    train(settings)
