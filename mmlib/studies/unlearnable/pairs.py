"""What chapters 6, 11 and 12 publish and measure on: scenes, photos, emoji, people's names."""

from __future__ import annotations

import torch

from mmlib._checks import check_range
from mmlib.data import captioned, emoji, people, photo_sets, scenes
from mmlib.mem.pairs import Pairs, encode_pairs
from mmlib.presets.protected import KnownPairsSettings, ProtectedSettings

# Words of a caption that count; 99 in 100 have less.
LONGEST = {"flickr8k": 24, "flickr30k": 32, "mscoco": 24, "emoji": 24}


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
        chance, longest = torch.Generator().manual_seed(cfg.seed), scenes.LONGEST
        parts = {
            part: scenes.make(n, cfg.image_size, noise=cfg.pixel_noise, generator=chance)
            for part, n in sizes.items()
        }
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
