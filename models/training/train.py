"""Trains a nucleus detector.

    python train.py --out ../../.venv-train/runs/all --steps 1500

Everything random hangs on ``--seed``. The run can be killed and started again
with the same command: it goes on from ``last.pt``. ``best.pt`` holds the averaged
weights that did best on dev. With ``--minutes`` the schedule follows the clock instead
of the steps: on a machine that is lent for a while the run ends whole, whatever the
machine's speed. With ``--student`` a second network learns beside the first, from the
same crops and from what the first sees in them; its files are in ``student1/``.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import augment
import brown
import data
import evaluate
import loss
import net
import ring


STARTED = time.time()
"""When this process began: what ``--minutes`` counts from."""

ENDLESS = 1_000_000
"""Steps of a run that the clock ends."""


def collate(crops: list[data.Crop], lift: dict[str, float] | None = None) -> dict[str, np.ndarray]:
    """One batch: pictures and masks stacked, objects of all pictures in one list, with the
    ``lift`` of the sets they are of. NumPy, since workers hand it over through a pipe and need
    no shared memory."""
    batch = {key: np.stack([getattr(c, key) for c in crops]) for key in ("image", "mask")}
    batch |= {key: np.concatenate([getattr(c, key) for c in crops]) for key in ("boxes", "measured", "classes", "ignore")}
    sets = [[key.split("/")[0] for key in crop.fields] for crop in crops]
    batch["lift"] = np.array([np.mean([(lift or {}).get(name, 1.0) for name in names]) for names in sets], np.float32)
    number = np.arange(len(crops))
    batch["picture"] = number.repeat([len(c.boxes) for c in crops])
    batch["ignore_picture"] = number.repeat([len(c.ignore) for c in crops])
    return batch


def pinned(batch: dict[str, np.ndarray], device: torch.device) -> dict[str, Tensor]:
    """As tensors, where a GPU can fetch them by itself."""
    tensors = {key: torch.from_numpy(value) for key, value in batch.items()}
    return {key: value.pin_memory() for key, value in tensors.items()} if device.type == "cuda" else tensors


def on_device(batch: dict[str, Tensor], device: torch.device) -> tuple[Tensor, loss.Truth]:
    """Pictures float32 [B, 3, S, S] in 0..1, and what is in them."""
    tensors = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
    images = tensors.pop("image").float() / 255
    return images, loss.Truth(**tensors)


def ahead(given: Iterator, device: torch.device) -> Iterator[dict[str, Tensor]]:
    """Fetches batches in a thread of its own, a few ahead of the training."""
    fetched: queue.Queue = queue.Queue(maxsize=4)

    def fetch() -> None:
        try:
            for batch in given:
                fetched.put(pinned(batch, device))
            fetched.put(None)
        except BaseException as failure:
            fetched.put(failure)

    threading.Thread(target=fetch, daemon=True).start()
    while (batch := fetched.get()) is not None:
        if isinstance(batch, BaseException):
            raise batch
        yield batch


class Average:
    """Exponential moving average of weights and statistics; young averages move faster."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay, self.updates = copy.deepcopy(model).eval(), decay, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        pairs = list(zip(self.model.state_dict().values(), model.state_dict().values()))
        moving = [pair for pair in pairs if pair[0].dtype.is_floating_point]
        torch._foreach_lerp_(*(list(part) for part in zip(*moving)), 1 - decay)
        for mine, theirs in pairs:
            if not mine.dtype.is_floating_point:
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
    named = [(name, norm) for name, norm in model.named_modules() if isinstance(norm, nn.BatchNorm2d)]
    open_ones = [norm for name, norm in named if f"{name}.running_mean" not in kept]
    for norm in open_ones:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for item in fields if open_ones else []:
        picture = evaluate.padded(data.at_model_mpp(item), net.MAX_STRIDE).transpose(2, 0, 1)
        model(torch.from_numpy(picture.copy())[None].to(device).float() / 255)
    model.eval()


def rate(progress: float, step: int, args: argparse.Namespace) -> float:
    """Learning rate: linear warm-up over steps, then a cosine over ``progress`` down to 2 %."""
    warm = min(1.0, (step + 1) / args.warmup)
    return args.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(progress, 1))))


