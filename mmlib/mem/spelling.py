"""Image noise that spells the caption: what the words are about, written in a code of pixels.

A topic is a direction along which captions differ (latent semantic analysis), and has a pattern of
pixels drawn at random. An image carries the sign of the sum of all patterns, each as strong as the
captions lean to that topic. Who trains on such pairs finds the topics faster in the code, which is
the same on every image, than in what images show; images without it say nothing to him then.
No network and no search takes part in it.

Source: latent semantic analysis, Deerwester et al. 1990; that random patterns which separate
classes linearly do as well as optimised noise, Yu et al. 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from mmlib._checks import check_range, check_shape
from mmlib.data.text import SPECIAL
from mmlib.mem.noise import add, in_range

TOPICS = 16
_BATCH = 1024  # images at a time


def topics(captions: Tensor, count: int, *, generator: torch.Generator) -> Tensor:
    """What the captions (N, C, T) of each image are about: (N, count), mean 0 and variance 1.

    These are the first singular vectors of the words that an image's captions have, rare words
    weighing more (tf-idf). The generator seeds the randomised decomposition.

    Raises ``ValueError`` for a ``count`` that is not below the numbers of images and of words.

    >>> captions = torch.tensor([[[1, 5, 2]], [[1, 6, 2]], [[1, 5, 2]], [[1, 6, 2]]])
    >>> found = topics(captions, 1, generator=torch.Generator().manual_seed(0))
    >>> bool(found[0] == found[2]), bool(found[0] == -found[1])
    (True, True)
    """
    from scipy.sparse import coo_matrix
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    n = check_shape("captions", captions, "N C T")["N"]
    flat = captions.flatten(1).cpu()
    image, place = (flat >= len(SPECIAL)).nonzero(as_tuple=True)
    known, word = flat[image, place].unique(return_inverse=True)
    check_range("topics", count, 1, min(n, len(known)) - 1)
    once = torch.ones(len(word), dtype=torch.float64)
    counts = coo_matrix((once, (image, word)), shape=(n, len(known))).tocsr()
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    found = torch.from_numpy(TruncatedSVD(count, random_state=seed).fit_transform(weights))
    sd, mean = torch.std_mean(found, dim=0)
    return ((found - mean) / sd.clamp(min=1e-12)).float().to(captions.device)


def spelled(
    images: Tensor, captions: Tensor, *, count: int, epsilon: int, generator: torch.Generator
) -> Tensor:
    """Noise (N, 3, H, W) int8 in which the captions' ``count`` topics are spelled.

    Every pixel moves by ``epsilon`` levels of 1/255, up or down, clipped where an image would
    overflow. The patterns are the generator's: who does not have it has to find them.

    Args:
        images: (N, 3, H, W) uint8, on the generator's device or another.
        captions: (N, C, T) ids.

    Raises ``ValueError`` as :func:`topics` does, and for a bound outside 0 to 127.

    >>> images = torch.full((4, 3, 8, 8), 100, dtype=torch.uint8)
    >>> captions = torch.tensor([[[1, 5, 2]], [[1, 6, 2]], [[1, 5, 2]], [[1, 6, 2]]])
    >>> g = torch.Generator().manual_seed(0)
    >>> made = spelled(images, captions, count=1, epsilon=8, generator=g)
    >>> made.abs().unique(), torch.equal(made[0], made[2]), torch.equal(made[0], -made[1])
    (tensor([8], dtype=torch.int8), True, True)
    """
    check_range("epsilon", epsilon, 0, 127)
    about = topics(captions, count, generator=generator).to(images.device)
    shape = count, *images.shape[1:]
    patterns = torch.randn(shape, generator=generator, device=generator.device).to(images.device)
    noise = torch.empty_like(images, dtype=torch.int8)
    for rows in torch.arange(len(images), device=images.device).split(_BATCH):
        noise[rows] = in_range(images[rows], epsilon * _signs(about[rows], patterns))
    return noise


def unspelled(
    images: Tensor,
    captions: Tensor,
    *,
    count: int = TOPICS,
    epsilon: int,
    generator: torch.Generator,
) -> Tensor:
    """Published images (N, 3, H, W) uint8 without the noise that their captions tell of.

    This is a hacker's answer to :func:`spelled`, who knows how it is made but not the patterns:
    whether a pixel is brighter than those around it is fitted by the captions' topics (least
    squares, which finds the patterns up to a rotation), and the sign of the fit, times ``epsilon``
    levels, is taken off. Values as they are would not do: what images show goes with topics, too,
    but is smooth.

    Raises ``ValueError`` as :func:`topics` does, and for images of less than 3 pixels a side.
    """
    height, width = images.shape[2:]
    check_range("height and width", min(height, width), 3)
    about = topics(captions, count, generator=generator).to(images.device)
    parts = list(zip(images.split(_BATCH), about.split(_BATCH), strict=True))
    seen = sum(z.T @ fine(x).sign().flatten(1) for x, z in parts)
    patterns = torch.linalg.solve(about.T @ about, seen).unflatten(1, images.shape[1:])
    return torch.cat([add(x, -epsilon * _signs(z, patterns)) for x, z in parts])


def fine(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) less the mean of the 5 x 5 pixels around each, in levels of 1/255.

    >>> fine(torch.full((1, 3, 4, 4), 7, dtype=torch.uint8)).abs().max()
    tensor(0.)
    """
    x = images.float()
    return x - avg_pool2d(pad(x, (2, 2, 2, 2), mode="reflect"), 5, stride=1)


def _signs(about: Tensor, patterns: Tensor) -> Tensor:
    """The sign of the sum of all patterns (K, 3, H, W), each as strong as an image's topics say."""
    return (about @ patterns.flatten(1)).view(-1, *patterns.shape[1:]).sign().to(torch.int8)
