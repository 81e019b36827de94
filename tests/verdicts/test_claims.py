"""A claim is decided by its rule, from records or from the paper's own numbers."""

import re
from pathlib import Path

import pytest
from scipy import stats

from mmlib import records
from mmlib.presets import grid
from mmlib.presets.base import CHAPTERS
from mmlib.verdicts import claims
from mmlib.verdicts.claims import Claim, decide
from mmlib.verdicts.tables import tally

RULE = {
    "id": "x", "paper": "P", "says": "a is above b", "chapter": "comm", "holds": ("a > b",),
    "found": "a {a:.1f}, b {b:.2g}.",
}  # fmt: skip


def runs(pairs, preset="desk", chapter="comm"):
    return [
        {
            "chapter": chapter, "experiment": "overview", "preset": preset, "seed": seed,
            "metrics": {"a": {"value": a}, "b": {"value": b}}, "path": Path("build/runs/r"),
            "kept": False,
        }
        for seed, (a, b) in enumerate(pairs)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pairs", "options", "expected"),
    [
        ([(3, 1), (3.1, 1), (2.9, 1)], {}, "holds"),
        ([(1, 3), (1, 3), (1, 3)], {}, "does not hold"),
        ([(9, 1), (1, 2), (1, 3)], {}, "not shown"),  # the interval holds zero
        ([(9, 1), (1, 2), (1, 3)], {"holds": ("a >= b",)}, "does not hold"),  # a bound, broken once
        ([(1, 3), (1, 3.1), (1, 2.9)], {"holds": ("b > a", "a > b")}, "does not hold"),
        ([(9, 1), (1, 2), (1, 3)], {"holds": ("a > 0.5", "a > b")}, "not shown"),
        ([(9, 1), (1, 2), (1, 3)], {"holds": ("a > b", "b > 9")}, "does not hold"),
        ([(9, 1), (9, 2), (9, 3)], {"holds": ("a < 5",)}, "does not hold"),  # a number's other side
        ([(3, 1), (3, 1)], {}, "not decided by 2 runs"),
        ([(3, 1)], {"exact": True}, "holds"),
        ([(3, 1)], {"exact": True, "holds": ("a > 3.5",)}, "does not hold"),
        ([(1, 1)], {"exact": True}, "does not hold"),  # though its opposite does not, either
        ([(3, 1)], {"exact": True, "holds": ("b <= 1",)}, "holds"),
        ([(3, 1)], {"exact": True, "holds": ("a > b", "b > a")}, "does not hold"),  # all of them
        ([(3, 1), (3.1, 1), (2.9, 1)], {"below": {"b": 1.1}}, "holds"),
        ([(3, 1), (3.1, 1), (2.9, 1)], {"below": {"b": 1.1, "a": 2.9}}, "not decided here"),
        ([(3, 1), (3.1, 1)], {"below": {"a": 1}}, "not decided by 2 runs"),
        ([], {}, "not run here"),
        ([(3, 1)], {"exact": True, "found": "{c:.1f}"}, "not run here"),  # an older record
        ([(3, 1)], {"exact": True, "below": {"c": 1.0}}, "not run here"),
    ],
)
def test_verdicts(pairs, options, expected):
    assert decide(Claim(**{**RULE, **options}), runs(pairs))[0] == expected


@pytest.mark.parametrize(("looks", "verdict"), [({}, "holds"), ({"looks": 2}, "not shown")])
def test_a_second_look_widens_the_interval_that_decides_and_the_one_that_is_told(
    looks, verdict, monkeypatch
):
    row = {"chapter": "comm", "experiment": "overview", "preset": "desk"} | looks
    monkeypatch.setattr(grid, "rows", lambda: {("comm", "overview", "desk"): row})
    level = 0.975 if looks else 0.95
    half = stats.t.ppf((1 + level) / 2, 2) * stats.sem([1.7, 2.0, 1.0])
    assert (half < 4.7 / 3) == (not looks)  # clear of zero at 95 %, not at 97.5 %
    near = runs([(2.7, 1.0), (3.0, 1.0), (2.0, 1.0)])
    claim = Claim(**RULE | {"found": "{a - b:+.2f}"})
    assert claim.metrics == {"a", "b"}
    assert decide(claim, near)[:2] == (verdict, f"+1.57 ± {half:.2f}")


