"""What chapters 6, 11 and 12 publish and measure on: scenes, photos, emoji, people's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range
from mmlib.data import captioned, emoji, people, photo_sets, scenes
from mmlib.data.text import words_of
from mmlib.mem.pairs import Pairs, encode_pairs
from mmlib.presets.protected import KnownPairsSettings, ProtectedSettings
from mmlib.presets.unlearnable_comm import CommHackerSettings

# Words of a caption that count; 99 in 100 have less.
LONGEST = {"flickr8k": 24, "flickr30k": 32, "mscoco": 24, "emoji": 24}

THINGS = {  # on photos, and the words that name them
    "man": {"man", "men"}, "woman": {"woman", "women"}, "boy": {"boy", "boys"},
    "girl": {"girl", "girls"}, "child": {"child", "children"}, "dog": {"dog", "dogs"},
    "water": {"water", "ocean", "pool"}, "snow": {"snow", "snowy"}, "grass": {"grass", "grassy"},
    "beach": {"beach", "sand"}, "ball": {"ball"}, "bike": {"bike", "bicycle"},
    "street": {"street", "road", "sidewalk"},
}  # fmt: skip


@dataclass(frozen=True)
class Labelled:
    """Pairs whose images have labels; probes are fitted on the known part, scored on the test part.

    ``tasks`` are the labels of both parts, by the task's name: (N, K), which of K things an image
    shows. ``names`` are those of the things.
    """

    pairs: Pairs
    tasks: dict[str, tuple[Tensor, Tensor]]
    names: dict[str, tuple[str, ...]]


def load_pairs(
    cfg: KnownPairsSettings,
    device: torch.device,
    *,
    longest_trigger: int,
    pieces: int | None = None,
) -> Pairs:
    """The settings' pairs; scenes are drawn from ``cfg.seed``, the same on every device.

    ``pieces`` is as :func:`encode_pairs` says.

    Raises ``FileNotFoundError`` where a set is absent, ``ValueError`` where a part is too small.
    """
    sizes = {"train": cfg.n_train, "test": cfg.n_test, "val": cfg.known_pairs}
    if cfg.data == "scenes":
        parts, longest = _scenes(cfg, sizes), scenes.LONGEST
    else:
        longest = LONGEST[cfg.data]
        if cfg.data == "emoji":
            parts = emoji.load(cfg.image_size)
        else:
            load = {
                "flickr8k": captioned.flickr8k,
                "flickr30k": photo_sets.flickr30k,
                "mscoco": photo_sets.mscoco,
            }[cfg.data]
            parts = load(cfg.image_size, split=cfg.split)
    for part, n in sizes.items():
        check_range(f"number of images asked of part {part!r}", n, 1, len(parts[part].images))
    taken = [(parts[part].images[:n], parts[part].captions[:n]) for part, n in sizes.items()]
    return encode_pairs(*taken, longest=longest, room=longest_trigger, device=device, pieces=pieces)


def _scenes(cfg: ProtectedSettings, sizes: dict[str, int]) -> dict[str, scenes.Scenes]:
    """Parts of those sizes, drawn one after the other."""
    chance = torch.Generator().manual_seed(cfg.seed)
    return {
        part: scenes.make(n, cfg.image_size, noise=cfg.pixel_noise, generator=chance)
        for part, n in sizes.items()
    }


def load_labelled(
    cfg: CommHackerSettings, device: torch.device, *, longest_trigger: int
) -> Labelled:
    """Scenes with the colours and shapes in them, or photos with the things their captions name.

    Scenes are drawn from ``cfg.seed``. A photo shows what one of its five captions names
    (:data:`THINGS`); the known photos are of the set's part for validation. Raises
    ``FileNotFoundError`` where the photos are absent, ``ValueError`` where there are too few.
    """
    sizes = {"train": cfg.n_train, "known": cfg.n_labelled, "test": cfg.n_test}
    if cfg.data == "scenes":
        made, longest = _scenes(cfg, sizes), scenes.LONGEST
        names = {"colors": tuple(scenes.COLORS), "shapes": scenes.SHAPES}
        labels = {part: drawn.layout.present() for part, drawn in made.items()}
    else:
        loaded, longest = captioned.flickr8k(cfg.image_size), LONGEST[cfg.data]
        made = {}
        for part, of in (("train", "train"), ("known", "val"), ("test", "test")):
            check_range(f"photos asked of part {of!r}", sizes[part], 1, len(loaded[of].images))
            made[part] = loaded[of][: sizes[part]]
        names = {"things": tuple(THINGS)}
        labels = {part: {"things": named_things(photos.captions)} for part, photos in made.items()}
    parts = [(made[part].images, made[part].captions) for part in ("train", "test", "known")]
    pairs = encode_pairs(*parts, longest=longest, room=longest_trigger, device=device)
    tasks = {
        task: tuple(labels[part][task].to(device) for part in ("known", "test")) for task in names
    }
    return Labelled(pairs, tasks, names)


def named_things(captions: Sequence[Sequence[str]]) -> Tensor:
    """Which of :data:`THINGS` the captions of each image name: bool (N, K).

    >>> [list(THINGS)[k] for k in named_things([("two dogs", "a dog in the snow")])[0].nonzero()]
    ['dog', 'snow']
    """
    told = [{word for caption in row for word in words_of(caption)} for row in captions]
    return torch.tensor([[bool(words & thing) for thing in THINGS.values()] for words in told])


def load_people(
    cfg: ProtectedSettings, device: torch.device, *, count: int, photos: int, longest_trigger: int
) -> Pairs:
    """People drawn in code: ``photos`` published photos of each of ``count``, with their names.

    Of the test part and of the known part each has one other photo of everybody, and one caption,
    their name alone.
    """
    chance = torch.Generator().manual_seed(cfg.seed)
    noise, size = cfg.pixel_noise, cfg.image_size
    made = people.make(count, photos + 2, size, noise=noise, generator=chance)
    train = made.images[:, 2:].flatten(0, 1), [c for row in made.captions for c in row[2:]]
    by_name = [(name,) for name in made.names]
    held = [(made.images[:, k], by_name) for k in (0, 1)]
    return encode_pairs(train, *held, longest=people.LONGEST, room=longest_trigger, device=device)
