"""The network: a small residual encoder, one way up, one anchor-free head.

Plain convolutions, batch norm and ReLU only: they fold into one ONNX Runtime
kernel each and quantise well. The encoder halves four times (strides 2, 4, 8,
16); the way up adds context back (Lin et al. 2017, feature pyramids) to the
stride of the head, 4 by default, because a lymphocyte is 12 px wide at 0.5 mpp
and touching nuclei lie 8 px apart. The head gives each cell a score and a box
(YOLOX's parametrisation: Ge et al. 2021, with a free centre).

Several classes are a second question: *is it a nucleus* stays one logit, learned from
every set, and *which kind* is a softmax beside it, learned where classes are known. So
masks without classes still teach it, and a score means what it means with one class.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

MAX_STRIDE = 16
"""Picture sides must be multiples of this."""

DEFAULT_SIDE_PX = 11.0
"""The box the head starts from: the median nucleus at 0.5 mpp."""


@dataclass(frozen=True)
class Shape:
    """Widths at strides 2, 4, 8 and 16, residual units at 4, 8 and 16, head.

    ``fine``: the way up ends at stride 8, and each of its cells answers for the four
    cells of stride 4 in it (sub-pixel convolution: Shi et al. 2016). Most of the work
    moves from many thin layers at full resolution to fewer wide ones.
    """

    widths: tuple[int, int, int, int] = (16, 32, 64, 96)
    depths: tuple[int, int, int] = (1, 2, 2)
    head_width: int = 32
    head_stride: int = 4
    classes: int = 1
    fine: bool = False

    def as_dict(self) -> dict:
        return asdict(self)


class Convolved(nn.Sequential):
    """Convolution, batch norm, ReLU. In training with the norm's statistics held, the norm
    goes into the convolution's weights, as it does when the network is exported: half of the work."""

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm, rectify = self
        if norm.training or not self.training:
            return super().forward(x)
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        weight, bias = convolution.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
        return rectify(functional.conv2d(x, weight, bias, convolution.stride, convolution.padding))


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> Convolved:
    """Convolution, batch norm, ReLU."""
    return Convolved(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
        nn.ReLU(inplace=True),
    )


class Split(nn.Module):
    """Cross-stage-partial stage (Wang et al. 2020): half of the channels go through
    residual units, every intermediate result is kept for the closing 1x1."""

    def __init__(self, inputs: int, outputs: int, depth: int) -> None:
        super().__init__()
        half = outputs // 2
        self.enter = conv(inputs, outputs, 1)
        self.units = nn.ModuleList(nn.Sequential(conv(half, half), conv(half, half)) for _ in range(depth))
        self.leave = conv(half * (2 + depth), outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.enter(x).chunk(2, dim=1))
        for unit in self.units:
            parts.append(parts[-1] + unit(parts[-1]))
        return self.leave(torch.cat(parts, dim=1))


