"""A job from Python: progress, interruption, exceptions."""

import json
import os
from pathlib import Path

import pytest

import slidemill
from conftest import SMALL, tables
from slidemill._progress import Progress
from slidemill.errors import error_of


def test_a_run_tells_what_it_did(analysed, slides):
    assert analysed.code == 0 and analysed.done == len(list(slides.iterdir()))
    assert analysed.cells > 0 and analysed.analysed_mm2 > 0 and not analysed.faults
    assert analysed.dataset.slides and analysed.dataset.path.joinpath("report.html").is_file()


def test_a_second_run_skips_what_is_done(analysed, slides, capsys):
    again = slidemill.run(slides, analysed.dataset.path, **SMALL)
    assert again.skipped == analysed.done and again.done == 0
    assert "skipped: done before" in capsys.readouterr().err


def test_an_interrupted_run_says_how_to_go_on_and_ends_in_the_same_bytes(analysed, slides, tmp_path):
    seen = []

    def interrupt(event):
        seen.append(event)
        if event["event"] == "windows":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="the same call of slidemill.run goes on"):
        slidemill.run(slides, tmp_path / "out", progress=interrupt, **SMALL)
    assert seen[0]["event"] == "job_started"

    resumed = []
    slidemill.run(slides, tmp_path / "out", progress=resumed.append, **SMALL)
    first = next(event for event in resumed if event["event"] in ("slide_started", "slide_skipped"))
    assert first["event"] == "slide_skipped" or first["resumed"] > 0
    assert tables(tmp_path / "out") == tables(analysed.dataset.path)


def test_bands_along_a_border_and_measures_are_asked_for_by_name(slides, tmp_path):
    slide = sorted(slides.iterdir())[0]
    ring = [[820, 600], [1700, 600], [1700, 1480], [820, 1480], [820, 600]]
    tumour = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
    }
    drawn = tmp_path / "drawn.geojson"
    drawn.write_text(json.dumps({"type": "FeatureCollection", "features": [tumour]}))
    wanted = tmp_path / "measures.toml"
    wanted.write_text('[[index]]\nname = "outside"\nof = {}\nper-mm2 = 1\nregions = "margin:0..60"\n')
    given = {"within": drawn, "margin_um": (-60, 0, 60), "margin_of": "tumor", "measure": wanted}
    run = slidemill.run(slide, tmp_path / "out", progress=False, **given, **SMALL)
    kinds = [region["kind"] for region in run.dataset.account(run.dataset.slides[0])["analysis"]["regions"]]
    assert kinds == ["margin:-60..0", "margin:0..60", "roi", "tissue"]
    assert "outside,regions margin:0..60" in (tmp_path / "out" / "measures.csv").read_text()
    with pytest.raises(slidemill.UsageError, match="--margin-um has 0 after 60"):
        slidemill.run(slide, tmp_path / "wrong", progress=False, **{**given, "margin_um": (60, 0)}, **SMALL)


def test_a_fault_of_the_callers_function_stops_the_job(slides, tmp_path):
    def fail(event):
        raise ZeroDivisionError(event["event"])

    with pytest.raises(ZeroDivisionError, match="job_started"):
        slidemill.run(slides, tmp_path / "out", progress=fail, **SMALL)
    # Nobody holds a slide any more: the job goes on at once.
    assert slidemill.run(slides, tmp_path / "out", progress=False, **SMALL).code == 0


def test_a_bad_slide_is_named_and_the_others_are_done(slides, tmp_path):
    bad = tmp_path / "bad.svs"
    bad.write_bytes(b"II*\0no slide")
    given = [*sorted(slides.iterdir()), bad]
    with pytest.raises(slidemill.IncompleteError) as caught:
        slidemill.run(given, tmp_path / "out", progress=False, **SMALL)
    assert caught.value.code == 65
    [(slide, reason)] = caught.value.slides.items()
    assert slide in str(caught.value) and reason in str(caught.value)

    run = slidemill.run(given, tmp_path / "out", progress=False, check=False, **SMALL)
    assert run.code == 65 and list(run.faults) == [slide]
    assert run.dataset.account(slide)["outcome"] == "failed"


def test_each_exit_code_is_an_exception_with_the_commands_words(slides, tmp_path):
    with pytest.raises(slidemill.UsageError, match="no-such-folder"):
        slidemill.run(tmp_path / "no-such-folder", tmp_path / "out", progress=False)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(slidemill.OutputError, match="cannot write to the output folder"):
        slidemill.run(slides, file, progress=False)
    kinds = {
        64: slidemill.UsageError,
        65: slidemill.IncompleteError,
        70: slidemill.FaultError,
        73: slidemill.OutputError,
        75: slidemill.AgainError,
        -9: slidemill.KilledError,
    }
    for code, kind in kinds.items():
        error = error_of(code, "as it said", {})
        assert type(error) is kind and "as it said" in str(error)


def test_a_program_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setenv("SLIDEMILL_PROGRAM", os.path.join("nowhere", "slidemill"))
    with pytest.raises(slidemill.ProgramNotFoundError, match="correct or unset it"):
        slidemill.settings()


def test_a_notebook_shows_slides_at_work_and_remarks(analysed, slides, tmp_path):
    pages = []
    progress = Progress(show=pages.append, now=iter(range(10_000)).__next__)
    slidemill.run(slides, tmp_path / "out", progress=progress, **SMALL)
    assert any("windows</div>" in page for page in pages), "a slide at work"
    assert f"{analysed.done} of {analysed.done} slides, {analysed.cells:,} cells" in pages[-1]
    progress({"event": "warning", "slide": "s1", "message": "<b>"})
    assert "&lt;b&gt;" in pages[-1] and "<b>" not in pages[-1]


def test_the_working_folder_may_change(analysed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert slidemill.open(Path(analysed.dataset.path)).slides == analysed.dataset.slides
