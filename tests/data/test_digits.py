"""The digits' table is what a ruler would say, and nothing in it or in the split is a label."""

import inspect

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.datasets import load_digits

from mmlib.data import digits
from mmlib.data.digits import CATEGORICAL, COLUMNS, CONTINUOUS, holes, measure


@pytest.fixture(scope="module")
def data():
    return digits.load(32)


@pytest.fixture(scope="module")
def grey():
    return torch.tensor(load_digits().images, dtype=torch.float32) / 16


def column(table, name):
    return table[:, COLUMNS.index(name)]


def test_split_is_the_rule_and_covers_every_image_once(data):
    target = torch.tensor(load_digits().target)
    parts = (data.train, data.validation, data.test)
    assert [len(p) for p in parts] == [720, 180, 897]
    for part, tens in zip(parts, ({0, 1, 2, 3}, {4}, {5, 6, 7, 8, 9}), strict=True):
        rows = [i for i in range(1797) if i % 100 // 10 in tens]
        assert torch.equal(part.labels, target[rows])
        assert part.labels.bincount(minlength=10).min() >= 0.07 * len(part)


def test_images_keep_their_grey_levels(data, grey):
    small = digits.load(8).train
    rows = [i for i in range(1797) if i % 100 // 10 < 4]
    assert small.images.dtype == torch.uint8
    assert torch.equal(small.images[:, 0], (grey[rows] * 255).round().to(torch.uint8))
    assert torch.equal(small.images[:, 0], small.images[:, 2])
    # Four-fold bilinear upsampling keeps means up to the border; the table ignores the size.
    means = [part.images.float().mean().item() for part in (data.train, small)]
    assert means[0] == pytest.approx(means[1], rel=0.02)
    torch.testing.assert_close(small.table, data.train.table, rtol=0, atol=0)


def test_standardised_by_training_rows_only(data, grey):
    n = data.schema.n_continuous
    assert torch.allclose(data.train.table[:, :n].mean(0), torch.zeros(n), atol=1e-5)
    assert torch.allclose(data.train.table[:, :n].std(0), torch.ones(n), atol=1e-5)
    assert (data.test.table[:, :n].mean(0).abs() > 1e-3).all()  # not standardised by its own
    raw = measure(grey[50:100])  # the first fifty test images
    undone = data.test.table[:50, :n] * data.sd + data.mean
    torch.testing.assert_close(undone, raw[:, :n], rtol=1e-4, atol=1e-5)
    assert torch.equal(data.test.table[:50, n:], raw[:, n:])


def test_schema_takes_every_row_and_every_code_occurs(data):
    table = torch.cat([data.train.table, data.validation.table, data.test.table])
    assert table.shape == (1797, 17)
    assert table.isfinite().all()
    assert data.schema.one_hot(table).shape == (1797, data.schema.n_features)
    for name, codes in CATEGORICAL.items():
        counts = column(table, name).long().bincount(minlength=len(codes))
        assert len(counts) == len(codes)
        assert (counts > 0).all()


def test_each_image_is_measured_alone(grey):
    together = measure(grey[:50])
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(measure(grey[:50][order]), together[order])
    torch.testing.assert_close(measure(grey[7:8]), together[7:8])
    assert list(inspect.signature(measure).parameters) == ["images"]  # no label, no index


def test_shares_of_holes_are_those_of_the_digits(data):
    """Zeros, sixes, eights and nines have holes, ones, fives and sevens none."""
    labels = torch.cat([data.train.labels, data.test.labels])
    found = column(torch.cat([data.train.table, data.test.table]), "holes")
    mean = torch.stack([found[labels == digit].mean() for digit in range(10)])
    assert mean[[1, 2, 3, 5, 7]].max() < 0.1 < 0.6 < mean[[0, 6, 9]].min() < 1.1 < mean[8]


def test_against_plain_measurements(grey):
    """The same columns from loops and scipy, image by image."""
    some = grey[::60]
    table = measure(some)
    for image, row in zip(some, table, strict=True):
        zoomed = torch.nn.functional.interpolate(image[None, None], (32, 32), mode="bilinear")
        p = zoomed[0, 0].double().numpy()
        m = p > 0.4
        y, x = (np.mgrid[:32, :32] + 0.5) / 32
        weights = p.ravel() / p.sum()
        cov = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=weights, ddof=0)
        runs = [sum(ndimage.label(line)[1:]) for line in m]
        column_runs = [sum(ndimage.label(line)[1:]) for line in m.T]
        enclosed = ndimage.label(np.pad(~m, 1, constant_values=True))[1] - 1
        padded = np.pad(m, 1).astype(int)
        outline = (np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded)).sum()) / 32
        quarters = [q.sum() for h in np.split(p, 2) for q in np.split(h, 2, axis=1)]
        expected = {
            "width": m.any(0).sum() / 32,
            "height": m.any(1).sum() / 32,
            "ink": p.mean(),
            "centroid_x": (weights * x.ravel()).sum(),
            "centroid_y": (weights * y.ravel()).sum(),
            "spread_x": np.sqrt(cov[0, 0]),
            "spread_y": np.sqrt(cov[1, 1]),
            "slant": -cov[0, 1] / cov[1, 1],
            "row_strokes": sum(runs) / m.any(1).sum(),
            "column_strokes": sum(column_runs) / m.any(0).sum(),
            "outline": outline,
            "stroke_width": 2 * m.mean() / outline,
            "symmetry": np.corrcoef(p.ravel(), p[:, ::-1].ravel())[0, 1],
            "holes": min(enclosed, 2),
            "most_row_strokes": min(max(runs), 2) - 1,
            "most_column_strokes": min(max(column_runs), 3) - 1,
            "darkest_quarter": np.argmax(quarters),
        }
        assert list(expected) == list(COLUMNS)
        np.testing.assert_allclose(row.numpy(), list(expected.values()), rtol=1e-4, atol=1e-5)


