"""The options of a job, as keyword arguments.

None has a default here: what is not given is not passed on, and the command decides. A test compares the names with
those of ``slidemill settings``.
"""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from typing import Any, Literal, TypedDict

Path = str | PathLike[str]
#: Both ends included; ``None`` leaves an end open.
Range = tuple[float | None, float | None]


class Options(TypedDict, total=False):
    """Options of :func:`slidemill.run`, named as the flags of ``slidemill run``, whose help says more of each."""

    model: Path
    """ONNX file, or a bundled model: nuclei-he, nuclei-he-int8, nuclei-he-seg, nuclei-he-classes,
    nuclei-he-large, nuclei-he-large-classes, nuclei-he-fast, nuclei-hdab."""
    detector: Sequence[str | Mapping[str, Any]]
    """Several detectors over each slide, sharpest first: ``[{"mpp": 0.25}, {"mpp": 0.5, "model": "m.onnx"}]``."""
    device: str
    """auto, cpu, cuda, cuda:1, tensorrt, openvino or coreml; several of one kind: cuda:0,1, cuda:all, cpu,cpu."""
    batch: int
    """Windows per model call."""
    window_iou: float
    """Boxes of one window and class that overlap by more are one before anything else."""
    mpp: float | Literal["estimate"]
    """µm per level-0 px of slides that do not say it."""
    override_mpp: float
    """µm per level-0 px in place of what the slides say."""
    map_range: str | tuple[float, float]
    """Of slides of 16 bits or floats: the values that become black and white."""
    window: int
    """Side of the windows, px at the model's mpp."""
    overlap: str
    """Of neighbouring windows: "50%", "256px", "12um" or "auto"."""
    no_tissue_mask: bool
    """Analyse the whole slide."""
    allow_enlarging: bool
    """Allow slides coarser than the model wants."""
    stains: bool | Literal["he", "h-dab"]
    """Measure stains inside each cell: hematoxylin and eosin, or hematoxylin and DAB."""
    stain_vectors: str
    """With stains="h-dab": "0.65,0.7,0.29/0.27,0.57,0.78" (hematoxylin, DAB) or "estimate"."""
    dab_ring_um: float
    """With stains="h-dab": width of the ring around each nucleus in which DAB is measured, µm."""
    features: Sequence[str] | str
    """Further columns of the cells: neighbours, shape, texture, stain."""
    min_score: float
    """Lowest score of a cell, 0 to 1."""
    class_score: Mapping[str, float] | str
    """The same for some classes."""
    merge: Literal["nms", "nmm", "wbf"]
    """What becomes of several boxes of one cell."""
    merge_metric: Literal["iou", "ios", "mask-iou"]
    """How agreement is measured."""
    merge_iou: float
    """Detections of one class that agree more are one cell."""
    class_iou: Mapping[str, float] | str
    """The same for some classes."""
    cross_class_iou: float
    """Detections of different classes that agree more are one cell."""
    rim: float
    """Width of the border of windows in which another view is believed first, px at the model's mpp."""
    unseen_cut: Literal["keep", "drop"]
    """A piece cut by a window's border that no better view confirms."""
    filter: Mapping[str, Range] | str
    """Keep only cells within ranges: ``{"area_um2": (10, 500), "solidity": (0.8, None)}``."""
    fuse: Literal["wbf", "noisy-or", "max", "context"]
    """How the cells of several detectors become one set."""
    fuse_weights: Sequence[float] | str
    """Of each detector."""
    fuse_iou: float
    """Cells of two detectors that agree more are one."""
    fuse_distance_um: float
    """Cells of two detectors nearer than this, µm, are one."""
    fuse_score: float
    """Lowest score after fusing."""
    context_weight: float
    """With fuse="context": how much the coarse answer counts."""
    context_outside: float
    """With fuse="context": the coarse answer outside of all regions."""
    region_class: Sequence[str] | str
    """Classes of the model that are areas, not cells."""
    dense_per_mm2: float
    """Places with more cells per mm² are regions."""
    dense_radius_um: float
    """Radius that density is measured in, µm."""
    dense_class: Sequence[str] | str
    """Classes whose density is measured."""
    region_closing_um: float
    """Gaps of regions that are closed, µm."""
    region_opening_um: float
    """Thin parts of regions that are opened away, µm."""
    region_hole_um2: float
    """Holes that are filled, µm²."""
    region_min_um2: float
    """Smallest region, µm²."""
    region_simplify_um: float
    """By how much outlines of regions may be simplified, µm."""
    threads: int
    """Threads for reading and for the model."""
    mem: str
    """Memory for pixels read ahead: "2G", "800M"."""
    gpu_mem: str
    """Memory that the model may take of each NVIDIA GPU, such as "8G"."""
    scratch: str
    """Disk that a slide at work may take under the output: "20G"."""
    stage: Path
    """Folder that each slide is copied to before it is read."""
    stage_budget: str
    """Bytes of all such copies at any time: "50G"."""
    slide_timeout: float
    """Seconds without a window after which a slide is given up."""
    keep_raw: bool
    """Keep raw detections, for ``slidemill merge``."""
    raw_floor: float
    """Lowest score of raw detections that are kept."""


class Interest(TypedDict, total=False):
    """Where :func:`slidemill.run` looks and counts, named as the flags of ``slidemill run``.

    docs/regions-of-interest.md says more of each.
    """

    within: Path
    """Regions that somebody drew: a file for one slide, or a folder with a file for each, called as the slide."""
    within_frame: Literal["qupath", "level0"]
    """Where their coordinates count from, of slides whose scanned part does not begin at the corner of level 0."""
    within_mpp: float
    """µm per px of the picture they were drawn on; needed for pictures of labels."""
    exclude: Sequence[str] | str
    """Classes whose regions are cut out of the others."""
    without_roi: Literal["whole", "skip"]
    """What becomes of slides without a file; refused when not given."""
    margin_um: Sequence[float]
    """Ends of bands along the border of the regions, µm from it, negative inside: ``(-200, 0, 200)``."""
    margin_of: Sequence[str] | str
    """Classes whose border that is."""


class RunArguments(Options, Interest, total=False):
    """All options of :func:`slidemill.run`."""


def flags(options: Mapping[str, Any]) -> list[str]:
    """The options as flags; those that are ``None`` are left out."""
    return [flag for name, value in options.items() if value is not None for flag in _flags_of(name, value)]


def _flags_of(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, list | tuple) and name != "map_range":
        for each in value:
            yield f"--{name.replace('_', '-')}={_text(name, each)}"
    else:
        yield f"--{name.replace('_', '-')}={_text(name, value)}"


def _text(name: str, value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ",".join(f"{key}={_range(item)}" for key, item in value.items())
    if name == "map_range" and isinstance(value, list | tuple):
        return ":".join(str(end) for end in value)
    return fspath(value) if isinstance(value, PathLike) else str(value)


def _range(value: Any) -> str:
    if not isinstance(value, list | tuple):
        return fspath(value) if isinstance(value, PathLike) else str(value)
    low, high = value
    return f"{'' if low is None else low}..{'' if high is None else high}"
