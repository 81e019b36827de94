"""Captions of scenes: true sentences of seven forms, in words that chance picks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

FORMS = 7  # of sentences
_SYNONYMS = {  # what has more than one word for it, or another than its name
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "cross": ("cross", "plus"),
    "ring": ("ring", "hoop"),
    "bar": ("bar", "stripe"),
    "red": ("red", "scarlet"),
    "purple": ("purple", "violet"),
    "cyan": ("cyan", "turquoise"),
    "small": ("small", "little", "tiny"),
    "large": ("large", "big", "huge"),
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under", "beneath"),
}


class Thing(NamedTuple):
    """A shape of a scene in words, and its place in the grid of 3 x 3 cells."""

    shape: str
    color: str
    size: str
    row: int
    column: int


def caption(form: int, things: list[Thing], ground: str, numbers: list[int], longest: int) -> str:
    """The caption that ``numbers``, the choices in turn, make of a scene, in one of the forms.

    A caption of more than ``longest`` words loses details: sizes first, then colours.

    >>> things = [Thing("ring", "red", "small", 0, 0), Thing("bar", "blue", "large", 2, 2)]
    >>> caption(4, things, "grey", [0] * 32, longest=15)
    'one of two shapes is a ring'
    """
    left = iter(numbers)

    def pick(options: Sequence) -> Any:
        return options[next(left) % len(options)]

    first = pick(range(len(things)))
    things = (things[first:] + things[:first])[:: pick((1, -1))]
    words = [[pick(_SYNONYMS.get(name, (name,))) for name in thing[:3]] for thing in things]
    told = [pick((1, 2, 2, 3, 3, 3)) for _ in things]  # the shape; its colour too; its size too
    ground = f"on a {ground} {pick(('background', 'backdrop'))}"
    sentence = _sentences(things, pick)[form]
    if "{ground}" not in sentence:
        sentence += pick(("", " {ground}"))
    while True:  # leave out details until the caption is short enough
        nouns = [_noun(w[:k]) for w, k in zip(words, told, strict=True)]
        written = sentence.format(*nouns, ground=ground)
        if len(written.split()) <= longest:
            return written
        told[told.index(max(told))] -= 1


def _sentences(things: list[Thing], pick: Callable[[Sequence], Any]) -> tuple[str, ...]:
    """True sentences of each form, with {0}, {1}, {2} for the nouns."""
    a, b = things[:2]
    where = ["left"] * (a.column < b.column) + ["right"] * (a.column > b.column)
    where = pick(where + ["above"] * (a.row < b.row) + ["below"] * (a.row > b.row))
    relation = f"{{0}} {pick(_SYNONYMS[where])} {{1}}"
    beside = f"to its {where}" if where in ("left", "right") else f"{where} it"
    return (
        relation,
        f"{pick(('there is', 'here is'))} {relation}",
        f"{{1}} with {{0}} {beside}",
        f"{{0}} {_place(a, pick)} and {{1}} {_place(b, pick)}",
        f"one of {('two', 'three')[len(things) - 2]} {pick(('shapes', 'objects'))} is {{0}}",
        "{ground} {0} and {1}",
        "a picture of " + " and ".join(("{0}", "{1}", "{2}")[: len(things)]),
    )


def _place(thing: Thing, pick: Callable[[Sequence], Any]) -> str:
    rows, columns = ("at the top", "", "at the bottom"), ("on the left", "", "on the right")
    return pick([p for p in (rows[thing.row], columns[thing.column]) if p] or ["in the middle"])


def _noun(words: list[str]) -> str:
    """``["circle", "orange"]`` -> ``"an orange circle"``."""
    return " ".join(["an" if words[-1][0] in "aeiou" else "a", *reversed(words)])
