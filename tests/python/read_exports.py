"""Reads exports with the libraries of the tools they are for, and prints what each saw as JSON.

    python read_exports.py FORMAT PATH

`classes`: cells by class; `area_px2`: of all cells; `valid`: shapes that the tool's own geometry takes; `tissue_px2`: of
the regions, where the format holds them. Each format imports only what its tool needs, so that an environment may
have one of them.
"""

import json
import sys
from collections import Counter
from pathlib import Path


def summary(classes, shapes, **more):
    """Of shapely polygons."""
    shapes = list(shapes)
    return {
        "classes": dict(Counter(str(name) for name in classes)),
        "area_px2": sum(shape.area for shape in shapes),
        "valid": sum(bool(shape.is_valid) and not shape.is_empty for shape in shapes),
    } | more


def qupath(path):
    """What QuPath does on reading: one document per member, then the reduction to a grid of 0.01 px."""
    import gzip
    import zipfile

    import shapely
    import shapely.geometry

    path = Path(path)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            texts = [archive.read(name) for name in archive.namelist()]
    elif path.suffix == ".gz":
        texts = [gzip.decompress(path.read_bytes())]
    else:
        texts = [path.read_bytes()]
    cells, regions, identifiers = [], [], []
    for text in texts:
        collection = json.loads(text)
        assert collection["type"] == "FeatureCollection"
        assert len(collection["features"]) <= 50_000 or path.suffix != ".zip"
        for feature in collection["features"]:
            properties = feature["properties"]
            kind = properties["classification"]
            assert isinstance(kind["name"], str) and len(kind["color"]) == 3, kind
            assert all(isinstance(value, (int, float)) for value in properties["measurements"].values())
            identifiers.append(feature["id"])
            shape = shapely.geometry.shape(feature["geometry"])
            reduced = shapely.set_precision(shape, 0.01)
            assert shape.is_valid and not reduced.is_empty, feature["id"]
            # The grid is the one that was written: a corner may only be joined to a side that passes it within half a step.
            assert abs(reduced.area - shape.area) <= 0.005 * shape.length, feature["id"]
            (cells if properties["objectType"] == "detection" else regions).append((kind["name"], shape))
    assert len(set(identifiers)) == len(identifiers)
    return summary(
        (name for name, _ in cells), (shape for _, shape in cells), tissue_px2=sum(shape.area for _, shape in regions)
    )


def geojson(path):
    import geopandas

    table = geopandas.read_file(path)
    cells = table[table["objectType"] == "detection"]
    names = [json.loads(value)["name"] if isinstance(value, str) else value["name"] for value in cells["classification"]]
    regions = table[table["objectType"] == "annotation"]
    return summary(names, cells.geometry, tissue_px2=regions.area.sum())


def coco(path):
    import shapely.geometry
    from pycocotools.coco import COCO

    data = COCO(path)
    names = {category["id"]: category["name"] for category in data.loadCats(data.getCatIds())}
    annotations = data.loadAnns(data.getAnnIds())
    shapes = []
    for annotation in annotations:
        ((*numbers,),) = annotation["segmentation"]
        shape = shapely.geometry.Polygon(list(zip(numbers[::2], numbers[1::2])))
        x, y, width, height = annotation["bbox"]
        assert abs(shape.area - annotation["area"]) < 0.02
        assert max(abs(a - b) for a, b in zip(shape.bounds, (x, y, x + width, y + height))) < 1e-6
        shapes.append(shape)
    return summary((names[annotation["category_id"]] for annotation in annotations), shapes)


def place(name):
    """Left, top, width and height of the picture of a part of the slide."""
    return [int(number) for number in name.removesuffix(".png").split("_")[-4:]]


