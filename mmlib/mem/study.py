"""What the chapters on unlearnable examples share: the pairs, the networks, their training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmlib._checks import check_choice, check_range
from mmlib.augment.image import Normalize
from mmlib.augment.transform import as_it_is
from mmlib.data import captioned, emoji, people, photo_sets, scenes
from mmlib.data.pieces import BytePairTokenizer
from mmlib.data.text import SPECIAL, Tokenizer, WordTokenizer, first_end, words_of
from mmlib.device import to_device
from mmlib.encoders.image import (
    AttentionPool,
    ClipResNetTrunk,
    GlobalPool,
    PatchTransformer,
    SmallConvNet,
)
from mmlib.encoders.text import TextTransformer
from mmlib.mem.settings import Protection
from mmlib.methods.clip import DualEncoder
from mmlib.presets.protected import KnownPairsSettings, ProtectedSettings
from mmlib.train import Optim

# Words of a caption that count; 99 in 100 have less.
LONGEST = {"flickr8k": 24, "flickr30k": 32, "mscoco": 24, "emoji": 24}
TITLES = {  # what is published
    "clean": "clean",
    "mem_3": "MEM-3",
    "mem_5": "MEM-5",
    "mem_images": "MEM-3's images alone",
    "mem_words": "MEM-3's words alone",
    "text_only": "words made without noise",
    "random_tokens": "random words",
    "random_tokens_noise": "random words, noise",
    "constant_prefix": "constant prefix",
    "random_noise": "random noise",
    "em": "EM, as released",
    "em_mem_budget": "EM: noise made without words",
    "em_shuffle": "EM, shuffled",
    "tap": "TAP",
    "tap_other": "TAP, other's caption",
    "uap": "one noise for all",
    "switch_unit": "MEM-3, unit",
    "switch_selection": "MEM-3, selection",
    "switch_special_tokens": "MEM-3, special tokens",
    "switch_drop_last": "MEM-3, last batch",
}

Part = tuple[Tensor, Sequence[Sequence[str]]]  # images with the captions of each


@dataclass(frozen=True)
class Pairs:
    """Parts of uint8 images (N, 3, H, W) and caption ids (N, C, T), on one device.

    ``train`` is published; ``test`` is clean, and what results are measured on; ``known``, where a
    chapter has it, is clean too, for whatever is to be chosen. Ids end with padding that has room
    for a trigger.
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    known: tuple[Tensor, Tensor] | None
    tokenizer: Tokenizer
    own_words: int  # entries of the vocabulary that occur in captions

    @property
    def captions(self) -> int:
        """Captions of an image, C."""
        return self.train[1].shape[1]

    @property
    def length(self) -> int:
        """Ids of a caption with its trigger and padding, T."""
        return self.train[1].shape[2]

    def tensors(self) -> tuple[Tensor, ...]:
        """All of them, for the record's content hash."""
        return *self.train, *self.test, *(self.known or ())


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


