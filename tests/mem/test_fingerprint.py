"""No hacker starts from a surrogate's weights, and all others may."""

import copy
from dataclasses import replace

import pytest
import torch

from mmlib.mem.fingerprint import check_victim
from mmlib.mem.hacker import train_hacker
from mmlib.mem.protect import protect
from mmlib.mem.settings import Protection
from mmlib.train import Optim

OPTIM = Optim(steps=3, learning_rate=1e-3)


def test_the_surrogate_is_no_victim(make_model, make_pairs, small):
    images, ids = make_pairs(8)
    surrogate = make_model()
    start = copy.deepcopy(surrogate)
    g = torch.Generator().manual_seed(0)
    made = protect(surrogate, images, ids, small, generator=g, progress=False)
    none = replace(small, text="random", image="none")  # trains none, so there is none to be
    random = protect(start, images, ids, none, generator=g)
    for victim in (surrogate, start, make_model()):  # trained, untrained, and of the same seed
        with pytest.raises(ValueError, match="has the weights of the surrogate"):
            check_victim(victim, (random, made))
    check_victim(make_model(seed=1), (random, made))
    check_victim(start, (random,))


def test_the_victim_is_not_the_surrogate(make_model, make_pairs):
    images, ids = make_pairs(8)
    settings = Protection(rounds=1, trigger_rounds=1, surrogate_steps=1, batch_size=4, candidates=4)
    surrogate = make_model()
    victim = copy.deepcopy(surrogate)
    g = torch.Generator().manual_seed(0)
    made = protect(surrogate, images, ids, settings, generator=g, progress=False)
    common = {"batch_size": 4, "seed": 0, "generator": g, "made": [made]}
    with pytest.raises(ValueError, match="has the weights of the surrogate"):
        train_hacker(victim, made.images, made.captions(ids), OPTIM, **common)
    history = train_hacker(make_model(seed=1), made.images, made.captions(ids), OPTIM, **common)
    assert history[-1]["step"] == 3
