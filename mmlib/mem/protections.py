"""Protections by name: MEM, its parts and controls, the code's choices, and owners' answers."""

from __future__ import annotations

from dataclasses import replace

from mmlib._checks import check_choice
from mmlib.mem.settings import Protection

# The choices of the released code, and ours in their place. Three slips of it need no switch:
# gradients are cleared once a round, but its loss scaler divides what is left over by 65,536 on a
# GPU; and the surrogate's scale has no upper bound, but 4,000 steps of 1e-4 cannot reach it.
# Its float noise moves in whole levels from zero, so all that an 8-bit image loses of it is what
# lies outside 0 to 255.
MODES = {
    "faithful": {
        "unit": "pair",
        "selection": "batch",
        "special_tokens": True,
        "drop_last": True,
    },
    "corrected": {
        "unit": "image",
        "selection": "sample",
        "special_tokens": False,
        "drop_last": False,
    },
}


def rows(budget: Protection, mode: str = "corrected") -> dict[str, Protection]:
    """The protections that one table compares, as settings of one procedure, in its order.

    ``budget`` gives sizes and schedule, which are MEM's. Error-minimising noise has a quarter of
    its rounds and of its surrogate steps in the released code (``em``), and all of them here too
    (``em_mem_budget``). The error-maximising rows train their surrogate on clean pairs for all of
    the budget's steps and visit each pair once: away from its own caption (``tap``), towards that
    of another pair (``tap_other``), and with one noise for all images (``uap``, like the universal
    adversarial perturbation).

    Raises ``ValueError`` for a ``mode`` that is not one of :data:`MODES`.

    >>> rows(Protection(), "faithful")["mem_5"].trigger_length
    5
    """
    budget = replace(budget, **MODES[check_choice("mode", mode, MODES)])
    noise = replace(budget, text="none", body="own", trigger_rounds=0)
    short = replace(noise, rounds=-(-budget.rounds // 4))
    once = replace(noise, rounds=1, surrogate_steps=budget.rounds * budget.surrogate_steps)
    return {
        "clean": replace(budget, text="none", image="none"),
        "random_noise": replace(budget, text="none", image="uniform"),
        "random_tokens": replace(budget, text="random", image="none"),
        "constant_prefix": replace(budget, text="constant", image="none"),
        "em": replace(short, surrogate_steps=-(-budget.surrogate_steps // 4)),
        "em_mem_budget": noise,
        "em_shuffle": replace(noise, body="shuffled"),
        "tap": replace(once, maximise=True),
        "tap_other": replace(once, body="other"),
        "uap": replace(once, maximise=True, unit="group", groups=1),
        "random_tokens_noise": replace(budget, text="random", trigger_rounds=0),
        "text_only": replace(budget, image="none"),
        "mem_3": replace(budget, trigger_length=3),
        "mem_5": replace(budget, trigger_length=5),
    }


def switched(budget: Protection, mode: str = "corrected") -> dict[str, Protection]:
    """MEM-3 in a mode of :data:`MODES`, each of its choices in turn made as in the other mode.

    >>> made = switched(Protection())
    >>> made["unit"].unit, made["unit"].selection, made["selection"].selection
    ('pair', 'sample', 'batch')
    """
    mem = rows(budget, mode)["mem_3"]
    (other,) = (choices for name, choices in MODES.items() if name != mode)
    return {choice: replace(mem, **{choice: value}) for choice, value in other.items()}


def answers(budget: Protection) -> dict[str, Protection]:
    """Protections of MEM's budget that a hacker cannot undo by dropping a caption's first words.

    Those named ``woven`` weave the three words of an image into each of its captions at places of
    their own. But for ``woven_plain`` their noise is made against captions that are woven anew, and
    another image's, at each step. ``woven`` draws words from all, ``woven_common`` from those in 2
    to 25 % of the captions, which a filter for rare words has to leave; ``woven_optimised`` lets
    HotFlip choose among these; ``woven_words`` leaves the image as it is. ``woven_pool`` gives each
    image six words, of which a caption carries three, so that its captions have less in common.
    ``woven_plain`` makes the noise on the image's own captions without the words, so that neither
    needs the other.

    ``spelled`` has random words in front, and noise that spells what the captions are about, so
    that neither needs the other, nor a network; ``spelled_noise`` leaves the captions as they are.

    >>> made = answers(Protection())
    >>> {made[name].trigger_length for name in made}, {made[name].epsilon for name in made}
    ({3}, {8})
    """
    mem = rows(budget)["mem_3"]
    any_word = replace(mem, place="woven", text="random", trigger_rounds=0)
    common = replace(any_word, word_share=(0.02, 0.25))
    spelled = replace(mem, text="random", image="spelled", trigger_rounds=0)
    return {
        "woven": any_word,
        "woven_common": common,
        "woven_optimised": replace(mem, place="woven", word_share=common.word_share),
        "woven_words": replace(common, image="none"),
        "woven_pool": replace(any_word, pool=6),
        "woven_plain": replace(any_word, body="plain"),
        "spelled": spelled,
        "spelled_noise": replace(spelled, text="none"),
    }
