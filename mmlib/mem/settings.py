"""What a protection does to image and text: its switches, checked."""

from __future__ import annotations

from dataclasses import dataclass

from mmlib._checks import check_choice, check_range
from mmlib.mem.spelling import TOPICS


@dataclass(frozen=True)
class Protection:
    """What is done to text and image, and how long. Raises ``ValueError`` for a value out of range.

    ``text="none"``, or no trigger words, with ``body="own"`` is error-minimising noise (EM);
    ``image="none"`` or an ``epsilon`` of 0 is text only; ``trigger_rounds=0`` keeps random
    triggers; ``maximise`` with one round is error-maximising noise (TAP). Without ``"optimised"``
    and ``"pgd"`` no surrogate is trained. :mod:`mmlib.mem.protections` has those with a name.

    Source: MEM-3, released code (budget).

    >>> Protection(image="gauss")
    Traceback (most recent call last):
    ...
    ValueError: image is 'gauss'; allowed: 'none', 'uniform', 'pgd', 'spelled'
    """

    text: str = "optimised"  # none, constant, random, optimised
    image: str = "pgd"  # none, uniform, pgd, spelled (the captions' topics, mmlib.mem.spelling)
    # caption PGD sees: own, shuffled (at each step), everywhere (shuffled, for the surrogate, too),
    # other (one pair's), or plain: own, and neither PGD nor the surrogate sees triggers
    body: str = "shuffled"
    unit: str = "image"  # what has a noise and a trigger of its own: pair, image, group
    groups: int = 1  # of the unit "group", to which images are dealt at random
    selection: str = "batch"  # of trigger words: batch (all take their j-th), sample (each its own)
    maximise: bool = False  # noise that raises the surrogate's loss
    # whether PGD meets the surrogate's loss as its training does, whatever its method: on views,
    # drawn anew at each step, and normalised by the batch. Else it is CLIP's, of images as they are
    views: bool = False
    special_tokens: bool = False  # may be trigger words, the end token too
    place: str = "front"  # of trigger words: front, woven (between a caption's ids, anew in each)
    pool: int | None = None  # words of a unit, of which each woven caption carries K; None: just K
    word_share: tuple[float, float] = (0.0, 1.0)  # trigger words are in this share of captions
    topics: int = TOPICS  # that are spelled
    drop_last: bool = False  # leave out the incomplete batch of a visit
    trigger_length: int = 3  # words, K
    epsilon: int = 8  # bound of the noise, in levels of 1/255
    noise_steps: int = 8  # of PGD at each visit, S; each moves a pixel by one level
    rounds: int = 20  # R
    trigger_rounds: int = 5  # the first of them, in which triggers are improved
    surrogate_steps: int = 200  # in each round, M
    batch_size: int = 128
    candidates: int = 16  # tried at each position, J
    learning_rate: float = 1e-4  # of the surrogate
    weight_decay: float = 0.2
    precision: str = "float32"

    @property
    def trains(self) -> bool:
        """Whether it needs a surrogate that is trained."""
        return self.text == "optimised" or self.image == "pgd"

    def __post_init__(self) -> None:
        check_choice("text", self.text, ("none", "constant", "random", "optimised"))
        check_choice("image", self.image, ("none", "uniform", "pgd", "spelled"))
        check_choice("body", self.body, ("own", "shuffled", "everywhere", "other", "plain"))
        check_choice("unit", self.unit, ("pair", "image", "group"))
        check_choice("selection", self.selection, ("batch", "sample"))
        check_choice("place", self.place, ("front", "woven"))
        if self.pool is not None:
            check_range("pool", self.pool, self.trigger_length)
            if self.place != "woven" or self.text != "random":
                raise ValueError(f"pool is {self.pool}; allowed with random woven words, else None")
        low, high = self.word_share
        check_range("word_share, from", low, 0, high)
        check_range("word_share, to", high, 0, 1)
        if self.image == "spelled" and self.unit == "group":
            raise ValueError("image is 'spelled'; allowed for the unit 'group': without")
        for name in ("groups", "topics", "noise_steps", "rounds", "surrogate_steps", "candidates"):
            check_range(name, getattr(self, name), 1)
        check_range("epsilon", self.epsilon, 0, 127)
        check_range("trigger_length", self.trigger_length, 0)
        check_range("trigger_rounds", self.trigger_rounds, 0, self.rounds)
        check_range("batch_size", self.batch_size, 2)
        if self.text == "optimised" and self.unit == "group" and self.selection == "sample":
            raise ValueError("selection is 'sample'; allowed for the unit 'group': 'batch'")
        if self.text == "optimised" and self.body == "plain":
            raise ValueError("body is 'plain'; allowed with triggers that are not optimised")
        if self.text == "optimised" and self.maximise:
            raise ValueError("maximise is True; allowed with optimised triggers: False")
