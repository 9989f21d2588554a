"""Which cell answers for which nucleus, and what its answer costs.

Assignment is task-aligned (Feng et al. 2021, TOOD): among the cells near a
nucleus, those whose score and box already agree best become its positives, and
their target score is the quality of their box. Only a small patch of cells round
each centre is ever looked at, so a crop with 400 nuclei costs no more than an
image with 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

import net

PATCH = 7
"""Cells looked at round a centre, per axis."""


@dataclass(frozen=True)
class Weights:
    """What each part weighs, and which form it takes."""

    score: float = 1.0
    box: float = 2.0
    centre: float = 1.0
    mask: float = 0.5
    kind: float = 0.5
    kinds: tuple[float, ...] = ()
    """Weight of each class in the class loss; empty: one class, no such loss."""
    box_loss: str = "ciou"
    score_loss: str = "quality"
    top: int = 6
    target_power: float = 1.0
    """To which power the best box's overlap goes into the target score. 1: a score says how
    good the box is too; 0: only how likely there is a nucleus, so that one threshold
    suits pictures in which boxes are harder to find."""


@dataclass
class Truth:
    """The objects of a batch, all pictures' in one list: ``boxes`` [T, 4] corners,
    ``measured`` [T], ``classes`` [T] (-1 unknown), ``picture`` [T] which one it is in;
    ``ignore`` [K, 4] with ``ignore_picture`` [K]; ``mask`` [B, h, w] (see
    :class:`data.Crop`); ``lift`` [B]: what a nucleus weighs in a picture's score loss."""

    boxes: Tensor
    measured: Tensor
    classes: Tensor
    picture: Tensor
    ignore: Tensor
    ignore_picture: Tensor
    mask: Tensor
    lift: Tensor


@dataclass
class Assignment:
    """For all cells of a batch, [B * N] flat: target score, weight of the score loss; and
    for all candidates: cell, its box, target quality, whether the box is measured, class
    (-1 unknown). The quality of a candidate that did not become a positive is 0, so that it
    costs nothing: to leave such out of the list a GPU would have to wait for their number."""

    target: Tensor
    weight: Tensor
    cells: Tensor
    boxes: Tensor
    quality: Tensor
    measured: Tensor
    classes: Tensor


def corners(boxes: Tensor) -> Tensor:
    """cx, cy, w, h to x0, y0, x1, y1."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=-1)


def overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """IoU, union, and the sides (w, h) of the smallest box round both. Corner boxes."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inter = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = ((x[..., 2:] - x[..., :2]).prod(-1) for x in (a, b))
    union = area_a + area_b - inter + 1e-6
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    return inter / union, union, hull


def box_cost(kind: str, guess: Tensor, truth: Tensor) -> Tensor:
    """``giou`` (Rezatofighi 2019), ``ciou`` (Zheng 2020) or ``wiou`` (Tong 2023, v1);
    centre boxes [P, 4] in pixels, cost [P]."""
    iou, union, hull = overlaps(corners(guess), corners(truth))
    if kind == "giou":
        frame = hull.prod(-1) + 1e-6
        return 1 - iou + (frame - union) / frame
    apart = (guess[..., :2] - truth[..., :2]).square().sum(-1)
    diagonal = hull.square().sum(-1) + 1e-6
    if kind == "wiou":
        return (1 - iou) * torch.exp(apart / diagonal.detach())
    slant = torch.atan(truth[..., 2] / truth[..., 3]) - torch.atan(guess[..., 2] / guess[..., 3])
    v = 4 / math.pi**2 * slant.square()
    with torch.no_grad():
        alpha = v / (1 - iou + v + 1e-6)
    return 1 - iou + apart / diagonal + alpha * v


def outside(truth: Truth, centres: Tensor, pictures: int) -> Tensor:
    """1 for the cells that lie in no ignored area, else 0: [B * N]."""
    low, high = truth.ignore[:, None, :2], truth.ignore[:, None, 2:]
    inside = ((centres >= low) & (centres < high)).all(-1)
    hits = centres.new_zeros(pictures, len(centres)).index_add_(0, truth.ignore_picture, inside.float())
    return (hits == 0).float().flatten()


