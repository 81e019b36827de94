"""Progress: a bar in a terminal, at most ten lines elsewhere."""

import sys

import pytest

from mmlib import _progress


@pytest.mark.parametrize(("seconds", "most"), [(0.05, 1), (3.6, 10), (0.001, 0)])
def test_outside_a_terminal_a_long_run_prints_ten_lines(seconds, most, capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(_progress.time, "perf_counter", lambda: now[0])
    with _progress.Meter("fit", 0, 200, shown=True) as meter:
        for done in range(1, 201):
            now[0] += seconds
            meter.update(done, 0.25)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == most
    assert err == ""
    if most == 10:
        assert lines[4] == "fit: 100/200 steps, loss 0.25, 0.278 steps/s, 06:00 left"


def test_in_a_terminal_a_bar_with_rate_and_time_left(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with _progress.Meter("fit", 20, 40, shown=True) as meter:
        for done in range(21, 41):
            meter.update(done, 0.25)
    with _progress.Meter("hidden", 0, 1, shown=False) as meter:
        meter.update(1, None)
    out, err = capsys.readouterr()
    assert out == ""
    last = err.split("\r")[-1]
    assert "fit: 100%" in last
    assert "40/40" in last
    assert "step/s, loss 0.25" in last
    assert "hidden" not in err
