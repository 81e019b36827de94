"""Argument checks whose messages give the wrong value and the allowed ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import torch

T = TypeVar("T")


def check_choice(name: str, value: T, allowed: Iterable[T]) -> T:
    """Return ``value`` if it is one of ``allowed``.

    >>> check_choice("kind", "c", ["a", "b"])
    Traceback (most recent call last):
    ...
    ValueError: kind is 'c'; allowed: 'a', 'b'
    """
    allowed = list(allowed)
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed: {', '.join(map(repr, allowed))}")
    return value


def check_distinct(name: str, values: Iterable[T]) -> None:
    """Raise ``ValueError`` unless all ``values`` differ.

    >>> check_distinct("ids", [3, 1, 3])
    Traceback (most recent call last):
    ...
    ValueError: ids: 3 is there twice
    """
    seen: set[T] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{name}: {value!r} is there twice")
        seen.add(value)


def check_range(
    name: str,
    value: float,
    low: float,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return ``value`` if it lies between ``low`` and ``high`` (ends included unless open).

    >>> check_range("temperature", 0.0, 0.0, open_low=True)
    Traceback (most recent call last):
    ...
    ValueError: temperature is 0.0; allowed: (0.0, inf)
    """
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    if not (above and below):  # also catches nan
        left = "(" if open_low else "["
        right = ")" if open_high or high == math.inf else "]"
        raise ValueError(f"{name} is {value!r}; allowed: {left}{low}, {high}{right}")
    return value


def check_shape(
    name: str, tensor: torch.Tensor | np.ndarray, shape: str, **sizes: int
) -> dict[str, int]:
    """Return the size of each letter of ``shape`` if ``tensor`` has that shape.

    ``shape`` is words separated by blanks: a number is a fixed size; a letter takes any size, the
    one given in ``sizes`` or the one it had earlier in the same shape.

    >>> check_shape("z", torch.zeros(4, 2), "B D", B=3)
    Traceback (most recent call last):
    ...
    ValueError: z has shape (4, 2); expected (B=3, D)
    """
    words = shape.split()
    known = {word: int(word) for word in words if word.isdigit()} | sizes
    good = tensor.ndim == len(words)
    if good:
        for word, size in zip(words, tensor.shape, strict=True):
            good &= known.setdefault(word, size) == size
    if not good:
        wanted = ", ".join(f"{w}={sizes[w]}" if w in sizes else w for w in words)
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected ({wanted})")
    return {word: size for word, size in known.items() if not word.isdigit()}
