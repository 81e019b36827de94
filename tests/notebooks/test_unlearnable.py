"""Chapters 6, 11 and 12 where answers are known, and what they conclude from what they measured.

Noise of no level leaves images as they were: hackers who differ in images alone are then the same.
"""

import json
import re

import pytest

from mmlib.evaluate.retrieval import MEASURES
from mmlib.mem.scores import rank_ratio
from mmlib.presets.base import CHAPTERS
from mmlib.records import RESULTS, ROOT
from mmlib.studies.unlearnable.tables import TITLES

FEW = {"switches": [], "defences": [], "clean_controls": False}
# Chapter, settings, hackers who are then the same, and others who are not.
CASES = {
    "chapter 6 without noise": (
        "unlearnable", {"epsilon": 0},
        [("noise", "clean"), ("trigger", "mem")],
        [("mem", "clean"), ("random_tokens", "clean"), ("random_tokens", "trigger")],
    ),
    "the audit": (
        "unlearnable_audit",
        {**FEW, "rows": ["mem_3", "random_tokens"], "defences": ["first", "views"]},
        [],
        [("mem_images", "clean"), ("mem_words", "mem_3"), ("mem_words", "random_tokens")],
    ),
    "the audit without noise": (
        "unlearnable_audit",
        {**FEW, "epsilon": 0, "rows": ["mem_3", "random_noise"], "defences": ["first"]},
        [
            ("mem_images", "clean"), ("mem_3.first", "clean"), ("mem_words", "mem_3"),
            ("random_noise", "clean"),
        ],
        [("mem_3", "clean")],
    ),
    "the audit without noise, as released": (  # a photo is five pairs, but one image for uap
        "unlearnable_audit",
        {**FEW, "epsilon": 0, "rows": ["mem_3", "em_mem_budget", "uap"], "mode": "faithful"},
        [("mem_images", "clean"), ("mem_words", "mem_3"), ("em_mem_budget", "clean")],
        [("mem_3", "clean")],
    ),
    "sweeps": (
        "unlearnable_sweeps",
        {
            "sweeps": [], "answers": ["spelled_noise", "spelled"],
            "defences": ["first", "views", "both"], "clean_controls": False,
        },
        [],
        [("spelled_other", "spelled_noise.none"), ("spelled_other", "clean")],
    ),
    "sweeps without noise": (
        "unlearnable_sweeps",
        {
            "epsilon": 0, "sweeps": ["shuffle", "share", "transfer", "finetune", "identity"],
            "shares": [50], "surrogates": ["usual"], "victims": ["usual", "patches"],
            "answers": ["spelled", "spelled_noise"], "defences": ["first", "views"],
            "clean_controls": True,
        },
        [
            ("shuffle_shuffled.images", "clean"), ("shuffle_own.images", "clean"),
            ("transfer.patches.spelled_noise", "transfer.patches.clean"),
            ("finetune.spelled_noise", "finetune.clean"), ("spelled_other", "clean"),
            ("identity.mem_3.first", "identity.clean"), ("mem_3.first", "clean"),
            ("spelled_noise.first", "clean.first"), ("spelled_noise.views", "clean.views"),
            ("spelled.first", "clean"),
        ],
        [
            ("mem_3", "clean"), ("share_50.mixed", "clean"), ("share_50.open", "clean"),
            ("finetune.mem_3", "finetune.clean"), ("identity.mem_3", "identity.clean"),
        ],
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory, execute):
    """The case's hackers, and the metrics of its run."""
    chapter, settings, same, others = CASES[request.param]
    folder = tmp_path_factory.mktemp("chapter")
    notebook = ROOT / "notebooks" / f"{CHAPTERS[chapter]}.ipynb"
    record = execute(notebook, folder, recorded=False, steps=8, **settings)
    return same, others, {name: metric["value"] for name, metric in record["metrics"].items()}


def test_hackers_are_the_same_where_what_they_are_given_is(case):
    same, others, metrics = case

    def scores(hacker):
        return [metrics[f"{measure}.{hacker}"] for measure in MEASURES]

    assert {(a, b) for a, b in same if scores(a) != scores(b)} == set()
    assert {(a, b) for a, b in others if scores(a) == scores(b)} == set()
    assert {a for a, b in same if b == "clean" and metrics[f"left.{a}"] != 0} == set()


def test_what_is_concluded_follows_from_what_was_measured(case):
    *_, metrics = case

    def left(name):
        return metrics[f"left.{name}"]

    def ranks(name):
        name = "mem_3" if name == "mem_3.none" else name  # which is trained once
        return {key: metrics[f"{key}.{name}"] for key in ("median_rank.i2t", "median_rank.t2i")}

    if "left_after_best_defence" in metrics:
        tried = [left(name[5:]) for name in metrics if name.startswith("left.mem_3.")]
        assert metrics["left_after_best_defence"] == min([*tried, metrics["left_early.mem_3"]])
    if "chosen" in metrics:
        known = {name: value for name, value in metrics.items() if name[:11] == "left_known."}
        mem, *answers = (name[11:] for name in known)
        chosen = answers[int(metrics["chosen"])]
        assert known[f"left_known.{chosen}"] == max(known[f"left_known.{p}"] for p in answers)
        for side, p in (("mem_3", mem), ("chosen", chosen)):
            single = [f"{p}.{d}" for d in ("none", "first", "views")]
            ratios = [rank_ratio(ranks(name), ranks("clean")) for name in single]
            assert metrics[f"left_worst.{side}"] == min(map(left, single))
            assert metrics[f"rank_ratio.{side}"] == min(ratios)
            assert metrics[f"left_first.{side}"] == left(f"{p}.first")
            if f"rank_ratio_both.{side}" in metrics:
                both = rank_ratio(ranks(f"{p}.both"), ranks("clean"))
                assert metrics[f"rank_ratio_both.{side}"] == both


def test_the_table_of_what_is_published_has_the_figures_rows_by_name_and_in_order():
    notebook = json.loads(
        (ROOT / "notebooks" / f"{CHAPTERS['unlearnable_audit']}.ipynb").read_text()
    )
    (text,) = (
        "".join(cell["source"]) for cell in notebook["cells"]
        if "What each row publishes." in "".join(cell["source"])
    )  # fmt: skip
    told = {}
    for titles, names in re.findall(r"^\| (.+?) \| (`.+?`) \|", text, re.M):
        told |= dict(zip(re.findall(r"`(\w+)`", names), re.split(", (?=MEM)", titles), strict=True))
    rows = {name: t for name, t in TITLES.items() if not name.startswith("switch_")}
    assert list(told.items()) == list(rows.items())[1:]  # but clean


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("overview", "optimised-scenes"),
        ("flickr8k", "optimised-photos"),
        ("flickr8k", "defended-photos"),
    ],
)
def test_the_first_three_runs_of_a_second_look_are_those_of_the_first(first, second):
    """So chapter 11 says, since its ten seeds are then not all new."""
    for seed in range(3):
        one, other = (
            json.loads(
                (RESULTS / "unlearnable_audit" / row / f"desk/seed-{seed}/record.json").read_text()
            )["metrics"]
            for row in (first, second)
        )
        both = (one.keys() & other.keys()) - {"left_after_best_defence"}  # of the defences it has
        assert len(both) > 100
        assert {name: one[name]["value"] for name in both} == {
            name: other[name]["value"] for name in both
        }