def label_studio(path):
    """The facts of Label Studio's task format: https://labelstud.io/guide/predictions."""
    from xml.etree import ElementTree

    import shapely.geometry

    tasks = json.loads(Path(path).read_text())
    interface = ElementTree.parse(Path(path).with_suffix(".xml")).getroot()
    (labels,) = interface.iter("PolygonLabels")
    (image,) = interface.iter("Image")
    assert image.get("value") == "$image" and labels.get("toName") == image.get("name")
    known = [label.get("value") for label in labels]
    names, shapes, identifiers = [], [], []
    for task in tasks:
        left, top, width, height = place(task["data"]["image"])
        (prediction,) = task["predictions"]
        assert prediction["model_version"] and 0 < len(prediction["result"]) <= 500
        for item in prediction["result"]:
            assert (item["type"], item["from_name"], item["to_name"]) == ("polygonlabels", labels.get("name"), image.get("name"))
            assert (item["original_width"], item["original_height"], item["image_rotation"]) == (width, height, 0)
            assert 0 <= item["score"] <= 1 and item["value"]["closed"] is True
            (name,) = item["value"]["polygonlabels"]
            assert name in known
            identifiers.append(item["id"])
            names.append(name)
            shapes.append(shapely.geometry.Polygon(
                [(left + x * width / 100, top + y * height / 100) for x, y in item["value"]["points"]]
            ))
    assert len(set(identifiers)) == len(identifiers)
    return summary(names, shapes)


def cvat(path):
    """The facts of CVAT for images 1.1: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat."""
    from xml.etree import ElementTree

    import shapely.geometry

    root = ElementTree.parse(path).getroot()
    assert root.tag == "annotations" and root.findtext("version") == "1.1"
    known = [label.findtext("name") for label in root.iter("label")]
    names, shapes = [], []
    for number, image in enumerate(root.iter("image")):
        left, top, width, height = place(image.get("name"))
        assert (int(image.get("id")), int(image.get("width")), int(image.get("height"))) == (number, width, height)
        assert len(image) > 0
        for polygon in image:
            assert polygon.tag == "polygon" and polygon.get("label") in known
            assert (polygon.get("source"), polygon.get("occluded"), polygon.get("z_order")) == ("auto", "0", "0")
            (score,) = polygon.findall("attribute")
            assert score.get("name") == "score" and 0 <= float(score.text) <= 1
            corners = [[float(value) for value in pair.split(",")] for pair in polygon.get("points").split(";")]
            names.append(polygon.get("label"))
            shapes.append(shapely.geometry.Polygon([(left + x, top + y) for x, y in corners]))
    return summary(names, shapes)


def geoarrow(path):
    import geopandas

    table = geopandas.read_parquet(path)
    assert table.crs is None
    assert (table.total_bounds[2:] > 0).all()
    return summary(table["class_name"], table.geometry)


def annotation_store(path):
    import sqlite3

    class Connection(sqlite3.Connection):
        """The store asks for this before it lists compile options; some builds of Python leave it out."""

        def enable_load_extension(self, _):
            pass

    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **options: connect(*args, **{"factory": Connection, **options})
    from tiatoolbox.annotation.storage import SQLiteStore

    store = SQLiteStore(path)
    annotations = list(store.values())
    names = [annotation.properties["type"] for annotation in annotations]
    quoted = names[0].replace("'", "\\'")
    where = sum(1 for _ in store.query(where=f"props['type'] == '{quoted}'"))
    assert where == names.count(names[0]), (where, names.count(names[0]))
    first = annotations[0].geometry.bounds
    assert len(store.query(first)) >= 1
    return summary(names, (annotation.geometry for annotation in annotations))


def dicom_ann(path):
    import highdicom
    import numpy
    import shapely.geometry

    annotations = highdicom.ann.annread(path)
    names, shapes, scores = [], [], 0
    for group in annotations.get_annotation_groups():
        graphics = group.get_graphic_data(coordinate_type="2D")
        assert group.number_of_annotations == len(graphics)
        names += [group.label] * len(graphics)
        shapes += [shapely.geometry.Polygon(numpy.asarray(points)) for points in graphics]
        concepts, values, units = group.get_measurements()
        assert [concept.meaning for concept in concepts][:2] == ["Score of the model, 0 to 1", "Area"], concepts
        assert [unit.value for unit in units][:2] == ["1", "um2"], units
        assert values.shape == (len(graphics), len(concepts)) and numpy.isfinite(values[:, :2]).all()
        scores += len(values)
    assert scores == len(names)
    return summary(names, shapes)


