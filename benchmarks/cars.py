"""How hard the drawn cars are: how often a plain network names the model in a picture.

``python benchmarks/cars.py [--pixels P] [--rows N] [--width W] [--epochs E] [--keep]``. The
stand-in for DVM-Car is meant to be as hard as the photos: a supervised network near 90 % at the
real number of rows. The network is plain: seven convolutions with batch norms and the mean over
places, trained on the 40 % of the rows that are for training. Pictures are shifted, resized,
mirrored and changed in brightness and contrast. The validation rows choose the epoch; the test
rows, half of all, are scored once. Guessing the most frequent model gives the other number.
"""

from __future__ import annotations

import time

import torch
from _measure import Report, parser
from torch import nn

from mmlib.augment.image import ColorJitter, Compose, Flip, Resize, ResizedCrop
from mmlib.data import cars
from mmlib.encoders.image import GlobalPool
from mmlib.evaluate.fine_tune import fine_tune
from mmlib.train import EpochSampler, Optim


def trunk(width: int) -> nn.Sequential:
    """Seven convolutions of 3 x 3, every other one halving the side."""
    layers, channels = nn.Sequential(), 3
    for k, factor in enumerate((1, 1, 2, 2, 4, 4, 8)):
        out = factor * width
        layers.append(nn.Conv2d(channels, out, 3, stride=2 - k % 2, padding=1, bias=False))
        layers.append(nn.BatchNorm2d(out)).append(nn.ReLU(inplace=True))
        channels = out
    layers.out_features = channels
    return layers


def main() -> None:
    options = parser(__doc__)
    for name, value in {"pixels": 64, "rows": 176_414, "width": 32, "epochs": 12}.items():
        options.add_argument(f"--{name}", type=int, default=value)
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    how = (
        f"Seven convolutions of {given.width} to {8 * given.width} channels on pictures of "
        f"{given.pixels} px, {given.rows:,} rows, {given.epochs} epochs of 40 % of them, bfloat16, "
        "1 thread"
    )
    with Report("cars", how, keep=given.keep) as report:
        start = time.perf_counter()
        data = cars.load(given.pixels, rows=given.rows)
        report.number("drawing all pictures", time.perf_counter() - start, "s")
        train, validation, test = data.train, data.validation, data.test
        sampler = EpochSampler(len(train), 128, seed=0)
        views = Compose(
            [
                ResizedCrop(given.pixels, scale=(0.7, 1.0), ratio=(0.9, 1.1)),
                Flip(),
                ColorJitter(brightness=0.3, contrast=0.3),
            ]
        )
        start = time.perf_counter()
        tuned = fine_tune(
            GlobalPool(trunk(given.width)).to(memory_format=torch.channels_last),
            train.images,
            train.labels,
            test.images,
            test.labels,
            validation=(validation.images, validation.labels),
            classes=len(data.classes),
            trainable=True,
            views=views,
            prepare=Resize(given.pixels),
            optim=Optim(
                steps=given.epochs * sampler.steps_per_epoch,
                learning_rate=2e-3,
                weight_decay=0.0,
                optimizer="adam",
                schedule="cosine",
                warmup_steps=sampler.steps_per_epoch // 2,
                precision="bfloat16",
            ),
            sampler=sampler,
            generator=torch.Generator().manual_seed(0),
            patience=given.epochs,
            name="supervised",
        )
        report.number("training and scoring", time.perf_counter() - start, "s")
        common = (test.labels == train.labels.bincount().argmax()).float().mean().item()
        report.number("test pictures that are of the most frequent model", 100 * common, "%")
        for epoch, value in enumerate(tuned.validation, start=1):
            if epoch in (1, given.epochs // 2, given.epochs):
                report.number(f"validation pictures named after epoch {epoch}", value, "%")
        report.number("test pictures named", tuned.accuracy, "%")
        report.number("the same, mean over the models", tuned.balanced_accuracy, "%")


if __name__ == "__main__":
    main()