def predictor(model: net.NucleusNet, device: torch.device) -> evaluate.Predict:
    """The model as :mod:`evaluate` wants it."""

    @torch.no_grad()
    def predict(image: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())[None].to(device).float() / 255
        boxes, logits = net.decode(model(tensor), model.shape.head_stride)
        return torch.cat([boxes, net.scores(logits, -1)], dim=-1)[0].T.cpu().numpy()

    return predict


def colour_of(args: argparse.Namespace) -> augment.Colour:
    """Strengths of what differs between laboratories."""
    return augment.Colour(args.stain, args.vector, args.tone, args.optics, args.clutter)


def crops_of(
    fields: list[data.Field], args: argparse.Namespace, length: int, parts: list[tuple] | None = None
) -> data.Crops:
    """Random crops of the fields as the arguments want them."""
    return data.Crops(
        fields,
        {name: weight for name, weight in args.sets.items() if weight > 0},
        length=length,
        size=args.size,
        seed=args.seed,
        geometry=data.Geometry(scale=tuple(args.scale), mosaic=args.mosaic),
        colour=colour_of(args),
        balance=args.field_balance if args.classes > 1 else 0.0,
        parts=parts,
    )


def batches(fields: list[data.Field], args: argparse.Namespace, first: int) -> Iterator:
    """Batches from step ``first`` on; the same ones however often the run was stopped,
    unless they come from a ring."""
    if args.ring:
        shared = ring.Ring(args.ring).batches({f.key for f in fields}, args.batch, args.seed)
        return map(partial(collate, lift=args.lift), shared)
    crops = crops_of(fields, args, (ENDLESS if args.minutes else args.steps) * args.batch)
    order = range(first * args.batch, len(crops))
    return iter(
        DataLoader(
            crops,
            args.batch,
            sampler=order,
            num_workers=args.workers,
            collate_fn=partial(collate, lift=args.lift),
            prefetch_factor=6 if args.workers else None,
            worker_init_fn=lambda _: torch.set_num_threads(1),
        )
    )


def divided(args: argparse.Namespace) -> tuple[list[data.Field], dict[str, list[data.Field]]]:
    """Fields to train on, of the sets that have a weight, and by set those to judge on."""
    unknown = 0 if args.classes == 1 else -1
    train, judge = [], evaluate.dev_sets(args.data)
    for name in [n for n, weight in args.sets.items() if weight > 0]:
        if args.fold or args.all_fields:
            fields = data.load_both(args.data, name, unknown, args.dot_boxes)
        else:
            fields = data.load_set(args.data, name, "train", unknown, args.dot_boxes)
        if args.fold:
            fields, judge[name] = args.fold.divide(fields)
        train += fields
    if args.classes == 1:
        train = [replace(f, classes=np.zeros_like(f.classes)) for f in train]
    return train, judge


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