def test_what_was_found_is_the_mean_over_the_runs_that_count():
    loaded = runs([(3, 1), (4, 1.5), (5, 3)]) + runs([(100, 0)], preset="quick")
    assert decide(Claim(**RULE), loaded)[1:] == ("a 4.0, b 1.8.", "`comm/overview/desk`, 3 runs")
    assert decide(Claim(**RULE), loaded + runs([(0, 9)], preset="paper"))[0] == "holds"  # by desk's
    assert decide(Claim(**RULE), runs([(3, 1)] * 3, chapter="label_dp"))[0] == "not run here"


@pytest.mark.parametrize(
    ("stated", "verdict"), [(11.41, "holds"), (10.41, "does not hold"), (11.42, "does not hold")]
)
def test_arithmetic_needs_no_run(stated, verdict):
    claim = Claim("x", "P", "It falls.", stated=stated, printed=(79.18, 67.77))
    assert decide(claim, []) == (verdict, "Its own table gives 11.41.", "the paper's table")


def test_the_books_claims_are_whole():
    for claim in claims.claims().values():
        ways = [bool(claim.holds), bool(claim.printed), bool(claim.missing)]
        assert sum(ways) == 1, claim.id  # decided in one way, or not at all
        assert (claim.stated is None) == (not claim.printed), claim.id
        if claim.holds:
            assert claim.chapter in CHAPTERS, claim.id
            assert claim.metrics, claim.id
            assert "{" not in claims._HOLE.sub("", claim.found), claim.id
            assert "|" not in claim.found + claim.says, claim.id  # it stands in a table


def test_the_table_has_every_claim_once_and_links_its_page():
    mine = [claim for claim in claims.claims().values() if claim.paper == "label-DP"]
    text = claims.table("label-DP", [])
    assert len(text.splitlines()) == 4 + len(mine)
    assert text.startswith(f"{tally(claims.decide(claim, [])[0] for claim in mine)}\n\n|")
    assert text.count("{doc}`/notebooks/05_image_table`") == sum(
        claim.chapter == "image_table" for claim in mine
    )
    assert text.count("| **not run here** |") == sum(bool(claim.holds) for claim in mine)


def test_headlines_are_claims_that_runs_decide():
    marked = [claim for claim in claims.claims().values() if claim.headline]
    assert {claim.paper for claim in marked} == {"label-DP", "CoMM", "MEM", "This book"}
    assert all(claim.holds for claim in marked)
    lines = claims.headlines([]).splitlines()
    assert len(lines) == len(marked)
    for claim, line in zip(marked, lines, strict=True):
        assert f"*{claim.headline_says or claim.says}*" in line
        assert "Not run here." in line
        assert not re.search(r"λ|logarithm|\*The same", line.partition("**")[0])  # no newcomer's
    assert all(claim.headline for claim in claims.claims().values() if claim.headline_says)


def test_the_first_page_says_a_claim_in_other_words_and_only_that_page(monkeypatch):
    claim = Claim(**RULE, headline=True, headline_says="A is larger")
    monkeypatch.setattr(claims, "claims", lambda: {"x": claim})
    assert claims.headlines([]).startswith("- *A is larger* (P) **Not run here.**")
    assert "a is above b" in claims.table("P", [])
    assert "A is larger" not in claims.table("P", [])


def test_the_page_has_all_papers():
    text = claims.page([])
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "## label-DP", "## CoMM", "## MEM", "## This book",
    ]  # fmt: skip
    for claim in claims.claims().values():
        assert text.count(f"| {claim.says} |") == 1


def test_what_was_found_is_filled_in_from_the_committed_records():
    loaded = records.load(records.RESULTS)
    found = {claim.id: claims.decide(claim, loaded)[1] for claim in claims.claims().values()}
    assert not [text for text in found.values() if "{" in text]
    assert not [text for text in found.values() if re.search(r"-0(\.0+)?\b(?!\.)", text)]
    for claim in claims.claims().values():  # what there are records of has run
        mine = claim.chapter, claim.experiment
        if claim.holds and any(
            (record["chapter"], record["experiment"]) == mine
            and claim.metrics <= {*record["metrics"]}
            for record in loaded
        ):
            assert found[claim.id] != "–", claim.id


def test_a_floor_that_is_reached_leaves_a_claim_undecided():
    loaded = runs([(3, 1), (3.1, 1), (2.9, 1)])
    assert decide(Claim(**RULE | {"below": {"b": 1.0}}), loaded)[0] == "not decided here"