def encode_pairs(
    train: Part,
    test: Part,
    known: Part | None = None,
    *,
    longest: int,
    room: int,
    device: torch.device,
    pieces: int | None = None,
) -> Pairs:
    """Images with captions as text, encoded by one tokenizer.

    The vocabulary has the words of the published captions, the most frequent first, and beside
    them common English words, as a tokenizer knows more words than one set uses. With ``pieces``
    it is learned from the same words, as pieces of them, and a caption has room for as many as the
    longest published one needs.

    Args:
        train, test, known: images (N, 3, H, W) uint8 and the C captions of each.
        longest: words of a caption that count.
        room: words of the longest trigger.
        pieces: entries of a byte-pair vocabulary; by default an entry is a word.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    told = [caption for row in train[1] for caption in row]
    common = sorted(ENGLISH_STOP_WORDS)
    if pieces is None:
        own_words = WordTokenizer.fit(told).vocabulary[len(SPECIAL) :]
        tokenizer, length = WordTokenizer(dict.fromkeys([*own_words, *common])), longest + 2
        own = len(own_words)
    else:
        tokenizer = BytePairTokenizer.fit([*told, *common], pieces)
        texts = [_first(caption, longest) for caption in told]
        ids = tokenizer.encode(texts, max(map(len, texts)) + 2)  # a piece has a letter at least
        length = int(first_end(ids).max()) + 1
        own = int((ids.unique() >= len(SPECIAL)).sum())

    def encoded(images: Tensor, rows: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        texts = [_first(caption, longest) for row in rows for caption in row]
        ids = nn.functional.pad(tokenizer.encode(texts, length), (0, room))
        return images.to(device), ids.unflatten(0, (len(images), -1)).to(device)

    known = encoded(*known) if known is not None else None
    return Pairs(encoded(*train), encoded(*test), known, tokenizer, own)


def _first(caption: str, count: int) -> str:
    return " ".join(words_of(caption)[:count])


def new_model(
    cfg: ProtectedSettings,
    pairs: Pairs,
    offset: int,
    *,
    trunk: str | None = None,
    scale: int = 1,
) -> DualEncoder:
    """A dual encoder from random weights, on the pairs' device; it sees images without a view.

    Args:
        offset: another one is another draw of the weights, for the same ``cfg.seed``.
        trunk: small, patches, or CLIP's resnet50 or resnet101; by default the settings'.
        scale: how many times the settings' widths of trunk, text and embedding.

    Raises ``ValueError`` for another trunk.
    """
    torch.manual_seed(1_000 * cfg.seed + offset)
    width, features = scale * cfg.width, scale * cfg.features

    def patches() -> GlobalPool:
        patch = cfg.image_size // cfg.patches
        sizes = scale * cfg.patch_width, cfg.patch_depth, cfg.patch_heads
        return GlobalPool(PatchTransformer(cfg.image_size, patch, *sizes))

    def resnet(depth: int) -> AttentionPool:
        trunk = ClipResNetTrunk(depth, width)
        return AttentionPool(trunk, (cfg.image_size // 32) ** 2, max(1, width // 2))

    made = {
        "small": lambda: GlobalPool(SmallConvNet(width)),
        "patches": patches,
        "resnet50": lambda: resnet(50),
        "resnet101": lambda: resnet(101),
    }
    image = made[check_choice("trunk", trunk or cfg.trunk, made)]()
    text = TextTransformer(
        len(pairs.tokenizer),
        scale * cfg.text_width,
        cfg.text_depth,
        cfg.text_heads,
        pairs.length,
        features,
    )
    attends = isinstance(image, AttentionPool)  # CLIP's last layer of it is the projection here
    project = nn.Linear(image.out_features, features, bias=attends)
    if attends:
        nn.init.normal_(project.weight, std=image.out_features**-0.5)
    inputs = [Normalize(), as_it_is]  # no augmentation, as in the released code
    model = DualEncoder([image, text], [project, nn.Identity()], augment=inputs, prepare=inputs)
    return to_device(model, pairs.train[0].device)


def budget(cfg: ProtectedSettings) -> Protection:
    """MEM with the settings' sizes and schedule."""
    names = ("epsilon", "rounds", "trigger_rounds", "surrogate_steps", "noise_steps", "candidates")
    names += ("batch_size", "weight_decay", "precision")
    same = {name: getattr(cfg, name) for name in names}
    return Protection(learning_rate=cfg.surrogate_learning_rate, **same)


def optim(cfg: ProtectedSettings) -> Optim:
    """How the settings' hackers are optimised; fewer steps than the warm-up's are all warm-up."""
    return Optim(
        steps=cfg.steps,
        learning_rate=cfg.learning_rate,
        warmup_steps=min(cfg.warmup_steps, cfg.steps),
        schedule=cfg.schedule,
        weight_decay=cfg.weight_decay,
        precision=cfg.precision,
    )
