"""Colour, sharpness and clutter: what differs between laboratories, not between cells.

Sources: Ruifrok and Johnston 2001 (colour deconvolution); Tellez et al. 2019,
"Quantifying the effects of data augmentation and stain color normalization"
(HED jitter beats normalisation); Shen et al. 2022, RandStainNA (random stain
vectors). Clutter and optics are drawn crop by crop, float32 [S, S, 3] in 0..1; stain and
tone batch by batch where the network is, float32 [B, 3, S, S] in 0..1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

if TYPE_CHECKING:
    from data import Crop

HED = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Optical density of haematoxylin, eosin and the rest, per RGB (Ruifrok-Johnston). The rest
is the vector of diaminobenzidine, the brown of immunohistochemistry."""

BASIS = HED / np.linalg.norm(HED, axis=1, keepdims=True)
"""The same, each of length 1."""


@dataclass(frozen=True)
class Colour:
    """Strengths; 0 switches a thing off. ``stain`` jitters amounts, ``vector`` the
    stains' own colours, ``tone`` brightness, contrast, saturation and white balance,
    ``optics`` the chance of blur, sharpening, noise and JPEG, ``clutter`` the chance
    of pen, red cells, smears and blank parts."""

    stain: float = 0.25
    vector: float = 0.05
    tone: float = 0.15
    optics: float = 0.35
    clutter: float = 0.25


def finish(rng: np.random.Generator, crop: Crop, colour: Colour) -> Crop:
    """Adds clutter and optics, and turns the picture to uint8 [3, S, S], as a scanner gives it."""
    crop = replace(crop, image=crop.image * np.float32(1 / 255))
    if rng.random() < colour.clutter:
        crop = add_clutter(rng, crop)
    image = change_optics(rng, crop.image, colour.optics) if colour.optics else crop.image
    return replace(crop, image=np.ascontiguousarray(bytes_of(image).transpose(2, 0, 1)))


def bytes_of(image: np.ndarray) -> np.ndarray:
    """0..1 to 0..255, rounded, the rest cut off."""
    return cv2.convertScaleAbs(np.maximum(image, 0), alpha=255)


def blurred(image: np.ndarray, spread: float) -> np.ndarray:
    """Gaussian blur, mirrored at the borders."""
    reach = int(4 * spread + 0.5)
    return cv2.GaussianBlur(image, (2 * reach + 1, 2 * reach + 1), spread, borderType=cv2.BORDER_REFLECT)


GRAIN = np.random.default_rng(0).standard_normal(1 << 21, np.float32)
"""A strip of normal noise: a piece from anywhere of it is as good as new, and quicker."""