class Learner:
    """A network with its average, its optimiser and its folder."""

    def __init__(self, shape: net.Shape, out: Path, args: argparse.Namespace) -> None:
        self.out, self.shape, self.device = out, shape, torch.device(args.device)
        self.model = net.NucleusNet(shape, auxiliary=args.mask_weight > 0).to(
            self.device, memory_format=torch.channels_last
        )
        self.taken = load_matching(self.model, args.init, self.device) if args.init else set()
        self.average = Average(self.model, args.ema)
        groups = parameter_groups(self.model, args)
        on_gpu = self.device.type == "cuda"
        self.optimiser = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), fused=on_gpu, foreach=not on_gpu)
        self.best, self.stale = -1.0, 0
        self.holds_norms = False
        out.mkdir(parents=True, exist_ok=True)

    def hold_norms(self, fields: list[data.Field], kept: set[str]) -> None:
        """Goes on from the average, with norms settled and kept (see :func:`settle_norms`)."""
        self.model.load_state_dict(self.average.model.state_dict())
        settle_norms(self.model, fields, self.device, kept)
        self.average.model.load_state_dict(self.model.state_dict())
        self.holds_norms = True
        self.train()

    def train(self) -> None:
        self.model.train()
        if self.holds_norms:
            for norm in norms(self.model):
                norm.eval()

    def answer(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Raw cells and mask logits, on a GPU in bfloat16."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.model.forward_with_mask(images)

    def step(self, cost: Tensor, rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimiser.zero_grad(set_to_none=True)
        cost.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimiser.step()
        self.average.update(self.model)

    def resume(self) -> int:
        """Takes up ``last.pt`` if there is one; gives the step it was at."""
        if not (self.out / "last.pt").exists():
            return 0
        state = torch.load(self.out / "last.pt", map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best, self.stale, self.holds_norms = state["best"], state["stale"], state["holds_norms"]
        self.average.updates = state["step"]
        return state["step"]

    def judged(self, judge: dict[str, list[data.Field]], args: argparse.Namespace) -> dict:
        """What the average does on fields that are held back."""
        predict = predictor(self.average.model, self.device)
        return evaluate.report(predict, judge, net.MAX_STRIDE, args.nms_iou, None)

    def look(self, judge: dict[str, list[data.Field]], step: int, args: argparse.Namespace) -> dict:
        """Judges the average, unless ``--unjudged``, and saves; gives the figures."""
        figures = {} if args.unjudged else self.judged(judge, args)
        merit = worth(figures) if figures else self.best + 1
        self.best, self.stale = (merit, 0) if merit > self.best else (self.best, self.stale + 1)
        common = {"shape": self.shape.as_dict(), "figures": figures, "step": step}
        if self.stale == 0:
            save(self.out / "best.pt", model=self.average.model.state_dict(), **common)
        save(
            self.out / "last.pt",
            model=self.model.state_dict(),
            average=self.average.model.state_dict(),
            optimiser=self.optimiser.state_dict(),
            best=self.best,
            stale=self.stale,
            holds_norms=self.holds_norms,
            **common,
        )
        return figures


class Schedule:
    """How far a run is, by its steps or by the clock."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.steps, self.minutes, self.begun = args.steps, args.minutes, time.time()
        self.seconds = max(STARTED + 60 * args.minutes - self.begun, 1.0)

    def progress(self, step: int) -> float:
        """0 at the first step, 1 at the end."""
        return (time.time() - self.begun) / self.seconds if self.minutes else step / self.steps

    def is_over(self, step: int) -> bool:
        return self.progress(step) >= 1


def learners_of(args: argparse.Namespace) -> list[Learner]:
    """The network, and its student if there is one."""
    shape = net.Shape(tuple(args.widths), tuple(args.depths), args.head_width, args.head_stride, args.classes, args.fine)
    learners = [Learner(shape, args.out, args)]
    for number, given in enumerate(args.student, start=1):
        # Each starts from its own weights: the first network's are not a student's, though names may fit.
        name = f"student{number}"
        init = args.init and args.init.parent / name / args.init.name
        own = argparse.Namespace(**vars(args) | {"init": init if init and init.exists() else None})
        learners.append(Learner(net.Shape(**given, classes=args.classes), args.out / name, own))
    return learners


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_flush_denormal(True)
    device = torch.device(args.device)
    if args.threads:
        torch.set_num_threads(args.threads)
    learners = learners_of(args)
    fields, judge = divided(args)
    if args.hold_norms or args.keep_norms:
        for learner in learners:
            learner.hold_norms(fields, learner.taken if args.keep_norms else set())
    weights = loss.Weights(
        box_loss=args.box_loss,
        score_loss=args.score_loss,
        mask=args.mask_weight,
        top=args.top,
        target_power=args.target_power,
        kind=args.kind_weight,
        kinds=class_weights(fields, args),
    )
    first = min(learner.resume() for learner in learners)
    colour = colour_of(args)
    schedule, sums, seen = Schedule(args), {}, 0
    for learner in learners:
        learner.train()
    for step, batch in enumerate(ahead(batches(fields, args, first), device), start=first):
        progress = schedule.progress(step)
        if args.hold_from and progress >= args.hold_from and not learners[0].holds_norms:
            for learner in learners:
                learner.hold_norms(fields, set())
        images, truth = on_device(batch, device)
        draw = augment.Draw((args.seed, step), len(images), device)
        if args.dab:
            images = brown.stain(draw, images, truth, args.dab)
        images = augment.recolour(draw, images, colour).contiguous(memory_format=torch.channels_last)
        teacher = None
        for number, learner in enumerate(learners):
            raw, mask = learner.answer(images)
            cost, parts = loss.total(raw, mask, truth, learner.shape.head_stride, weights)
            if teacher is None:
                teacher = raw.detach()
            else:
                likeness = loss.imitate(raw, teacher, learner.shape.head_stride, weights)
                cost, parts["like"] = cost + likeness, likeness.detach()
            learner.step(cost, rate(progress, step, args))
            for name, value in parts.items():
                key = (number, name)
                sums[key] = sums.get(key, 0.0) + value
        seen += 1
        done = step + 1
        is_over = schedule.is_over(done)
        if done % args.every and not is_over:
            continue
        print(f"{done} {time.time() - schedule.begun:.0f}s", flush=True)
        for number, learner in enumerate(learners):
            costs = " ".join(f"{name} {float(v) / seen:.3f}" for (who, name), v in sums.items() if who == number)
            print(f"  {learner.out.name}: {costs} | {evaluate.line(learner.look(judge, done, args))}", flush=True)
        sums, seen = {}, 0
        if is_over or (args.stop and done >= args.stop):
            break
        if args.patience and learners[0].stale >= args.patience:
            print(f"no better for {learners[0].stale} looks at dev: stopped")
            break


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The options, of ``words`` or else of the command line."""
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
    p.add_argument(
        "--lift",
        type=json.loads,
        default={},
        help="JSON: weight of a set's nuclei in the score loss; above 1 gives higher scores in pictures like these",
    )
    p.add_argument("--dot-boxes", type=Path, help="what pseudo.py made of the dots")
    p.add_argument("--classes", type=int, default=1)
    p.add_argument("--steps", type=int, default=12000)
    p.add_argument("--minutes", type=float, default=0, help="end so long after the start, whatever --steps; 0: by steps")
    p.add_argument(
        "--fold",
        type=data.Fold.parse,
        metavar="K/N",
        help="cross-validation over all annotated fields: hold back part K of N, by patient or field",
    )
    p.add_argument("--all-fields", action="store_true", help="train on dev too: nothing is held back")
    p.add_argument(
        "--student",
        type=json.loads,
        action="append",
        default=[],
        metavar="SHAPE",
        help="JSON: shape of a further network that learns along (see net.Shape); several may be given",
    )
    p.add_argument("--unjudged", action="store_true", help="save at the end without a look at what is held back")
    p.add_argument("--hold-from", type=float, default=0, help="hold norms from this part of the schedule on; 0: never")
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
    p.add_argument("--init", type=Path, help="start from these weights; a student from those in student1/ beside them")
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
    p.add_argument("--fine", action="store_true", help="the way up ends at stride 8 (see net.Shape)")
    p.add_argument("--box-loss", default="ciou", choices=["ciou", "giou", "wiou"])
    p.add_argument("--score-loss", default="quality", choices=["quality", "varifocal", "bce"])
    p.add_argument(
        "--mask-weight", type=float, default=0.5, help="auxiliary mask head, training only; 0: none"
    )
    p.add_argument("--top", type=int, default=6, help="positive cells per nucleus at most")
    p.add_argument(
        "--target-power", type=float, default=1.0, help="0: a score says only how likely it is a nucleus, not how good the box"
    )
    p.add_argument("--nms-iou", type=float, default=0.4)
    p.add_argument("--scale", type=float, nargs=2, default=[0.7, 1.5])
    for name in ("mosaic", "stain", "vector", "tone", "optics", "clutter"):
        default = getattr(data.Geometry() if name == "mosaic" else augment.Colour(), name)
        p.add_argument(f"--{name}", type=float, default=default)
    p.add_argument("--dab", type=float, default=0, help="share of crops turned to immunohistochemistry (see brown.py)")
    p.add_argument("--ring", type=Path, help="take crops from this ring (see ring.py), which crossval.py fills")
    args = p.parse_args(words)
    if args.ring and (not args.minutes or args.classes == 1):
        p.error("--ring: crops that others draw need --minutes and several --classes, found neither or one of them")
    return args


if __name__ == "__main__":
    settings = arguments()
    settings.out.mkdir(parents=True, exist_ok=True)
    (settings.out / "settings.json").write_text(json.dumps(vars(settings), indent=1, default=str))
    train(settings)