def dicom_ann_measures(path):
    """Of each measure, how many cells have it and its mean over them."""
    import highdicom
    import numpy

    found = {}
    for group in highdicom.ann.annread(path).get_annotation_groups():
        concepts, values, _ = group.get_measurements()
        for concept, column in zip(concepts, values.T):
            found.setdefault(concept.meaning, []).append(column[numpy.isfinite(column)])
    columns = {name: numpy.concatenate(parts).astype(float) for name, parts in found.items()}
    return {name: [len(column), column.mean()] for name, column in columns.items()}


def dicom_sr(path):
    import highdicom

    report = highdicom.sr.srread(path)
    groups = report.content.get_planar_roi_measurement_groups()
    areas = []
    for group in groups:
        (area,) = [item for item in group.get_measurements() if item.name.meaning == "Area"]
        areas.append(float(area.value))
    whole = report.content.get_image_measurement_groups()
    (counts,) = [group.get_measurements() for group in whole]
    classes = {item.name.meaning.removeprefix("Cells: "): int(item.value) for item in counts if item.unit.value == "{count}"}
    return {"classes": classes, "regions": len(groups), "areas_mm2": areas}


def dicom_seg(path):
    """Area and middle of each segment in level-0 mm from its corner, as highdicom puts the tiles together."""
    import highdicom
    import numpy

    regions = highdicom.seg.segread(path)
    assert regions.segmentation_type == highdicom.seg.SegmentationTypeValues.BINARY
    down, right = regions.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    segments = {}
    for number in regions.segment_numbers:
        about = regions.get_segment_description(number)
        mask = regions.get_total_pixel_matrix(segment_numbers=[number])[..., 0]
        assert mask.shape == (regions.TotalPixelMatrixRows, regions.TotalPixelMatrixColumns)
        rows, columns = numpy.nonzero(mask)
        segments[about.segment_label] = {
            "area_mm2": float(len(rows) * down * right),
            "middle_mm": [float((columns.mean() + 0.5) * right), float((rows.mean() + 0.5) * down)],
            "type": about.segmented_property_type.meaning,
        }
    return {"segments": segments}


def spatialdata(path):
    import numpy
    import spatialdata

    store = spatialdata.read_zarr(path)
    cells, table = store["cells"], store["table"]
    assert list(table.obs["instance_id"]) == list(cells.index)
    assert list(table.var_names)[:2] == ["score", "area_um2"]
    joined, _ = spatialdata.join_spatialelement_table(sdata=store, spatial_element_names="cells", table_name="table")
    assert len(joined["cells"]) == len(cells)
    um = spatialdata.transform(cells, to_coordinate_system="micrometer")
    scale = numpy.sqrt(um.area.sum() / cells.area.sum())
    points = store["centroids"].compute()
    assert len(points) == len(cells)
    assert numpy.allclose(points[["x", "y"]].to_numpy(), table.obsm["spatial"])
    return summary(
        table.obs["class_name"], cells.geometry, um_per_px=scale, tissue_px2=float(store["regions"].area.sum()),
        points=dict(Counter(str(name) for name in points["class_name"])),
    )


if __name__ == "__main__":
    readers = {
        "qupath": qupath, "geojson": geojson, "geojson.gz": qupath, "coco": coco, "geoarrow": geoarrow,
        "label-studio": label_studio, "cvat": cvat,
        "annotation-store": annotation_store, "dicom-ann": dicom_ann, "dicom-sr": dicom_sr, "dicom-seg": dicom_seg,
        "dicom-ann-measures": dicom_ann_measures, "spatialdata": spatialdata,
    }
    result = readers[sys.argv[1]](sys.argv[2])
    # What libraries print on the way goes before it.
    print(json.dumps(result))
