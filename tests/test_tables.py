"""The verdict follows its written rule."""

from pathlib import Path

import pytest

from mmlib import evidence, tables
from mmlib.methods import image_pairs
from mmlib.tables import Item, claim_holds, verdict

ITEM = Item(
    id="x", title="X", paper="P", kind="figure", page="p", chapter="comm",
    values={"a.b": [70.0, 2.0]}, claims=("a.b > a.c",),
)  # fmt: skip


def record(seed, preset="paper", path="build/runs/r", **metrics):
    named = {name.replace("_", "."): {"value": value} for name, value in metrics.items()}
    return {
        "chapter": "comm", "experiment": "overview", "preset": preset, "seed": seed,
        "metrics": named, "path": Path(path), "kept": False, "files": {},
    }  # fmt: skip


def runs(values, against=50.0, preset="paper"):
    return [record(s, preset, a_b=v, a_c=against + 0.1 * s) for s, v in enumerate(values)]


@pytest.mark.parametrize(
    ("loaded", "expected"),
    [
        ([], "not run here"),
        (runs([70, 71], preset="paper"), "not decided by 2 runs"),
        (runs([70], preset="quick"), "not decided by 1 run"),
        (runs([40, 41], preset="paper") + runs([70, 71, 72], preset="desk"), "partly"),
        (runs([70, 71, 72]), "reproduced"),
        (runs([73, 74, 75]), "reproduced"),  # two standard deviations away
        (runs([75, 76, 77]), "partly"),  # the number is off, the claim holds
        (runs([70, 71, 72], preset="desk"), "partly"),
        (runs([70, 71, 72], preset="smoke"), "not run here"),
        (runs([70, 71, 72], against=71), "not reproduced"),
        (runs([40, 71, 99], against=50), "not reproduced"),  # the interval holds zero
        (runs([70, 71, 72], against=71) + runs([70, 71, 72], preset="desk"), "not reproduced"),
    ],
)
def test_verdicts(loaded, expected):
    assert verdict(ITEM, loaded) == expected


def test_after_a_second_look_a_claim_needs_a_wider_interval(monkeypatch):
    loaded = runs([51.6, 52.0, 51.0])  # 1.5 above, ± 1.37 at 95 % and ± 1.97 at 97.5 %
    assert verdict(ITEM, loaded) == "partly"
    row = {("comm", "overview", "paper"): {"looks": 2}}
    monkeypatch.setattr(evidence, "rows", lambda: row)
    assert verdict(ITEM, loaded) == "not reproduced"
    monkeypatch.setattr(tables, "items", lambda: {"x": ITEM})
    assert "0 of 1 claims hold" in tables.scorecard(loaded)
    monkeypatch.setattr(tables.records, "load", lambda: loaded)
    assert "“a, b” above “a, c”: not shown." in tables.beside("x").to_html()


def test_a_number_without_a_deviation_may_be_one_unit_off():
    item = Item(**{**vars(ITEM), "values": {"a.b": 70.0}})
    assert verdict(item, runs([70, 71, 72])) == "reproduced"
    assert verdict(item, runs([70.5, 71.5, 72.5])) == "partly"


def test_nothing_is_reproduced_while_a_claim_is_open():
    item = Item(**{**vars(ITEM), "claims": ("a.b > a.c", "a.d > a.c")})  # no run has a.d
    assert verdict(item, runs([70, 71, 72])) == "partly"


def test_what_something_else_stands_in_for_has_not_run():
    item = Item(**{**vars(ITEM), "claims": ("a.b > a.c", "a.c > a.b"), "stand_in": "on digits"})
    for preset in ("desk", "paper"):
        found = verdict(item, runs([70, 71, 72], preset=preset))
        assert found == "not run here; on digits 1 of 2 claims hold"
    assert verdict(item, runs([70, 71])) == "not decided by 2 runs"


def test_beside_lists_each_claim_with_its_outcome(monkeypatch):
    item = Item(**{**vars(ITEM), "claims": ("a.b > a.c", "a.b < a.c", "a.d > a.b")})
    monkeypatch.setattr(tables, "items", lambda: {"x": item})
    monkeypatch.setattr(tables.records, "load", lambda: runs([70, 71, 72], preset="desk"))
    html = tables.beside("x").to_html()
    assert "Verdict: not reproduced. Its claims: “a, b” above “a, c”: holds; " in html
    assert "“a, b” below “a, c”: does not hold; “a, d” above “a, b”: not run here. " in html
    wide = runs([40, 71, 99], preset="desk")  # the interval holds zero, either way
    monkeypatch.setattr(tables.records, "load", lambda: wide)
    assert (
        "“a, b” above “a, c”: not shown; “a, b” below “a, c”: not shown;"
        in tables.beside("x").to_html()
    )
    monkeypatch.setattr(tables.records, "load", lambda: wide[:2])
    assert "Its claims" not in tables.beside("x").to_html()


def test_evidence_is_what_the_verdict_is_from():
    few, enough = runs([40, 41], preset="paper"), runs([70, 71, 72], preset="desk")
    assert tables._evidence(ITEM, few + enough) == "desk, 3 runs: 1 of 1 claims hold"
    assert tables._evidence(ITEM, few) == "paper, 2 runs: too few to decide"
    assert tables._evidence(ITEM, []) == "–"