class NucleusNet(nn.Module):
    """Pictures [B, 3, H, W] in 0..1 to raw cells [B, 4 + classes, H/s, W/s].

    Channels: centre offset x, y (in cells, from the cell's middle), log width and
    height (over ``DEFAULT_SIDE_PX``), the nucleus logit, and with several classes
    their logits. With ``auxiliary`` also the logits of :attr:`data.Crop.mask` at
    stride 4, for training only.
    """

    def __init__(self, shape: Shape, auxiliary: bool = False) -> None:
        super().__init__()
        c2, c4, c8, c16 = shape.widths
        d4, d8, d16 = shape.depths
        self.shape = shape
        self.stem = conv(3, c2, 3, 2)
        self.down4 = nn.Sequential(conv(c2, c4, 3, 2), Split(c4, c4, d4))
        self.down8 = nn.Sequential(conv(c4, c8, 3, 2), Split(c8, c8, d8))
        self.down16 = nn.Sequential(conv(c8, c16, 3, 2), Split(c16, c16, d16))
        self.up8 = Split(c16 + c8, c8, 1)
        at_eight = shape.fine or shape.head_stride == 8
        if not at_eight:
            self.side4 = conv(c8, c4, 1)
            self.up4 = Split(2 * c4, c4, 1)
        top, width = c8 if at_eight else c4, shape.head_width
        self.head = nn.Sequential(conv(top, width))
        self.out = self.per_cell(width, 5)
        if shape.classes > 1:
            self.kind_near = self.per_cell(width, shape.classes)
            self.kind_far = nn.Sequential(conv(c8, c8), nn.Conv2d(c8, shape.classes, 1))
        self.mask = self.per_cell(top, 3) if auxiliary and shape.head_stride == 4 else None
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.zeros_(self.out.bias)
        nn.init.constant_(self.out.bias[4 * self.cells_each :], -4.0)

    @property
    def cells_each(self) -> int:
        """Cells of the head that one place of the last features answers for."""
        return 4 if self.shape.fine else 1

    def per_cell(self, inputs: int, answers: int) -> nn.Conv2d:
        """The closing layer of one question."""
        return nn.Conv2d(inputs, answers * self.cells_each, 1)

    def spread(self, answers: Tensor) -> Tensor:
        """Answers of one place to the cells they are for."""
        return functional.pixel_shuffle(answers, 2) if self.shape.fine else answers

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the head sees, and the same at stride 8."""
        f4 = self.down4(self.stem(x))
        f8 = self.down8(f4)
        f16 = self.down16(f8)
        p8 = self.up8(torch.cat([double(f16), f8], dim=1))
        if self.shape.fine or self.shape.head_stride == 8:
            return p8, p8
        return self.up4(torch.cat([double(self.side4(p8)), f4], dim=1)), p8

    def answer(self, top: Tensor, p8: Tensor) -> Tensor:
        """Boxes and logits. A kind is told by the nucleus itself (the head's features)
        and by what lies round it (stride 8)."""
        seen = self.head(top)
        boxes = self.spread(self.out(seen))
        if self.shape.classes == 1:
            return boxes
        far = self.kind_far(p8)
        near = self.spread(self.kind_near(seen))
        return torch.cat([boxes, near + (double(far) if self.shape.head_stride == 4 else far)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(*self.features(x))

    def forward_with_mask(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """As :meth:`forward`, and mask logits [B, 3, H/4, W/4] if there is such a head."""
        top, p8 = self.features(x)
        return self.answer(top, p8), None if self.mask is None else self.spread(self.mask(top))


def double(x: Tensor) -> Tensor:
    """Twice the size, nearest neighbour."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def cell_centres(height: int, width: int, stride: int, device: torch.device) -> Tensor:
    """Middles of the cells, pixels, [height * width, 2] as x, y."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return (torch.stack([x, y], dim=-1).reshape(-1, 2).float() + 0.5) * stride


def decode(raw: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Raw cells [B, K, h, w] to boxes [B, h*w, 4] (cx, cy, w, h in pixels) and their
    logits [B, h*w, K - 4]: nucleus, then classes if there are several."""
    height, width = raw.shape[-2:]
    flat = raw.flatten(2).transpose(1, 2)
    centre = cell_centres(height, width, stride, raw.device) + flat[..., :2] * stride
    side = flat[..., 2:4].clamp(-4, 3).exp() * DEFAULT_SIDE_PX
    return torch.cat([centre, side], dim=-1), flat[..., 4:]


def scores(logits: Tensor, dim: int) -> Tensor:
    """Logits (nucleus, then classes if there are several) to a score per class. The most
    likely class gets the nucleus score whole, the others their share of it, so that
    the greatest score is the detector's, whatever it thinks of the class."""
    if logits.shape[dim] == 1:
        return logits.sigmoid()
    nucleus, kinds = logits.split([1, logits.shape[dim] - 1], dim)
    return nucleus.sigmoid() * (kinds - kinds.amax(dim, keepdim=True)).exp()