def noise(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Normal noise of spread 1, float32."""
    count = math.prod(shape)
    begin = rng.integers(len(GRAIN) - count)
    return GRAIN[begin : begin + count].reshape(shape)


# -- stain and tone ----------------------------------------------------------


class Draw:
    """Random numbers for one batch, one set for each of its pictures; they hang on
    ``seed`` alone, whatever the device."""

    def __init__(self, seed: int | tuple[int, ...], pictures: int, device: torch.device) -> None:
        self.rng, self.pictures, self.device = np.random.default_rng(seed), pictures, device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return self._tensor(self.rng.uniform(low, high, (self.pictures, *shape)))

    def normal(self, spread: float, *shape: int) -> Tensor:
        return self._tensor(self.rng.normal(0, spread, (self.pictures, *shape)))

    def _tensor(self, values: np.ndarray) -> Tensor:
        return on(self.device, values)


def on(device: torch.device, values: np.ndarray) -> Tensor:
    """Float32 on the device, without waiting for what the device still has to do."""
    return torch.from_numpy(values.astype(np.float32)).to(device, non_blocking=True)


def recolour(draw: Draw, images: Tensor, colour: Colour) -> Tensor:
    """Another laboratory's stains and another scanner's tone for each picture."""
    images = jitter_stain(draw, images, colour) if colour.stain else images
    return jitter_tone(draw, images, colour.tone) if colour.tone else images


def jitter_stain(draw: Draw, images: Tensor, colour: Colour) -> Tensor:
    """Unmixes stains, changes their amounts and colours, mixes them again."""
    amount = unmixed(images)
    gain = draw.uniform(1 - colour.stain, 1 + colour.stain, 3, 1, 1)
    offset = draw.uniform(-0.12 * colour.stain, 0.12 * colour.stain, 3, 1, 1)
    moved = (on(images.device, BASIS) + draw.normal(colour.vector, 3, 3)).clamp(min=0)
    moved = moved / moved.norm(dim=2, keepdim=True).clamp(min=1e-6)
    mixed = torch.einsum("bshw,bsc->bchw", amount * gain + offset, moved)
    return (-mixed.clamp(0, 6)).exp()


def unmixed(images: Tensor) -> Tensor:
    """Amounts of the three stains of ``BASIS``: [B, 3, S, S]."""
    density = -images.clamp(min=1 / 255).log()
    return torch.einsum("bchw,cs->bshw", density, on(images.device, np.linalg.inv(BASIS)))


def jitter_tone(draw: Draw, images: Tensor, strength: float) -> Tensor:
    """Brightness, contrast, saturation, gamma and white balance."""

    def around_one(factor: float, channels: int = 1) -> Tensor:
        return (draw.uniform(-strength, strength, channels, 1, 1) * factor).exp()

    mean = images.mean(dim=(2, 3), keepdim=True)
    images = mean + (images - mean) * around_one(1.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * around_one(2.0)
    images = images * around_one(0.4, 3) * around_one(0.7)
    return images.clamp(1e-4, 1) ** around_one(1.5)


# -- optics and files --------------------------------------------------------


def change_optics(rng: np.random.Generator, image: np.ndarray, chance: float) -> np.ndarray:
    """Focus, scanner sharpening, sensor noise and JPEG, each with ``chance``."""
    if rng.random() < chance:
        image = blurred(image, rng.uniform(0.3, 1.1))
    elif rng.random() < chance:
        image = image + np.float32(rng.uniform(0.3, 1.2)) * (image - blurred(image, 1))
    if rng.random() < chance:
        image = image + np.float32(rng.uniform(0.005, 0.03)) * noise(rng, *image.shape)
    if rng.random() < chance:
        image = jpeg(image, int(rng.integers(35, 90)))
    return image


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """What is left after a round through JPEG."""
    swapped = cv2.cvtColor(bytes_of(image), cv2.COLOR_RGB2BGR)
    file = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB) * np.float32(1 / 255)


# -- clutter: things that are not nuclei --------------------------------------


def add_clutter(rng: np.random.Generator, crop: Crop) -> Crop:
    """Draws one kind of non-nucleus. Objects it hides leave the truth."""
    kind = rng.choice([pen, red_cells, smear, out_of_focus, blank, fold, writing])
    image, hidden = kind(rng, crop.image)
    return forget(replace(crop, image=image.astype(np.float32)), hidden)


def forget(crop: Crop, hidden: np.ndarray) -> Crop:
    """Takes objects whose box is mostly ``hidden`` (bool [S, S]) out of the truth;
    those partly hidden become ignored areas."""
    if not hidden.any():
        return crop
    sums = np.pad(hidden.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    x0, y0, x1, y1 = np.clip(np.round(crop.boxes), 0, hidden.shape[0]).astype(int).T
    inside = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
    share = inside / np.maximum((x1 - x0) * (y1 - y0), 1)
    kept, partly = share < 0.4, (share >= 0.4) & (share < 0.8)
    mask = crop.mask.copy()
    mask[hidden[2::4, 2::4] & (mask != 255)] = 0
    return replace(
        crop,
        boxes=crop.boxes[kept],
        measured=crop.measured[kept],
        classes=crop.classes[kept],
        ignore=np.vstack([crop.ignore, crop.boxes[partly]]),
        mask=mask,
    )


def _drawing(side: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    sheet = Image.new("L", (side, side), 0)
    return sheet, ImageDraw.Draw(sheet)


def _blend(image: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return image + (colour - image) * alpha[..., None]


def pen(rng: np.random.Generator, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Broad felt-tip strokes in green, blue, black or red."""
    side = len(image)
    sheet, draw = _drawing(side)
    for _ in range(rng.integers(1, 3)):
        points = rng.uniform(-0.2, 1.2, (4, 2)) * side
        draw.line([tuple(p) for p in points], fill=255, width=int(rng.integers(8, 70)), joint="curve")
    alpha = blurred(np.asarray(sheet, np.float32) / 255, rng.uniform(0.5, 3))
    inks = np.array([[0.1, 0.45, 0.3], [0.1, 0.2, 0.6], [0.08, 0.08, 0.1], [0.7, 0.1, 0.15]])
    ink = np.clip(inks[rng.integers(4)] + rng.normal(0, 0.08, 3), 0, 1)
    alpha = alpha * rng.uniform(0.85, 1.0)
    return _blend(image, ink, alpha), alpha > 0.5


def writing(rng: np.random.Generator, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Letters and thin strokes on paper."""
    side = len(image)
    sheet, draw = _drawing(side)
    for _ in range(rng.integers(3, 14)):
        text = "".join(rng.choice(list("ABCDEHKLMNRSTXZ0123456789-/"), rng.integers(2, 9)))
        draw.text(tuple(rng.uniform(0, side, 2)), text, fill=255, font_size=int(rng.integers(8, 60)))
    alpha = np.asarray(sheet, np.float32) / 255
    paper = np.full_like(image, rng.uniform(0.85, 1.0))
    return _blend(paper, rng.uniform(0, 0.3, 3), alpha), np.ones((side, side), bool)


def red_cells(rng: np.random.Generator, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Erythrocytes: eosin discs of 5 to 8 um in a clump; eosin darkens what is below."""
    side = len(image)
    sheet, draw = _drawing(side)
    middle, spread = rng.uniform(0, side, 2), rng.uniform(10, 50)
    for _ in range(rng.integers(4, 60)):
        x, y = rng.normal(middle, spread)
        rx, ry = rng.uniform(4, 8, 2)
        draw.ellipse([x - rx, y - ry, x + rx, y + ry], fill=int(rng.integers(130, 255)))
    amount = blurred(np.asarray(sheet, np.float32) / 255, 0.7)
    eosin = np.array([0.12, rng.uniform(0.9, 1.4), rng.uniform(0.5, 1.1)], np.float32)
    covered = amount > 0.3
    base = np.where(covered[..., None], np.maximum(image, 0.85), image)
    return base * np.exp(-amount[..., None] * eosin), covered


def smear(rng: np.random.Generator, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bluish mucin or debris, structured coarser than nuclei; hides nothing."""
    side = len(image)
    cloud = blurred(noise(rng, side, side), rng.uniform(10, 30))
    amount = np.clip(cloud / cloud.std(), 0, 3) * rng.uniform(0.05, 0.25)
    tint = HED[0] * rng.uniform(0.5, 1.2) + HED[1] * rng.uniform(0, 0.5)
    return image * np.exp(-amount[..., None] * tint), np.zeros((side, side), bool)


def out_of_focus(rng: np.random.Generator, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A part so blurred that no nucleus can be told."""
    side = len(image)
    soft = blurred(image, rng.uniform(7, 20))
    cloud = blurred(noise(rng, side, side), 40)
    part = blurred((cloud > cloud.std() * rng.uniform(-1.5, 0.7)).astype(np.float32), 4)
    return _blend(image, soft, part), part > 0.5


def blank(rng: np.random.Generator, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Empty glass (sometimes black or grey padding) with dust, over all or one side."""
    side = len(image)
    level = rng.uniform(0.8, 1.0) if rng.random() < 0.8 else rng.uniform(0, 0.8)
    glass = np.clip(level + rng.normal(0, 0.02, 3) + 0.01 * noise(rng, *image.shape), 0, 1)
    sheet, draw = _drawing(side)
    for _ in range(rng.integers(0, 12)):
        x, y, r = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(0.5, 4)
        draw.ellipse([x - r, y - r * rng.uniform(0.3, 1), x + r, y + r], fill=int(rng.integers(60, 200)))
    glass = _blend(glass, rng.uniform(0, 0.6, 3), np.asarray(sheet, np.float32) / 255)
    part = np.ones((side, side), bool)
    if rng.random() < 0.6:
        part[:, int(rng.uniform(0, side)) :] = False
    return np.where(part[..., None], glass, image), part


def fold(rng: np.random.Generator, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A tissue fold: a band that light crosses twice or three times."""
    side = len(image)
    angle, middle, width = rng.uniform(0, np.pi), rng.uniform(0.2, 0.8) * side, rng.uniform(8, 30)
    y, x = np.mgrid[:side, :side]
    distance = np.abs((x - side / 2) * np.cos(angle) + (y - side / 2) * np.sin(angle) + side / 2 - middle)
    band = blurred((distance < width).astype(np.float32), 3)
    soft = blurred(image, 3)
    dark = np.clip(image, 0.02, 1) * np.clip(soft, 0.02, 1) ** rng.uniform(1, 2)
    return _blend(image, dark, band), band > 0.5
