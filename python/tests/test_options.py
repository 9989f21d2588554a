"""The options are the command's: their names, their defaults, how they are typed."""

import re
from pathlib import Path

import pytest

import slidemill
from slidemill._options import Interest, Options, flags
from slidemill._program import ask


def told_names() -> set[str]:
    """The names in `slidemill settings`, also of those without a value."""
    lines = ask("settings").splitlines()
    return {re.match(r"(?:# )?([a-z0-9-]+) = ", line)[1].replace("-", "_") for line in lines}


def test_every_option_of_the_command_is_there_and_no_other():
    assert set(Options.__annotations__) == told_names()


def test_every_option_is_a_flag_of_run():
    flags_of_run = set(re.findall(r"--([a-z0-9-]+)", ask("run", "--help")))
    assert {name.replace("_", "-") for name in Options.__annotations__} <= flags_of_run


def test_regions_of_interest_have_all_options_that_the_command_has():
    _, own = ask("run", "--help").split("\nRegions of interest:\n")
    section = re.split(r"\n\n(?=\S)", own)[0]
    told = set(re.findall(r"^ +--([a-z0-9-]+)", section, re.MULTILINE))
    assert {name.replace("_", "-") for name in Interest.__annotations__} == told


def test_defaults_are_the_commands():
    assert flags({}) == []
    assert flags(dict.fromkeys(Options.__annotations__)) == []
    settings = slidemill.settings()
    assert settings["window"] == 2048 and settings["merge"] == "nms"
    assert "min_score" not in settings, "it is the model's own"


def test_values_reach_the_command_as_they_were_meant():
    settings = slidemill.settings(
        stains=True,
        features=["neighbours"],
        class_score={"tumour": 0.4, "stroma": 0.3},
        filter={"area_um2": (10, 500), "solidity": (0.8, None)},
        map_range=(-5, 4095.5),
        detector=[{"mpp": 0.25}, "mpp=0.5,model=nuclei-he-int8"],
        dense_class=["tumour", "stroma"],
        dense_per_mm2=3000,
        mem="1G",
        model=Path("nuclei-he-seg"),
    )
    assert settings["stains"] is True
    assert slidemill.settings(stains="h-dab", dab_ring_um=4)["stains"] == "h-dab"
    assert settings["features"] == ["neighbours"]
    assert sorted(settings["class_score"]) == ["stroma=0.3", "tumour=0.4"]
    assert settings["filter"] == ["area_um2=10..500", "solidity=0.8.."]
    assert settings["map_range"] == "-5:4095.5"
    assert len(settings["detector"]) == 2 and settings["detector"][1]["mpp"] == 0.5
    assert sorted(settings["dense_class"]) == ["stroma", "tumour"]
    assert settings["model"] == "nuclei-he-seg"


def test_a_wrong_value_is_refused_in_the_commands_words():
    with pytest.raises(slidemill.UsageError, match="min-score"):
        slidemill.settings(min_score=2.0)
    with pytest.raises(slidemill.UsageError, match="minimal"):
        slidemill.settings(minimal=1)
