"""DICOM pictures, and what pydicom makes of them: RGB as it is to be seen.

Writes NAME.dcm and NAME.rgb into a folder, and prints a line of JSON for each: name, width, height, frame (or null) and
how far a sample may be off, which is 0 unless a lossy decoder of another maker is between.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels import apply_modality_lut, apply_voi_lut, convert_color_space
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    generate_uid,
)

WIDTH, HEIGHT = 38, 23
OUT = Path(sys.argv[1])
RANDOM = np.random.default_rng(7)


def picture(photometric, array, stored, *, signed=False, syntax=ExplicitVRLittleEndian, **more):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.7", "1.2.8"
    ds.PatientName, ds.Modality = "Miller^John", "OT"
    ds.PhotometricInterpretation = photometric
    ds.SamplesPerPixel = 3 if photometric[:3] in ("RGB", "YBR") else 1
    ds.Rows, ds.Columns = HEIGHT, WIDTH
    ds.BitsAllocated = 8 * array.dtype.itemsize
    ds.BitsStored, ds.HighBit = stored, stored - 1
    ds.PixelRepresentation = int(signed)
    if ds.SamplesPerPixel == 3:
        ds.PlanarConfiguration = 0
    for name, value in more.items():
        setattr(ds, name, value)
    ds.PixelData = array.tobytes()
    return ds


def rounded(values):
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def grey(ds, array):
    """8 bits of samples: by the window where there is one, else as they are stored."""
    least, most = 0, 2**ds.BitsStored - 1
    if ds.PixelRepresentation:
        least, most = -(2 ** (ds.BitsStored - 1)), 2 ** (ds.BitsStored - 1) - 1
    values, ends = apply_modality_lut(array, ds), apply_modality_lut(np.array([least, most]), ds)
    if "WindowCenter" in ds:
        values = apply_voi_lut(values, ds, index=0)
        shades = (values.astype(float) - ends[0]) / (ends[1] - ends[0]) * 255
    else:
        shades = (array.astype(float) - least) / (most - least) * 255
    shades = rounded(shades)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        shades = 255 - shades
    return np.repeat(shades[..., None], 3, axis=-1)


def save(name, ds, rgb, *, frame=None, off=0):
    ds.save_as(OUT / f"{name}.dcm", enforce_file_format=True)
    (OUT / f"{name}.rgb").write_bytes(np.ascontiguousarray(rgb, dtype=np.uint8).tobytes())
    print(json.dumps({"name": name, "width": WIDTH, "height": HEIGHT, "frame": frame, "off": off}))


def noise(low, high, dtype, *more):
    return RANDOM.integers(low, high, (HEIGHT, WIDTH, *more)).astype(dtype)


def smooth(*offsets):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    channels = [np.clip(o + 3 * x + 2 * y, 0, 255) for o in offsets]
    return np.stack(channels, axis=-1).astype(np.uint8)


def coded(array, kind, **options):
    out = io.BytesIO()
    Image.fromarray(array).save(out, kind, **options)
    return out.getvalue()


def greys():
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        array = noise(0, 256, np.uint8)
        for syntax, word in ((ExplicitVRLittleEndian, "explicit"), (ImplicitVRLittleEndian, "implicit")):
            ds = picture(photometric, array, 8, syntax=syntax)
            save(f"{photometric}-8-{word}", ds, grey(ds, array))
    windows = {
        "linear": dict(WindowCenter="1500", WindowWidth="900"),
        "one": dict(WindowCenter="1500", WindowWidth="1"),
        "first": dict(WindowCenter=["700.5", "3"], WindowWidth=["333.25", "9"]),
        "exact": dict(WindowCenter="1500", WindowWidth="800", VOILUTFunction="LINEAR_EXACT"),
        "sigmoid": dict(WindowCenter="1500", WindowWidth="800", VOILUTFunction="SIGMOID"),
        "rescaled": dict(WindowCenter="40", WindowWidth="400", RescaleSlope="0.5", RescaleIntercept="-1000"),
    }
    for word, window in windows.items():
        for photometric in ("MONOCHROME1", "MONOCHROME2"):
            array = noise(0, 4096, np.uint16)
            ds = picture(photometric, array, 12, **window)
            save(f"{photometric}-12-{word}", ds, grey(ds, array))
    array = noise(-2048, 2048, np.int16)
    ds = picture("MONOCHROME2", array, 16, signed=True, WindowCenter="-300", WindowWidth="1500", RescaleSlope="1", RescaleIntercept="-24")
    save("signed-16", ds, grey(ds, array))
    array = noise(-128, 128, np.int8)
    ds = picture("MONOCHROME2", array, 8, signed=True)
    save("signed-8", ds, grey(ds, array))
    # Twelve bits with a sign, in sixteen that are not filled up with it.
    array = noise(-2048, 2048, np.int16)
    ds = picture("MONOCHROME2", (array & 0xFFF).astype(np.uint16), 12, signed=True, WindowCenter="0", WindowWidth="4000")
    save("signed-12", ds, grey(ds, array))
    array = noise(0, 65536, np.uint16)
    ds = picture("MONOCHROME2", array, 16, WindowCenter="30000", WindowWidth="50000")
    ds.compress(RLELossless, array)
    save("rle-16", ds, grey(ds, array))
    array = smooth(20)[..., 0]
    ds = picture("MONOCHROME2", array, 8, syntax=JPEGBaseline8Bit)
    ds.PixelData = encapsulate([coded(array, "JPEG", quality=100)])
    save("jpeg-grey", ds, grey(ds, array), off=2)
    array = noise(0, 4096, np.uint16)
    ds = picture("MONOCHROME2", array, 12, syntax=JPEG2000Lossless, WindowCenter="2048", WindowWidth="1000")
    ds.BitsStored, ds.HighBit = 16, 15
    ds.PixelData = encapsulate([coded(array, "JPEG2000", irreversible=False, no_jp2=True)])
    save("jpeg2000-16", ds, grey(ds, array))


def colours():
    array = noise(0, 256, np.uint8, 3)
    save("rgb", picture("RGB", array, 8), array)
    planar = picture("RGB", np.ascontiguousarray(np.moveaxis(array, -1, 0)), 8, PlanarConfiguration=1)
    save("rgb-planar", planar, array)
    rle = picture("RGB", array, 8)
    rle.compress(RLELossless, array)
    save("rgb-rle", rle, array)
    # pydicom computes in other fractions than libjpeg.
    save("ybr-full", picture("YBR_FULL", array, 8), convert_color_space(array, "YBR_FULL", "RGB"), off=1)
    halved = noise(0, 256, np.uint8, 3)
    halved[:, 1::2, 1:] = halved[:, ::2, 1:]
    packed = np.stack([halved[:, ::2, 0], halved[:, 1::2, 0], halved[:, ::2, 1], halved[:, ::2, 2]], axis=-1)
    ds = picture("YBR_FULL_422", packed, 8)
    save("ybr-full-422", ds, convert_color_space(halved, "YBR_FULL", "RGB"), off=1)
    array = smooth(10, 60, 30)
    stream = coded(array, "JPEG", quality=95, subsampling=1)
    ds = picture("YBR_FULL_422", array, 8, syntax=JPEGBaseline8Bit)
    ds.PixelData = encapsulate([stream])
    save("jpeg-colour", ds, np.asarray(Image.open(io.BytesIO(stream)).convert("RGB")), off=4)
    ds = picture("YBR_RCT", array, 8, syntax=JPEG2000Lossless)
    ds.PixelData = encapsulate([coded(array, "JPEG2000", irreversible=False, mct=1, no_jp2=True)])
    save("jpeg2000-rct", ds, array)
    ds = picture("RGB", array, 8, syntax=JPEG2000)
    ds.PixelData = encapsulate([coded(array, "JPEG2000", irreversible=False, mct=0, no_jp2=True)])
    save("jpeg2000-rgb", ds, array)


def palette(name, array, stored, first, entries, bits):
    ds = picture("PALETTE COLOR", array, stored)
    dtype = np.uint8 if bits == 8 else np.uint16
    for channel in ("Red", "Green", "Blue"):
        table = RANDOM.integers(0, 2**bits, entries).astype(dtype)
        setattr(ds, f"{channel}PaletteColorLookupTableDescriptor", [entries % 65536, first, bits])
        setattr(ds, f"{channel}PaletteColorLookupTableData", table.tobytes())
    rgb = apply_color_lut(array, ds)
    save(name, ds, rgb >> 8 if bits == 16 else rgb)


def palettes():
    palette("palette-8", noise(0, 256, np.uint8), 8, 0, 256, 8)
    palette("palette-16", noise(0, 256, np.uint8), 8, 0, 256, 16)
    palette("palette-later", noise(0, 256, np.uint8), 8, 100, 60, 16)
    palette("palette-wide", noise(0, 65536, np.uint16), 16, 0, 65536, 16)


def frames():
    array = RANDOM.integers(0, 256, (5, HEIGHT, WIDTH, 3)).astype(np.uint8)
    for frame in (1, 3, 5):
        save(f"frame-{frame}", picture("RGB", array, 8, NumberOfFrames=5), array[frame - 1], frame=frame)
    streams = [coded(f, "JPEG2000", irreversible=False, mct=1, no_jp2=True) for f in array]
    for frame, parts in ((2, 1), (4, 3)):
        ds = picture("YBR_RCT", array, 8, NumberOfFrames=5, syntax=JPEG2000Lossless)
        ds.PixelData = encapsulate(streams, fragments_per_frame=parts)
        save(f"frame-{frame}-in-{parts}", ds, array[frame - 1], frame=frame)
    ds = picture("YBR_RCT", array, 8, NumberOfFrames=5, syntax=JPEG2000Lossless)
    ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(streams)
    save("frame-extended", ds, array[4], frame=5)
    # Each frame has its own window, as enhanced objects say it.
    array = RANDOM.integers(0, 4096, (2, HEIGHT, WIDTH)).astype(np.uint16)
    ds = picture("MONOCHROME2", array, 12, NumberOfFrames=2)
    groups = []
    for centre in (1000, 3000):
        window, group = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = centre, 500
        group.FrameVOILUTSequence = [window]
        groups.append(group)
    alone = picture("MONOCHROME2", array[1], 12, WindowCenter="3000", WindowWidth="500")
    ds.PerFrameFunctionalGroupsSequence = groups
    save("frame-window", ds, grey(alone, array[1]), frame=2)


greys()
colours()
palettes()
frames()