def test_other_experiments_fill_cells_and_decide_nothing():
    item = Item(**{**vars(ITEM), "values": {"a.b": 70.0, "d.e": 60.0}, "also": ("more", "most")})
    own = [record(s, "desk", a_b=70.0, a_c=50.0) for s in range(3)]
    more = [record(s, a_b=1.0, d_e=61.0) | {"experiment": "more"} for s in range(3)]
    most = [record(9, d_e=99.0) | {"experiment": "most"}]
    shown = tables.shown_of(item, "paper", more + most)
    assert [run.get("d.e") for run in shown] == [61.0, 61.0, 61.0, None]
    assert [run.get("a.b") for run in shown] == [1.0, 1.0, 1.0, None]
    filled = tables.shown_of(item, "desk", own + [r | {"preset": "desk"} for r in more])
    assert [run.get("a.b") for run in filled] == [70.0] * 3 + [None] * 3
    assert [run.get("d.e") for run in filled] == [None] * 3 + [61.0] * 3
    for loaded in (own, own + more + most):
        assert verdict(item, loaded) == "partly"  # by the runs at desk
    assert verdict(item, more + most) == "not run here"


def test_exact_items_need_one_run_and_their_claim():
    exact = Item(**{**vars(ITEM), "kind": "theorem", "values": {}})
    assert verdict(exact, runs([70], preset="quick")) == "reproduced"
    assert verdict(exact, runs([40], preset="quick")) == "not reproduced"
    assert verdict(exact, [record(0, "quick", other=1.0)]) == "not run here"


def test_claims_read_both_signs_and_miss_missing_metrics():
    run = {"a": 2.0, "b": 1.0}
    assert claim_holds("a > b", [run])
    assert claim_holds("b < a", [run])
    assert not claim_holds("a < b", [run])
    assert claim_holds("a > c", [run]) is None
    assert claim_holds("a > 1.5", [run])  # a number, which an item's claim may have, too
    assert claim_holds("0.5 > a", [run]) is False
    with pytest.raises(ValueError, match=r"claim is 'a = b'; allowed: 'a > b'"):
        claim_holds("a = b", [run])


def test_a_margin_is_asked_of_the_difference():
    runs = [{"a": a, "b": 1.0} for a in (2.0, 2.1, 1.9)]  # the interval is ± 0.25
    for claim, found in (
        ("a > b + 0.7", "holds"),
        ("a > b + 0.9", "not shown"),
        ("a > b + 1.3", "does not hold"),
        ("a < b + 1.3", "holds"),
        ("a < b + 0.7", "does not hold"),
        ("a >= b + 0.9", "holds"),
        ("a >= b + 1", "does not hold"),
        ("a > c + 1", "not run here"),
    ):
        assert tables.outcome(claim, runs) == found, claim
        held = tables.claim_holds(claim, runs)
        assert held == (None if "c" in claim else found == "holds"), claim
    assert tables.sides("a < b + 1.3") == ("b", "a")
    for wrong in ("a > b - 1", "a > b + c", "a > b +1"):
        with pytest.raises(ValueError, match="claim is"):
            tables.sides(wrong)


def test_equal_means_do_not_hold():
    assert not claim_holds("a > b", [{"a": 1.0, "b": 1.0}])


def test_of_two_runs_the_interval_must_exclude_zero():
    assert not claim_holds("a > b", [{"a": 2.0, "b": 0.0}, {"a": 1.0, "b": 0.0}])
    assert claim_holds("a > b", [{"a": 2.0, "b": 0.0}, {"a": 1.9, "b": 0.0}])


def test_a_bound_may_be_reached_and_must_hold_in_every_run():
    kept, broken = {"a": 8.0, "b": 8.0}, {"a": 9.0, "b": 8.0}
    assert claim_holds("a <= b", [kept, kept])
    assert claim_holds("b >= a", [kept])
    assert not claim_holds("a <= b", [kept] * 99 + [broken])


def test_beside_names_what_has_not_run_and_what_is_unknown(monkeypatch):
    monkeypatch.setattr(tables.records, "load", list)  # whatever has been kept by now
    html = tables.beside("mem-table-words").to_html()
    assert "Verdict: not run here" in html
    assert "Not run here: desk (make desk CHAPTER=unlearnable_sweeps EXPERIMENT=overview)" in html
    assert "71.9 ± 2 (sd)" in tables.beside("comm-fig4").to_html()
    html = tables.beside("mem-table-main").to_html()
    assert "not available to us" in html
    assert "rerun by others" in html
    with pytest.raises(ValueError, match="item is 'comm-fig9'; allowed: labeldp-algorithm1"):
        tables.beside("comm-fig9")


def test_beside_misses_no_smaller_runs_of_what_has_larger_ones(monkeypatch):
    start = tables.items()["comm-fig5-start"]  # a row of the paper's size, and of no other
    one = record(0, "paper", **dict.fromkeys(start.metrics, 60.0))
    one |= {"chapter": start.chapter, "experiment": start.experiment}
    monkeypatch.setattr(tables.records, "load", lambda: [one])
    html = tables.beside(start.id).to_html()
    assert "ours, paper" in html
    assert "Not run here" not in html


def test_beside_counts_the_open_run_for_exact_items(tmp_path):
    run = tables.records.start("label_dp", {"preset": "quick", "folder": str(tmp_path / "r")})
    run.metric("theorem.max_error", 1e-15, "nats")
    run.metric("theorem.tolerance", 1e-9, "nats")
    assert "Verdict: reproduced" in tables.beside("labeldp-theorem", run).to_html()


def test_scorecard_has_every_item_once():
    text = tables.scorecard([])
    for item in tables.items().values():
        assert text.count(f"| {item.title} |") == 1
    assert "reproduced**" not in text


def test_directions_are_told_in_words():
    assert tables.words("median_rank.i2t.clean") == "median rank, image to text, clean"
    assert tables.words("recall_10.t2i.mem") == "recall 10, text to image, MEM"


def test_methods_are_called_the_same_everywhere():
    for method, title in image_pairs.TITLES.items():
        assert tables.words(method) == title
