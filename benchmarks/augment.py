"""The SimCLR views of a batch of images: mmlib at once, torchvision v2 one sample after another.

python benchmarks/augment.py: 256 images of 128 pixels, uint8, with the same parameters, on two
threads; ratios measured side by side. torchvision runs on uint8 until the normalisation and on
floats from the start; the quicker of the two is what counts (at least 3 times is wanted).
"""

from __future__ import annotations

import torch
from _measure import Report, parser, ratios
from torch import Tensor
from torchvision.transforms import v2

from mmlib.augment import image

SIZE, BATCH, THREADS = 128, 256, 2


def torchvision_simclr(floats_first: bool) -> v2.Compose:
    to_float = v2.ToDtype(torch.float32, scale=True)
    change = [
        v2.RandomResizedCrop(SIZE, antialias=True),
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        v2.RandomGrayscale(p=0.2),
        v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], p=0.5),
        v2.RandomHorizontalFlip(p=0.5),
    ]
    change = [to_float, *change] if floats_first else [*change, to_float]
    return v2.Compose([*change, v2.Normalize(image.IMAGENET_MEAN, image.IMAGENET_STD)])


def one_by_one(batch: Tensor, transform: v2.Compose) -> Tensor:
    return torch.stack([transform(sample) for sample in batch])


def main() -> None:
    keep = parser(__doc__).parse_args().keep
    torch.set_num_threads(THREADS)
    generator = torch.Generator().manual_seed(0)
    batch = torch.randint(256, (BATCH, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    ours = image.simclr(SIZE)
    how = f"SimCLR's views of {BATCH} images of {SIZE} px, {THREADS} threads"
    with Report("augment", how, keep=keep) as report:
        for name, floats_first in (("uint8", False), ("floats", True)):
            theirs = torchvision_simclr(floats_first)
            r = ratios(lambda t=theirs: one_by_one(batch, t), lambda: ours(batch, generator))
            report.ratio(f"beside torchvision v2 on {name}, one image at a time", r, 3)


if __name__ == "__main__":
    main()