@torch.no_grad()
def assign(
    boxes: Tensor, scores: Tensor, truth: Truth, grid: tuple[int, int], stride: int, weights: Weights
) -> Assignment:
    """All pictures at once. ``boxes`` [B, N, 4] decoded cells, ``scores`` [B, N] nucleus
    scores. Nothing is decided by the order of writing, so a GPU answers as a CPU does."""
    height, width = grid
    pictures, cells_each = scores.shape
    boxes, scores = boxes.flatten(0, 1), scores.flatten()
    centres = net.cell_centres(height, width, stride, boxes.device)
    weight = outside(truth, centres, pictures)
    wanted = truth.boxes

    middle = (wanted[:, :2] + wanted[:, 2:]) / 2
    side = (wanted[:, 2:] - wanted[:, :2]).clamp(min=1)
    patch = torch.arange(PATCH, device=boxes.device) - PATCH // 2
    home = (middle / stride).floor().long()
    column = (home[:, :1] + patch).repeat(1, PATCH)
    row = (home[:, 1:] + patch).repeat_interleave(PATCH, dim=1)
    valid = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    within = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    cell = within + truth.picture[:, None] * cells_each

    offset = (centres[within] - middle[:, None]).abs()
    near = (offset < side[:, None] / 2).all(-1) | (offset <= stride / 2).all(-1)
    valid &= near & (weight[cell] > 0)
    iou = overlaps(corners(boxes[cell]), wanted[:, None])[0]
    fall = torch.exp(-offset.square().sum(-1) / (2 * stride**2))
    quality = torch.where(truth.measured[:, None], iou, fall * 0.8).clamp(min=1e-4)
    align = (scores[cell].sqrt() * quality.pow(4)).masked_fill(~valid, -1.0)

    best, place = align.topk(min(weights.top, PATCH**2), dim=1)
    owner = torch.arange(len(wanted), device=boxes.device)[:, None].expand_as(best).flatten()
    cells, align = cell.gather(1, place).flatten(), best.flatten()
    quality = quality.gather(1, place).flatten().masked_fill(align <= 0, -1.0)
    # A cell that several objects want goes to the one whose box it knows best.
    order = quality.argsort(stable=True)
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=boxes.device))
    winner = torch.full((len(scores),), -1, device=boxes.device)
    winner = winner.scatter_reduce(0, cells, rank, "amax")
    kept = (winner[cells] == rank) & (align > 0)
    quality, align = quality * kept, align * kept

    zeros = torch.zeros(len(wanted), device=boxes.device)
    top_align = zeros.scatter_reduce(0, owner, align, "amax")
    top_quality = zeros.scatter_reduce(0, owner, quality, "amax")
    near_best = align / top_align[owner].clamp(min=1e-9)
    soft = near_best * top_quality[owner]
    wish = near_best * top_quality[owner] ** weights.target_power
    target = torch.zeros_like(scores).scatter_reduce(0, cells, wish, "amax")
    lift = truth.lift[:, None].expand(pictures, cells_each).flatten()
    weight = torch.where(target > 0, weight * lift, weight)
    centre_boxes = torch.cat([middle, side], dim=1)[owner]
    return Assignment(target, weight, cells, centre_boxes, soft, truth.measured[owner], truth.classes[owner])


def score_cost(kind: str, logits: Tensor, target: Tensor) -> Tensor:
    """``bce``; ``quality``: quality focal loss (Li et al. 2020), gamma 2 on the
    distance to the target; ``varifocal`` (Zhang et al. 2021): positives whole,
    negatives damped."""
    plain = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    if kind == "bce":
        return plain
    score = logits.detach().sigmoid()
    if kind == "quality":
        return plain * (score - target).square() * 4
    return plain * torch.where(target > 0, target, 0.75 * score.square())


def kind_cost(logits: Tensor, found: Assignment, kinds: tuple[float, ...]) -> Tensor:
    """Weighted cross-entropy of the class over the positives whose class is known, each
    as sure as its box is good; ``logits`` [B * N, 1 + C]."""
    guess, classes = logits[:, 1:].index_select(0, found.cells), found.classes.clamp(min=0)
    weights = torch.tensor(kinds).to(guess.device, non_blocking=True)
    share = found.quality * weights[classes] * (found.classes >= 0)
    cost = functional.cross_entropy(guess, classes, reduction="none", label_smoothing=0.05)
    return (cost * share).sum() / share.sum().clamp(min=1.0)


def total(
    raw: Tensor, mask: Tensor | None, truth: Truth, stride: int, weights: Weights
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch, and its parts for the log."""
    grid = (raw.shape[-2], raw.shape[-1])
    boxes, logits = net.decode(raw.float(), stride)
    found = assign(boxes.detach(), logits[..., 0].detach().sigmoid(), truth, grid, stride, weights)
    boxes, logits = boxes.flatten(0, 1), logits.flatten(0, 1)
    norm = found.target.sum().clamp(min=1.0)
    cost = score_cost(weights.score_loss, logits[:, 0], found.target)
    parts = {"score": weights.score * (cost * found.weight).sum() / norm}
    norm = found.quality.sum().clamp(min=1.0)

    guess = boxes.index_select(0, found.cells)
    cost = box_cost(weights.box_loss, guess, found.boxes)
    parts["box"] = weights.box * (cost * found.quality * found.measured).sum() / norm
    distance = functional.smooth_l1_loss(guess[:, :2], found.boxes[:, :2], reduction="none").sum(-1)
    parts["centre"] = weights.centre * (distance * found.quality / stride).sum() / norm
    if weights.kinds:
        parts["kind"] = weights.kind * kind_cost(logits, found, weights.kinds)
    if mask is not None:
        wanted = truth.mask.long()
        known = (wanted != 255).sum().clamp(min=1)
        cost = functional.cross_entropy(mask.float(), wanted, ignore_index=255, reduction="sum")
        parts["mask"] = weights.mask * cost / known
    return sum(parts.values()), {name: part.detach() for name, part in parts.items()}


def imitate(raw: Tensor, teacher: Tensor, stride: int, weights: Weights) -> Tensor:
    """What it costs to answer otherwise than a larger network does (Hinton et al. 2015):
    its score in every cell, and its boxes where it sees a nucleus."""
    boxes, logits = net.decode(raw.float(), stride)
    wanted, sure = net.decode(teacher.float(), stride)
    score = sure[..., 0].sigmoid()
    norm = score.sum().clamp(min=1.0)
    cost = score_cost("quality", logits[..., 0], score).sum()
    shape = (box_cost(weights.box_loss, boxes, wanted) * score * (score > 0.3)).sum()
    return (weights.score * cost + weights.box * shape) / norm
