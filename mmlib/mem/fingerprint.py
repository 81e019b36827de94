"""That the hacker's model is not the owner's: weights are told apart by their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from torch import nn

from mmlib.mem.published import Protected


def check_victim(victim: nn.Module, made: Iterable[Protected]) -> None:
    """Raise ``ValueError`` if ``victim`` has a surrogate's weights, from before or after.

    A protection made on the very model that it is tested on shows nothing about a hacker's.
    """
    surrogates = {known for protection in made for known in protection.surrogate}
    if surrogates and fingerprint(victim) in surrogates:
        raise ValueError("the victim has the weights of the surrogate; start it from others")


def fingerprint(model: nn.Module) -> str:
    """The sha256 of a model's parameters, by name and value.

    >>> a, b = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> fingerprint(a) == fingerprint(a), fingerprint(a) == fingerprint(b)
    (True, False)
    """
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        digest.update(name.encode())
        digest.update(parameter.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
