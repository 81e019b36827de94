"""Handwritten digits with a table of measurements: a real image-table pair without a download.

The images are scikit-learn's copy of the UCI digits (1,797 images, 8 x 8 pixels, 17 grey levels,
K = 10 classes). A row of the table holds 13 lengths, moments and stroke statistics and 4 codes, as
many columns as DVM-Car's table has. Each is measured on its own image alone and never looks at the
label; that the table tells the digit nevertheless is what the label-DP chapter is about.

The split is a rule, not a draw, and does not look at labels either: of every hundred consecutive
images the first 40 are for training, the next 10 for validation and the last 50 for the test. A
writer's digits lie on all sides of it, so it says nothing about new writers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.data.image_table import ImageTable, split

CONTINUOUS = {  # lengths in units of the image's side
    "width": "extent of the inked columns",
    "height": "extent of the inked rows",
    "ink": "mean grey level, 0 white to 1 black",
    "centroid_x": "mean column of the ink",
    "centroid_y": "mean row of the ink, downward",
    "spread_x": "standard deviation of the ink over columns",
    "spread_y": "standard deviation of the ink over rows",
    "slant": "columns to the right per row upward, the regression slope of the ink",
    "row_strokes": "mean number of strokes that an inked row crosses",
    "column_strokes": "mean number of strokes that an inked column crosses",
    "outline": "length of the ink's outline",
    "stroke_width": "twice the inked area over the outline",
    "symmetry": "correlation of the image with its left-right mirror image",
}
CATEGORICAL = {
    "holes": ("none", "one", "two or more"),
    "most_row_strokes": ("one", "two or more"),
    "most_column_strokes": ("one", "two", "three or more"),
    "darkest_quarter": ("upper left", "upper right", "lower left", "lower right"),
}
COLUMNS = (*CONTINUOUS, *CATEGORICAL)

_RULER = 32  # side in pixels at which images are measured, so that lengths are finer than a pixel
_INK = 0.4  # grey level from which a pixel counts as ink: keeps strokes whole and holes open


def load(size: int, *, device: torch.device | str = "cpu") -> ImageTable:
    """All digits at ``size`` x ``size`` pixels (bilinear), with their measured table.

    The table is measured on the original images, so it does not depend on ``size``; continuous
    columns are standardised by the training part's mean and standard deviation.

    >>> digits = load(16)
    >>> len(digits.train), len(digits.validation), len(digits.test), digits.test.images.shape[1:]
    (720, 180, 897, torch.Size([3, 16, 16]))
    """
    from sklearn.datasets import load_digits

    check_range("size", size, 8)
    bunch = load_digits()
    grey = torch.tensor(bunch.images, dtype=torch.float32) / 16
    images = (_resize(grey, size) * 255).round().to(torch.uint8)[:, None].expand(-1, 3, -1, -1)
    labels = torch.tensor(bunch.target, dtype=torch.long)
    table = measure(grey)

    tens = torch.arange(len(labels)) % 100 // 10
    rules = {"train": tens < 4, "validation": tens == 4, "test": tens > 4}
    return split(
        images,
        table,
        labels,
        rules,
        columns=COLUMNS,
        categories=CATEGORICAL,
        classes=tuple(map(str, range(10))),
        device=device,
    )


def measure(images: Tensor) -> Tensor:
    """The table of ``images``: (N, H, W) grey levels from 0 (white) to 1 (black) -> (N, C).

    Columns are :data:`COLUMNS`, in their own units. Every image is measured alone. Raises
    ``ValueError`` for another shape and for an image without ink.

    >>> ring = torch.ones(1, 8, 8)
    >>> ring[:, 3:5, 3:5] = 0
    >>> dict(zip(COLUMNS, measure(ring)[0].tolist()))["holes"]
    1.0
    """
    check_shape("images", images, "N H W")
    grey = _resize(images, _RULER)
    mask = grey > _INK
    if not mask.any(dim=(1, 2)).all():
        raise ValueError(f"image {int((~mask.any(dim=(1, 2))).nonzero()[0])} has no ink")

    place = (torch.arange(_RULER, device=grey.device) + 0.5) / _RULER
    total = grey.sum(dim=(1, 2))
    x = (grey.sum(1) * place).sum(1) / total
    y = (grey.sum(2) * place).sum(1) / total
    from_x = place[None, :] - x[:, None]  # (N, W)
    from_y = place[None, :] - y[:, None]  # (N, H)
    var_x = (grey.sum(1) * from_x**2).sum(1) / total
    var_y = (grey.sum(2) * from_y**2).sum(1) / total
    cov = torch.einsum("nhw,nh,nw->n", grey, from_y, from_x) / total

    row_strokes, column_strokes = _strokes(mask), _strokes(mask.mT)
    area = mask.sum(dim=(1, 2)) / _RULER**2
    outline = 2 * (row_strokes.sum(1) + column_strokes.sum(1)) / _RULER  # each stroke has two ends
    half = _RULER // 2
    quarters = grey.unflatten(1, (2, half)).unflatten(3, (2, half)).sum(dim=(2, 4)).flatten(1)
    columns = [
        mask.any(1).sum(1) / _RULER,
        mask.any(2).sum(1) / _RULER,
        grey.mean(dim=(1, 2)),
        x,
        y,
        var_x.sqrt(),
        var_y.sqrt(),
        -cov / var_y,
        row_strokes.sum(1) / mask.any(2).sum(1),
        column_strokes.sum(1) / mask.any(1).sum(1),
        outline,
        2 * area / outline,
        _correlation(grey, grey.flip(2)),
        holes(mask).clamp(max=2),
        row_strokes.amax(1).clamp(max=2) - 1,
        column_strokes.amax(1).clamp(max=3) - 1,
        quarters.argmax(1),
    ]
    return torch.stack([column.to(grey.dtype) for column in columns], dim=1)


def holes(mask: Tensor) -> Tensor:
    """Number of holes in each binary image: (N, H, W) bool -> (N,) long.

    Holes are pieces of the background that ink encloses. Ink connects over corners, background
    does not.

    >>> holes(torch.tensor([[[1, 1, 1], [1, 0, 1], [1, 1, 1]], [[1, 0, 1], [1, 0, 1], [1, 1, 1]]]))
    tensor([1, 0])
    """
    ground = F.pad(~mask.bool(), (1, 1, 1, 1), value=True).cpu().numpy()
    pieces = [ndimage.label(image)[1] for image in ground]  # of which one lies around the ink
    return torch.tensor(pieces, dtype=torch.long, device=mask.device) - 1


def _strokes(mask: Tensor) -> Tensor:
    """Runs of ink in each row: (N, H, W) -> (N, H)."""
    return (F.pad(mask.int(), (1, 0)).diff(dim=2) == 1).sum(dim=2)


def _correlation(u: Tensor, v: Tensor) -> Tensor:
    u, v = u.flatten(1), v.flatten(1)
    return F.cosine_similarity(u - u.mean(1, keepdim=True), v - v.mean(1, keepdim=True), dim=1)


def _resize(images: Tensor, size: int) -> Tensor:
    return F.interpolate(images[:, None], size=(size, size), mode="bilinear")[:, 0]
