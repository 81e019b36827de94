"""The first page's figure shows what is recorded."""

import json
import statistics
import sys

import pytest
from matplotlib import colors as mcolors
from scipy import stats

from mmlib import plots, records
from mmlib.records import RESULTS, ROOT

METRICS = {  # what each bar is to be of, said once more
    "Cross": "synergy.cross",
    "Cross+Self": "synergy.cross_self",
    "FactorCL": "synergy.factorcl",
    "CoMM": "synergy.comm",
    "Cross+Self, CoMM's network": "synergy.cross_self_fused",
    "Cross, its vectors multiplied": "synergy_products.cross",
    "true labels": "cars.clean",
    "as released, noise known": "cars.two_logs.known",
    "as released, an oracle": "cars.two_logs.ceiling",
    "rows too, an oracle": "cars.two_logs.rows",
    "noise alone": "left.em_mem_budget",
    "MEM-3": "left.mem_3",
    "random words and noise": "left.random_tokens_noise",
    "MEM-3, best defence": "left_worst.mem_3",
    "this book's, best defence": "left_worst.chosen",
}
THE_PAPERS = {"Cross", "Cross+Self", "FactorCL", "CoMM", "noise alone", "MEM-3"}


@pytest.fixture(scope="module")
def glance():
    sys.path.insert(0, str(ROOT / "workflow"))
    import glance

    return glance


def test_every_bar_is_the_mean_of_its_records(glance):
    figure, alt = glance.figure(records.load(RESULTS))
    assert len(figure.axes) == len(glance.PANELS)
    for panel, ax in zip(glance.PANELS, figure.axes, strict=True):
        titles = [label.get_text() for label in ax.get_yticklabels()]
        assert titles == [title for title, *_ in panel.bars]
        ends = [line.get_segments()[0][:, 0] for line in ax.collections]  # of error bars
        assert ax.get_xlabel() == panel.axis
        drawn = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"]
        assert drawn == list(panel.lines.values())
        assert all(f"{name} at {value:g}" in alt for name, value in panel.lines.items())
        bars = zip(ax.patches, ends, panel.bars, strict=True)
        for bar, end, (title, place, metric, whose) in bars:
            paths = RESULTS.glob(f"{place}/desk/*/record.json")
            found = [json.loads(path.read_text())["metrics"] for path in paths]
            values = [m[metric]["value"] for m in found if metric in m]
            mean = statistics.mean(values)
            assert bar.get_width() == pytest.approx(mean)
            half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
            if len(set(values)) > 1:
                assert end.tolist() == pytest.approx([mean - half, mean + half])
            assert panel.limits[0] <= mean <= panel.limits[1]
            assert f"{title} {mean:.3g} ± {half:.2g}" in alt
            color = plots.COLORS[glance.LOOKS[whose][0]]
            assert mcolors.to_hex(bar.get_facecolor()).upper() == color
    for _, place, _, _ in (bar for panel in glance.PANELS for bar in panel.bars):
        assert f"`{place}`" in glance.page(alt, "a.png")


def test_every_bar_is_of_the_metric_that_its_title_names_and_the_papers_own_are_marked(glance):
    bars = [bar for panel in glance.PANELS for bar in panel.bars]
    assert {title: metric for title, _, metric, _ in bars} == METRICS
    assert {title for title, *_, whose in bars if whose == glance.METHOD} == THE_PAPERS


def test_what_is_not_recorded_has_no_bar(glance):
    figure, alt = glance.figure([])
    assert not [bar for ax in figure.axes for bar in ax.patches]
    assert "±" not in alt


def test_the_readme_shows_what_is_recorded(glance):
    """If not: ``python workflow/glance.py`` draws it anew."""
    _, alt = glance.figure(records.load(RESULTS))
    assert glance.in_readme(alt) in glance.README.read_text()
    assert (ROOT / glance.PICTURE).is_file()


def test_another_figure_of_the_readme_stays(glance, tmp_path, monkeypatch):
    readme = tmp_path / "README.md"
    readme.write_text("![Flow](book/dataflow.svg)\n\n![old 1 ± 2](results/glance.png)\n\nEnd.\n")
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(glance, "README", readme)
    monkeypatch.setattr(glance.records, "ROOT", tmp_path)
    glance.main()
    _, alt = glance.figure(records.load(RESULTS))
    assert readme.read_text() == (
        f"![Flow](book/dataflow.svg)\n\n![{alt}](results/glance.png)\n\nEnd.\n"
    )
    assert (tmp_path / "results" / "glance.png").stat().st_size > 10_000
