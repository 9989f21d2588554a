"""A dataset read back with each library."""

import urllib.request

import pytest

import slidemill

ENGINES = ["polars", "duckdb", "pyarrow", "geopandas", "pandas"]


def rows_of(table) -> list[dict]:
    """The rows of whatever table this is."""
    if hasattr(table, "collect"):
        return table.collect().to_dicts()
    if hasattr(table, "fetchall"):
        return [dict(zip(table.columns, row, strict=True)) for row in table.fetchall()]
    if hasattr(table, "to_table"):
        return table.to_table().to_pylist()
    return table.to_dict("records")


def places(table) -> list[tuple]:
    return sorted((str(row["slide_id"]), row["x_px"], row["y_px"], row["score"]) for row in rows_of(table))


def test_every_library_sees_the_same_cells(analysed):
    dataset = analysed.dataset
    expected = places(dataset.cells())
    assert len(expected) == analysed.cells
    for engine in ENGINES:
        pytest.importorskip(engine)
        assert places(dataset.cells(engine)) == expected, engine


def test_one_slide_and_some_columns(analysed):
    dataset = analysed.dataset
    slide = dataset.slides[0]
    columns = ["slide_id", "x_px", "y_px", "score"]
    for engine in ("polars", "duckdb", "pandas"):
        rows = rows_of(dataset.cells(engine, slides=slide, columns=columns))
        assert {str(row["slide_id"]) for row in rows} == {slide} and set(rows[0]) == set(columns), engine
    assert sum(dataset.account(slide)["analysis"]["cells"].values()) == len(rows)


def test_geopandas_has_the_outlines(analysed):
    cells = analysed.dataset.cells("geopandas")
    assert cells.crs is None and cells.geometry.geom_type.eq("Polygon").all()
    regions = analysed.dataset.regions("geopandas")
    assert (regions["kind"] == "tissue").any() and regions.geometry.is_valid.all()


def test_summary_and_accounts_agree_with_the_cells(analysed):
    for engine in ENGINES:
        summary = [row for row in rows_of(analysed.dataset.summary(engine)) if not isinstance(row["region"], str)]
        assert sum(row["cells"] for row in summary) == analysed.cells, engine
        accounts = rows_of(analysed.dataset.accounts_table(engine))
        assert [row["slide"] for row in accounts] == analysed.dataset.slides
        assert sum(row["cells"] for row in accounts) == analysed.cells, engine


def test_what_is_not_there_is_said(analysed, tmp_path):
    with pytest.raises(FileNotFoundError, match="no dataset"):
        slidemill.open(tmp_path)
    with pytest.raises(KeyError, match=analysed.dataset.slides[0]):
        analysed.dataset.account("s0")
    with pytest.raises(ValueError, match="expected one of polars"):
        analysed.dataset.cells("excel")
    empty = tmp_path / "empty"
    empty.joinpath("runs").mkdir(parents=True)
    dataset = slidemill.open(empty)
    for ask in (dataset.cells, dataset.summary, dataset.accounts_table):
        with pytest.raises(LookupError):
            ask()


def test_a_table_without_its_account_is_not_committed(analysed, tmp_path):
    import shutil

    out = tmp_path / "out"
    shutil.copytree(analysed.dataset.path, out)
    dataset = slidemill.open(out)
    gone = dataset.slides[0]
    out.joinpath("runs", f"{gone}.json").unlink()
    assert gone not in {str(row["slide_id"]) for row in rows_of(dataset.cells())}


def test_without_a_library_it_says_which_to_install(analysed, monkeypatch):
    import slidemill._tables as tables

    monkeypatch.setattr(tables, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install polars"):
        analysed.dataset.cells()
    with pytest.raises(ImportError, match="pip install duckdb"):
        analysed.dataset.cells("duckdb")


def test_the_viewer_serves_until_it_is_closed(analysed):
    with analysed.dataset.view() as view:
        with urllib.request.urlopen(view.url) as answer:
            assert answer.status == 200
        assert view.url in view._repr_html_()
    assert "closed" in repr(view)
    with pytest.raises(OSError):
        urllib.request.urlopen(view.url)


def test_a_viewer_that_cannot_start_says_why(analysed):
    with pytest.raises(slidemill.SlidemillError, match="no-such-slide"):
        analysed.dataset.view("no-such-slide")
