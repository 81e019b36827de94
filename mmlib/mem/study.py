"""What the chapters on unlearnable examples share: the pairs, the networks, and one measure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from mmlib.encoders.image import GlobalPool, PatchTransformer, ResNetTrunk, SmallConvNet
from mmlib.encoders.text import TextTransformer
from mmlib.mem import detect
from mmlib.mem.settings import Protection
from mmlib.methods.clip import DualEncoder
from mmlib.presets.protected import KnownPairsSettings, ProtectedSettings
from mmlib.train import Optim

# Words of a caption that count; 99 in 100 have less.
LONGEST = {"flickr8k": 24, "flickr30k": 32, "mscoco": 24, "emoji": 24}
WAY = {"i2t": "captions ranked for an image", "t2i": "images ranked for a caption"}
ENOUGH = 1 / 3  # of guessing's median rank: conclusions need a clean model below it
TELLS_APART = 0.15  # of the protection left; what differs by less is alike, as far as one run tells
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
        trunk: small, patches or resnet50; by default the settings'.
        scale: how many times the settings' widths of trunk, text and embedding; of resnet50's
            blocks, which narrow and widen again, the narrow part.

    Raises ``ValueError`` for another trunk.
    """
    torch.manual_seed(1_000 * cfg.seed + offset)
    width, features = scale * cfg.width, scale * cfg.features
    made = {
        "small": lambda: SmallConvNet(width),
        "patches": lambda: PatchTransformer(cfg.image_size, cfg.image_size // 4, 4 * width, 2, 4),
        "resnet50": lambda: ResNetTrunk(50, scale),
    }
    body = made[check_choice("trunk", trunk or cfg.trunk, made)]()
    text = TextTransformer(
        len(pairs.tokenizer),
        scale * cfg.text_width,
        cfg.text_depth,
        cfg.text_heads,
        pairs.length,
        features,
    )
    project = nn.Linear(body.out_features, features, bias=False)
    inputs = [Normalize(), as_it_is]  # no augmentation, as in the released code
    model = DualEncoder(
        [GlobalPool(body), text], [project, nn.Identity()], augment=inputs, prepare=inputs
    )
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


def protection_left(
    result: Mapping[str, float], clean: Mapping[str, float], guessing: Mapping[str, float]
) -> float:
    """How far a hacker's median ranks are from clean training's, on the way to guessing's.

    With the median ranks r of the hacker, c of clean training and g of guessing, the mean over both
    directions of log(r / c) / log(g / c): 0 as clean, 1 as guessing, negative where the hacker did
    better. A direction in which clean training is no better than guessing counts 0.

    Args:
        result, clean, guessing: what :func:`mmlib.evaluate.retrieval.retrieval` returns.

    >>> def ranks(r):
    ...     return {"median_rank.i2t": r, "median_rank.t2i": r}
    >>> protection_left(ranks(20), ranks(10), ranks(1000))
    0.150...
    """
    shares = []
    for direction in WAY:
        key = f"median_rank.{direction}"
        room = math.log(guessing[key] / clean[key])
        shares.append(math.log(result[key] / clean[key]) / room if room > 0 else 0.0)
    return sum(shares) / len(shares)


def rank_ratio(result: Mapping[str, float], clean: Mapping[str, float]) -> float:
    """A hacker's median ranks over clean training's, geometric mean of both directions.

    >>> clean = {"median_rank.i2t": 10, "median_rank.t2i": 10}
    >>> rank_ratio({"median_rank.i2t": 40, "median_rank.t2i": 10}, clean)
    2.0
    """
    ratios = [result[f"median_rank.{d}"] / clean[f"median_rank.{d}"] for d in WAY]
    return (ratios[0] * ratios[1]) ** 0.5


def weakest(left: Mapping[str, float]) -> str:
    """The defence that leaves least of a protection, the first of equals.

    >>> weakest({"drop words": 0.4, "crop": 0.1, "both": 0.1})
    'crop'
    """
    return min(left, key=left.__getitem__)


def safest(left: Mapping[str, Mapping[str, float]]) -> str:
    """The protection of which its own weakest defence leaves most, the first of equals.

    >>> safest({"noise": {"drop": 0.9, "crop": 0.0}, "words": {"drop": 0.2, "crop": 0.3}})
    'words'
    """
    return max(left, key=lambda name: left[name][weakest(left[name])])


def compared(a: float, b: float) -> str:
    """How what is left of one protection compares to what is left of another, in one run of each.

    Differences below :data:`TELLS_APART` are called alike; recorded runs are compared by
    :func:`mmlib.evidence.difference`.

    >>> compared(0.5, 0.4), compared(0.5, 0.2), compared(0.0, 0.2)
    ('about as much as', 'more than', 'less than')
    """
    if abs(a - b) < TELLS_APART:
        return "about as much as"
    return "more than" if a > b else "less than"


def headroom(clean: Mapping[str, float], guessing: Mapping[str, float]) -> dict[str, float]:
    """Clean training's median rank over guessing's, for each direction of :data:`WAY`.

    Conclusions need less than :data:`ENOUGH` in both.

    >>> ranks = {"median_rank.i2t": 100, "median_rank.t2i": 50}
    >>> headroom({"median_rank.i2t": 10, "median_rank.t2i": 25}, ranks)
    {'i2t': 0.1, 't2i': 0.5}
    """
    return {d: clean[f"median_rank.{d}"] / guessing[f"median_rank.{d}"] for d in WAY}


def worse_headroom(runs: Sequence[Mapping[str, float]]) -> float:
    """:func:`headroom` of recorded metrics, mean over runs, in the direction where it is larger.

    >>> worse_headroom([{"headroom.i2t": 0.1, "headroom.t2i": a} for a in (0.2, 0.4)])
    0.3...
    """
    return max(math.fsum(run[f"headroom.{d}"] for run in runs) / len(runs) for d in WAY)


def seen(pairs: Pairs, images: Tensor, captions: Tensor, words: int) -> dict[str, float]:
    """Whether published images and captions (N, C, T) can be told from the clean test pairs.

    For each, :func:`mmlib.mem.detect.chance_above` of their score: how rough an image is, and how
    unexpected the first ``words`` words of its first caption are after as many known captions as
    there are known images. 0.5 is guessing.
    """
    known = pairs.known[1].flatten(0, 1)[: len(pairs.known[1])]
    vocabulary = len(pairs.tokenizer)

    def unexpected(captions: Tensor) -> Tensor:
        return detect.surprise(captions[:, 0], known, words=words, vocabulary_size=vocabulary)

    clean_images, clean_captions = pairs.test
    return {
        "caption": detect.chance_above(unexpected(captions), unexpected(clean_captions)),
        "image": detect.chance_above(detect.roughness(images), detect.roughness(clean_images)),
    }


def alignment(images: Tensor, captions: Tensor) -> float:
    """Mean cosine of embeddings (N, D) of images and their own captions (N, D) less that of others.

    In standard deviations of the cosines with others' captions.

    >>> z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> round(alignment(z, 3 * z), 2)  # others' cosines are 0, 0, 0, 0, -1, -1
    2.58
    """
    cosines = nn.functional.normalize(images, dim=1) @ nn.functional.normalize(captions, dim=1).T
    own = torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    others = cosines[~own]
    return ((cosines[own].mean() - others.mean()) / others.std()).item()
