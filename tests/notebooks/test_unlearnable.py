"""Chapters 6, 11 and 12 in a limit in which answers are known: noise of no level at all.

Then images are published as they were, so hackers who differ in images alone are the same.
"""

import json

import papermill
import pytest

from mmlib.evaluate.retrieval import MEASURES
from mmlib.presets.base import CHAPTERS
from mmlib.records import ROOT

AUDIT = {"switches": [], "defences": [], "clean_controls": False}
# Chapter, settings, hackers who are then the same, and others who read other words.
CASES = {
    "chapter 6": (
        "unlearnable", {},
        [("noise", "clean"), ("trigger", "mem")],
        [("mem", "clean"), ("random_tokens", "clean")],
    ),
    "the audit": (
        "unlearnable_audit",
        {**AUDIT, "rows": ["mem_3", "random_tokens", "random_noise"], "defences": ["first"]},
        [
            ("mem_images", "clean"), ("mem_3.first", "clean"), ("mem_words", "mem_3"),
            ("random_noise", "clean"),
        ],
        [("mem_3", "clean"), ("random_tokens", "mem_3")],
    ),
    "the audit, as released": (  # a photo is published as five pairs, but with uap as one image
        "unlearnable_audit",
        {**AUDIT, "rows": ["mem_3", "em_mem_budget", "uap"], "mode": "faithful"},
        [("mem_images", "clean"), ("mem_words", "mem_3"), ("em_mem_budget", "clean")],
        [("mem_3", "clean")],
    ),
    "sweeps": (
        "unlearnable_sweeps",
        {
            "sweeps": ["shuffle", "share", "transfer", "finetune", "topics", "identity"],
            "shares": [50], "topics": [2], "surrogates": ["usual"], "victims": ["usual", "patches"],
            "answers": ["woven_words", "spelled", "spelled_noise"], "defences": ["first", "views"],
            "clean_controls": True,
        },
        [
            ("shuffle_shuffled.images", "clean"), ("shuffle_own.images", "clean"),
            ("transfer.patches.spelled_noise", "transfer.patches.clean"),
            ("finetune.spelled_noise", "finetune.clean"), ("topics_2", "clean"),
            ("identity.mem_3.first", "identity.clean"), ("spelled_other", "clean"),
            ("mem_3.first", "clean"), ("spelled_noise.first", "clean.first"),
            ("spelled_noise.views", "clean.views"), ("spelled.first", "clean"),
        ],
        [
            ("mem_3", "clean"), ("share_50.mixed", "clean"), ("share_50.open", "clean"),
            ("finetune.mem_3", "finetune.clean"), ("identity.mem_3", "identity.clean"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_without_noise_hackers_differ_by_words_alone(case, tmp_path):
    chapter, settings, same, others = CASES[case]
    parameters = {"preset": "smoke", "epsilon": 0, "steps": 12, "folder": str(tmp_path / "run")}
    papermill.execute_notebook(
        ROOT / "notebooks" / f"{CHAPTERS[chapter]}.ipynb", tmp_path / "out.ipynb",
        parameters | settings, progress_bar=False, cwd=tmp_path,
    )  # fmt: skip
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    metrics = {name: metric["value"] for name, metric in record["metrics"].items()}

    def scores(hacker):
        return [metrics[f"{measure}.{hacker}"] for measure in MEASURES]

    assert {(a, b) for a, b in same if scores(a) != scores(b)} == set()
    assert {(a, b) for a, b in others if scores(a) == scores(b)} == set()
    assert {a for a, b in same if b == "clean" and metrics[f"left.{a}"] != 0} == set()
