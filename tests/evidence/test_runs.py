"""One record a seed counts, its curves are read back, and a second look has its price."""

from pathlib import Path

import pytest

from mmlib import evidence
from mmlib.presets import grid


def record(seed, preset="paper", path="build/runs/r", kept=False, **metrics):
    named = {name.replace("_", "."): {"value": value} for name, value in metrics.items()}
    return {
        "chapter": "comm", "experiment": "overview", "preset": preset, "seed": seed,
        "metrics": named, "path": Path(path), "kept": kept, "files": {},
    }  # fmt: skip


def test_a_kept_record_counts_before_a_run_of_the_same_seed():
    kept = record(0, a_b=1.0, kept=True)
    fresh = record(0, a_b=2.0)
    for order in ([kept, fresh], [fresh, kept]):
        assert evidence.recorded("comm", "overview", "paper", order) == [{"a.b": 1.0}]


def test_two_experiments_of_the_same_metrics_are_kept_apart():
    two = [record(s, a_b=10.0 + s) | {"experiment": "masks"} for s in range(2)]
    three = [record(s, a_b=1.0 + s) for s in range(3)]
    other = [record(0, "desk", a_b=9.0) | {"experiment": "small"}]
    found = evidence.by_experiment("comm", "paper", three + two + other)
    assert found == {
        "overview": [{"a.b": 1.0}, {"a.b": 2.0}, {"a.b": 3.0}],
        "masks": [{"a.b": 10.0}, {"a.b": 11.0}],
    }


def test_runs_of_other_settings_are_not_pooled_and_a_warning_names_them(tmp_path):
    def of(seed, kept=False, **parameters):
        made = with_curves(tmp_path / f"{seed}{kept}", seed, [f"R,1,{seed},x,"], kept=kept)
        return made | {
            "parameters": {"seed": seed, **parameters},
            "metrics": {"a": {"value": seed}},
        }

    asked = "comm", "overview", "desk"
    alike = [of(0, steps=60, rows=["x"]), of(1, steps=60, rows=["x", "y"]), of(2, depth=2)]
    shorter = of(3, steps=10, depth=2)
    assert [run["a"] for run in evidence.recorded(*asked, alike)] == [0, 1, 2]
    told = "seed 3 of comm/overview/desk does not count: steps 10, not 60"
    with pytest.warns(UserWarning, match=told):
        assert [run["a"] for run in evidence.recorded(*asked, [shorter, *alike])] == [0, 1, 2]
    with pytest.warns(UserWarning, match=told):
        assert evidence.deciding(*asked[:2], [shorter, *alike], exact=True).runs[-1] == {"a": 2}
    with pytest.warns(UserWarning, match=told):
        assert evidence.curves(["R"], *asked, [*alike, shorter])["seed"].tolist() == [0, 1, 2]
    kept = of(5, kept=True, steps=10)  # what the book shows is what others are measured by
    with pytest.warns(UserWarning, match="seed [01] of .* steps 60, not 10"):
        assert [run["a"] for run in evidence.recorded(*asked, [*alike, shorter, kept])] == [2, 3, 5]
    assert len(evidence.one_a_seed(*asked, [*alike, shorter])) == 4  # all that are there


def with_curves(folder, seed, rows, **others):
    folder.mkdir(parents=True)
    if rows:
        (folder / "metrics.csv").write_text("\n".join(["curve,step,value,method,draw", *rows]))
    return record(seed, "desk", path=folder, a_b=1.0) | others


def test_curves_of_all_seeds_and_a_kept_seed_once(tmp_path):
    asked = ["R"], "comm", "overview", "desk"
    loaded = [
        with_curves(tmp_path / f"runs/{s}", s, [f"R,1,{s + 0.5},None,", f"S,1,9,x,{s}"])
        for s in (2, 1, 0)
    ]
    loaded += [
        with_curves(tmp_path / "results/1", 1, ["R,1,7.0,None,", "R,2,,None,"], kept=True),
        with_curves(tmp_path / "runs/else", 5, ["R,1,1.0,None,"], experiment="other"),
        with_curves(tmp_path / "runs/paper", 6, ["R,1,1.0,None,"], preset="paper"),
        with_curves(tmp_path / "runs/bare", 7, []),  # a run without curves
    ]
    found = evidence.curves(*asked, loaded)
    assert found[["seed", "step"]].to_numpy().tolist() == [[0, 1], [1, 1], [1, 2], [2, 1]]
    assert found["value"].dropna().tolist() == [0.5, 7.0, 2.5]
    assert set(found["method"]) == {"None"}  # as the run called it
    assert list(found) == ["curve", "step", "value", "method", "seed"]  # no draw has an R
    both = evidence.curves(["R", "S"], *asked[1:], loaded)
    assert both.loc[both["curve"] == "S", "draw"].tolist() == [0, 2]  # the kept seed 1 has no S


def test_a_curve_that_no_record_has_is_named_with_those_there_are(tmp_path):
    loaded = [with_curves(tmp_path / str(s), s, ["R,1,1.0,x,", "S,1,1.0,x,"]) for s in range(3)]
    wrong = "curve is 'r'; the 3 records of comm/overview/desk have: R, S"
    with pytest.raises(ValueError, match=wrong):
        evidence.curves(["R", "r"], "comm", "overview", "desk", loaded)
    some = evidence.curves(["R", "r"], "comm", "overview", "desk", loaded, required=False)
    assert some["curve"].tolist() == ["R"] * 3
    none = evidence.curves(["r"], "comm", "overview", "desk", loaded, required=False)
    assert none.empty
    nothing = evidence.curves(["R"], "comm", "overview", "paper", loaded)
    assert nothing.empty
    assert {"curve", "step", "value", "seed"} <= set(nothing)


def test_a_row_of_the_grid_that_was_looked_at_again_has_a_wider_interval(tmp_path, monkeypatch):
    path = tmp_path / "grid.yml"
    rows = [
        "{chapter: comm, experiment: overview, preset: desk, seeds: [0], looks: 2}",
        "{chapter: comm, experiment: overview, preset: paper, seeds: [0]}",
    ]
    path.write_text("".join(f"- {row}\n" for row in rows))
    monkeypatch.setattr(grid, "GRID", path)
    monkeypatch.setattr(grid, "rows", grid.rows.__wrapped__)
    levels = [evidence.level("comm", "overview", preset) for preset in ("desk", "paper", "other")]
    assert levels == pytest.approx([0.975, 0.95, 0.95])
    loaded = [record(seed, preset="desk", a=1.0) for seed in range(3)]
    decide = evidence.deciding("comm", "overview", loaded, exact=False)
    assert decide == ("desk", [{"a": 1.0}] * 3, True, levels[0])
    assert evidence.deciding("comm", "overview", [], exact=False) == ("", [], False, 0.95)
