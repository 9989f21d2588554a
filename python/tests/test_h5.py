"""Vectors of patches as files that TRIDENT and CLAM read."""

import importlib.util
from pathlib import Path

import pytest

import slidemill

MODEL = Path(__file__).parents[2] / "detector/tests/contracts/mean-colour.onnx"


@pytest.fixture(scope="module")
def vectors(slides, tmp_path_factory) -> slidemill.Dataset:
    """Patches of 16 px at 1 µm of two slides, half over one another, with their mean colours."""
    out = tmp_path_factory.mktemp("vectors")
    return slidemill.run(slides, out, model=MODEL, progress=False, threads=2).dataset


def test_files_have_what_the_tables_have(vectors, tmp_path):
    h5py = pytest.importorskip("h5py")
    files = vectors.to_h5(tmp_path / "h5")
    assert [file.stem for file in files] == vectors.slides and len(files) == 2
    for file in files:
        rows = vectors.patches("pyarrow", slides=file.stem).to_table().to_pylist()
        account = vectors.account(file.stem)
        with h5py.File(file) as h5:
            assert set(h5) == {"features", "coords"}
            features, coords = h5["features"], h5["coords"]
            assert (features.shape, features.dtype, coords.dtype) == ((len(rows), 3), "float32", "int64")
            assert features[:].tolist() == [list(map(float, row["embedding"])) for row in rows]
            assert coords[:].tolist() == [[round(row["left_px"]), round(row["top_px"])] for row in rows]
            mpp = account["analysis"]["mpp"]
            said = dict(coords.attrs)
            assert (said["name"], said["patch_size"], said["overlap"]) == (file.stem, 16, 8)
            assert said["patch_size_level0"] == round(16 / mpp)
            assert (said["level0_magnification"], said["target_magnification"]) == (round(10 / mpp / 20) * 20, 10)
            assert features.attrs["encoder"] == account["model"]["name"]


def test_halves_and_tissue_are_chosen(vectors, tmp_path):
    h5py = pytest.importorskip("h5py")
    slide = vectors.slides[0]
    (file,) = vectors.to_h5(tmp_path, slides=slide, dtype="float16", min_tissue=0.5)
    rows = [row for row in vectors.patches("pyarrow", slides=slide).to_table().to_pylist() if row["tissue"] >= 0.5]
    with h5py.File(file) as h5:
        assert h5["features"].dtype == "float16" and len(h5["coords"]) == len(rows) > 0
    assert len(rows) < vectors.account(slide)["analysis"]["patches"]["patches"]
    before = file.read_bytes()
    with pytest.raises(FileExistsError, match="not replaced"):
        vectors.to_h5(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [file.name] and file.read_bytes() == before


def test_what_is_missing_is_said(analysed, vectors, tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("slidemill._h5.find_spec", lambda name: None if name == "h5py" else find_spec(name))
    with pytest.raises(ImportError, match="h5py not installed: `pip install h5py`"):
        vectors.to_h5(tmp_path)
    monkeypatch.setattr("slidemill._h5.find_spec", lambda name: True)
    with pytest.raises(LookupError, match="no slide has patches"):
        analysed.dataset.to_h5(tmp_path)
    with pytest.raises(ValueError, match="expected float16 or float32"):
        vectors.to_h5(tmp_path, dtype="float64")
    assert not list(tmp_path.iterdir())
