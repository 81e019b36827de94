"""A table shows an item's runs beside the paper's numbers, and what has not run."""

from collections import Counter
from dataclasses import replace

import pytest

from mmlib import records
from mmlib.records import RESULTS
from mmlib.verdicts import tables
from mmlib.verdicts.items import Item, items, verdict
from mmlib.verdicts.words import words

from .made import ITEM, record, runs


def test_beside_lists_each_claim_with_its_outcome(monkeypatch):
    item = Item(**{**vars(ITEM), "claims": ("a.b > a.c", "a.b < a.c", "a.d > a.b")})
    monkeypatch.setattr(tables, "items", lambda: {"x": item})
    monkeypatch.setattr(tables.records, "load", lambda: runs([70, 71, 72], preset="desk"))
    html = tables.beside("x").to_html()
    assert "Verdict: not reproduced; 1 of 3 claims hold. " in html
    assert "</summary>Its claims: “a, b” above “a, c”: holds; " in html
    assert "“a, b” below “a, c”: does not hold; “a, d” above “a, b”: not run here." in html
    wide = runs([40, 71, 99], preset="desk")  # the interval holds zero, either way
    monkeypatch.setattr(tables.records, "load", lambda: wide)
    assert (
        "“a, b” above “a, c”: not shown; “a, b” below “a, c”: not shown;"
        in tables.beside("x").to_html()
    )
    monkeypatch.setattr(tables.records, "load", lambda: wide[:2])
    assert "Its claims" not in tables.beside("x").to_html()
    exact = replace(ITEM, kind="theorem", values={})  # what does not hold has failed
    monkeypatch.setattr(tables, "items", lambda: {"x": exact})
    monkeypatch.setattr(tables.records, "load", lambda: runs([50], preset="quick"))
    assert "“a, b” above “a, c”: does not hold." in tables.beside("x").to_html()


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


def test_beside_names_what_has_not_run_and_what_is_unknown(monkeypatch):
    monkeypatch.setattr(tables.records, "load", list)  # whatever has been kept by now
    html = tables.beside("mem-table-words").to_html()
    assert "Verdict: not run here" in html
    assert "Not run here: desk (make desk CHAPTER=unlearnable_sweeps EXPERIMENT=overview)" in html
    assert "71.9 ± 2 (sd)" in tables.beside("comm-fig4").to_html()
    shown = tables.beside("mem-table-main")
    assert "not available to us" in shown.to_html()
    for metric, values in items()["mem-table-main"].reference.items():  # all runs, not the first
        told = shown.data.at[words(metric), "rerun by others"]
        assert [float(value) for value in told.split("; ")] == pytest.approx(values, abs=0.005)
    with pytest.raises(ValueError, match="item is 'comm-fig9'; allowed: labeldp-algorithm1"):
        tables.beside("comm-fig9")


def test_what_has_committed_records_is_shown_and_decided_by_them(monkeypatch):
    loaded = records.load(RESULTS)
    monkeypatch.setattr(tables.records, "load", lambda: loaded)
    rows = 0
    for item in items().values():
        shown = tables.beside(item.id).data.rename(columns=lambda name: name.partition(" (")[0])
        seeds = Counter()
        for run in loaded:
            if run["chapter"] == item.chapter and run["experiment"] in (
                item.experiment, *item.also
            ):  # fmt: skip
                column = shown[f"ours, {run['preset']}"]
                for metric in set(item.metrics) & set(run["metrics"]):
                    assert column[words(metric)] != "not run here", (item.id, metric)
                    rows += 1
                seeds[run["preset"]] += run["experiment"] == item.experiment
        if max(seeds.values(), default=0) >= 3 and item.claims and not item.stand_in:
            assert verdict(item, loaded) in ("reproduced", "partly", "not reproduced"), item.id
    assert rows > 500


def test_beside_misses_no_smaller_runs_of_what_has_larger_ones(monkeypatch):
    start = items()["comm-fig5-start"]  # a row of the paper's size, and of no other
    one = record(0, "paper", **dict.fromkeys(start.metrics, 60.0))
    one |= {"chapter": start.chapter, "experiment": start.experiment}
    monkeypatch.setattr(tables.records, "load", lambda: [one])
    html = tables.beside(start.id).to_html()
    assert "ours, paper" in html
    assert "Not run here" not in html


def test_beside_counts_the_open_run_for_exact_items(tmp_path, monkeypatch):
    run = tables.records.start("label_dp", {"preset": "quick", "folder": str(tmp_path / "r")})
    run.metric("theorem.max_error", 1e-15, "nats")
    run.metric("theorem.tolerance", 1e-9, "nats")
    assert "Verdict: reproduced" in tables.beside("labeldp-theorem", run).to_html()
    recorded = {**run.so_far(), "parameters": run.so_far()["parameters"] | {"epsilon": 0.5}}
    monkeypatch.setattr(tables.records, "load", lambda: [recorded | {"seed": 7}])
    with pytest.warns(UserWarning, match="seed 7 of .* does not count: epsilon 0.5, not 5.0"):
        tables.beside("labeldp-theorem", run)


def test_beside_counts_runs_once_and_in_a_cell_only_where_they_are_others(monkeypatch):
    item = Item(**{**vars(ITEM), "values": {"a.b": 70.0, "d.e": 60.0}, "also": ("more",)})
    loaded = runs([70, 71, 72], preset="desk")
    loaded += [record(9, "desk", d_e=61.0) | {"experiment": "more"}]
    monkeypatch.setattr(tables, "items", lambda: {"x": item})
    monkeypatch.setattr(tables.records, "load", lambda: loaded)
    shown = tables.beside("x").data["ours, desk (3 runs)"]
    assert shown.to_dict() == {
        "a, b": "71.00 ± 2.48",
        "a, c": "50.10 ± 0.25",
        "d, e": "61.00 (1 run)",
    }
    rest = record(0, "desk", f_g=1.0)  # has none of the item's metrics
    monkeypatch.setattr(tables.records, "load", lambda: [rest])
    assert tables.beside("x").data["ours, desk"].tolist() == ["not run here"] * 3


def test_scorecard_has_every_item_once():
    text = tables.scorecard([])
    for item in items().values():
        assert text.count(f"| {item.title} |") == 1
    assert "reproduced**" not in text


def test_beside_has_each_metric_in_its_row_and_says_margin_unit_and_source(tmp_path, monkeypatch):
    item = Item(
        **vars(ITEM) | {"claims": ("a.b > a.c + 0.5",), "unit": "points", "source": "a poster"}
    )
    monkeypatch.setattr(tables, "items", lambda: {"x": item})
    monkeypatch.setattr(tables.records, "load", lambda: runs([70, 71, 72], preset="desk"))
    run = tables.records.start("comm", {"preset": "quick", "folder": str(tmp_path / "r")})
    for name, value in (("a.b", 61.0), ("a.c", 52.0)):
        run.metric(name, value, "in points")
    shown = tables.beside("x", run)
    live = shown.data["this run (quick, seed 0)"]
    assert live.to_dict() == {"a, b": "61.00", "a, c": "52.00"}
    seen, _, folded = shown.caption.partition("<details>")
    assert "Unit: points. " in seen
    assert "“a, b” above “a, c” and 0.5: holds. This run: " in folded
    assert "The paper's numbers: a poster." in folded