def test_moving_turning_and_mirroring_do_what_they_must():
    blot = torch.zeros(1, 8, 8)
    blot[:, 2:6, 2:4] = 1.0
    blot[:, 2, 4] = 1.0
    row = dict(zip(COLUMNS, measure(blot)[0].tolist(), strict=True))
    moved = dict(zip(COLUMNS, measure(blot.roll(1, dims=2))[0].tolist(), strict=True))
    mirrored = dict(zip(COLUMNS, measure(blot.flip(2))[0].tolist(), strict=True))
    assert moved["centroid_x"] - row["centroid_x"] == pytest.approx(1 / 8, abs=1e-5)
    unmoved = set(CONTINUOUS) - {"centroid_x", "symmetry"}
    assert all(moved[name] == pytest.approx(row[name], abs=1e-5) for name in unmoved)
    assert mirrored["slant"] == pytest.approx(-row["slant"], abs=1e-5)
    assert row["slant"] > 0.05  # leans to the right at the top
    assert mirrored["symmetry"] == pytest.approx(row["symmetry"], abs=1e-5)
    turned = dict(zip(COLUMNS, measure(blot.mT)[0].tolist(), strict=True))
    assert turned["width"] == row["height"]
    assert turned["row_strokes"] == pytest.approx(row["column_strokes"])


def test_holes_are_the_parts_of_the_ink_less_its_euler_number():
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(200, 12, 12, generator=generator) < 0.6
    for mask, count in zip(masks, holes(masks), strict=True):
        parts = ndimage.label(mask, np.ones((3, 3)))[1]  # ink connects over corners
        ink = np.pad(mask.numpy().astype(int), 1)
        a, b, c, d = ink[:-1, :-1], ink[:-1, 1:], ink[1:, :-1], ink[1:, 1:]
        inked = a + b + c + d  # of four neighbours
        diagonals = (inked == 2) & (a == d)
        corners = (inked == 1).sum() - (inked == 3).sum()
        assert parts - (corners - 2 * diagonals.sum()) // 4 == count


def test_bad_input_names_what_is_wrong():
    with pytest.raises(ValueError, match=r"images has shape \(2, 1, 8, 8\); expected \(N, H, W\)"):
        measure(torch.zeros(2, 1, 8, 8))
    with pytest.raises(ValueError, match="image 1 has no ink"):
        measure(torch.stack([torch.ones(8, 8), torch.zeros(8, 8)]))
    with pytest.raises(ValueError, match="size is 4; allowed"):
        digits.load(4)
