"""The verdict follows its written rule."""

from dataclasses import replace

import pytest

from mmlib.presets import grid
from mmlib.verdicts import tables
from mmlib.verdicts.items import Item, of_claims, verdict

from .made import ITEM, record, runs


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
    for kind in ("figure", "table"):
        assert verdict(replace(ITEM, kind=kind), loaded) == expected


def test_after_a_second_look_a_claim_needs_a_wider_interval(monkeypatch):
    loaded = runs([51.6, 52.0, 51.0])  # 1.5 above, ± 1.37 at 95 % and ± 1.97 at 97.5 %
    assert verdict(ITEM, loaded) == "partly"
    row = {("comm", "overview", "paper"): {"looks": 2}}
    monkeypatch.setattr(grid, "rows", lambda: row)
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


def test_nothing_is_reproduced_while_a_run_lacks_one_of_the_papers_numbers():
    item = replace(ITEM, values={"a.b": [70.0, 2.0], "d.e": 60.0})
    loaded = [record(s, a_b=v, a_c=50.0, d_e=60.0) for s, v in enumerate([70, 71, 72])]
    assert verdict(item, loaded) == "reproduced"
    del loaded[1]["metrics"]["d.e"]
    assert verdict(item, loaded) == "partly"


def test_what_something_else_stands_in_for_has_not_run():
    item = Item(**{**vars(ITEM), "claims": ("a.b > a.c", "a.c > a.b"), "stand_in": "on digits"})
    for preset in ("desk", "paper"):
        found = verdict(item, runs([70, 71, 72], preset=preset))
        assert found == "not run here; on digits 1 of 2 claims hold"
    assert verdict(item, runs([70, 71])) == "not decided by 2 runs"


def test_a_concept_is_drawn_by_its_own_chapter_alone():
    concept = Item(**{**vars(ITEM), "kind": "concept", "figure": "sketch"})
    loaded = [record(0) | {"files": {"sketch.png": ""}}]
    assert verdict(concept, loaded) == "drawn"
    assert verdict(concept, [loaded[0] | {"chapter": "label_dp"}]) == "not run here"


def test_exact_items_need_one_run_and_their_claim():
    exact = Item(**{**vars(ITEM), "kind": "theorem", "values": {}})
    assert verdict(exact, runs([70], preset="quick")) == "reproduced"
    assert verdict(exact, runs([40], preset="quick")) == "not reproduced"
    assert verdict(exact, [record(0, "quick", other=1.0)]) == "not run here"


def test_a_claim_that_no_run_can_tell_does_not_count_as_one_that_holds():
    assert of_claims([True, None, False, True]) == "2 of 4 claims hold"
