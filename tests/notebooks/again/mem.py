"""Chapters on MEM: which pairs are protected and posted, and who is trained on them."""

from copy import deepcopy
from dataclasses import replace

import torch

from mmlib import losses
from mmlib.data import scenes
from mmlib.data.text import SPECIAL
from mmlib.mem import detect, protections, saliency, trigger
from mmlib.mem.hacker import evaluate, vectors
from mmlib.mem.pairs import encode_pairs
from mmlib.mem.settings import Protection
from mmlib.studies.unlearnable import models
from mmlib.studies.unlearnable.pairs import load_pairs
from mmlib.studies.unlearnable.trials import Trials

from .runs import SEED, Values, started


def retrieved(trials: Trials) -> Values:
    for name, hacker in trials.hackers.items():
        for measure, value in hacker.stop.test.items():
            yield f"{measure}.{name}", value


def of_unlearnable() -> Values:
    run = started("unlearnable")
    cfg = run.settings
    chance = torch.Generator().manual_seed(SEED)
    parts = [
        scenes.make(size, cfg.image_size, noise=cfg.pixel_noise, generator=chance)
        for size in (cfg.n_train, cfg.n_test)
    ]
    pairs = encode_pairs(
        *((part.images, part.captions) for part in parts), longest=scenes.LONGEST,
        room=cfg.trigger_length, device=run.device,
    )  # fmt: skip
    budget = {
        name: getattr(cfg, name)
        for name in ("epsilon", "rounds", "trigger_rounds", "surrogate_steps", "noise_steps",
                     "candidates", "batch_size", "weight_decay", "precision", "trigger_length")
    } | {"learning_rate": cfg.surrogate_learning_rate}  # fmt: skip
    trials = Trials(run, pairs, points=cfg.points, from_start=True)
    mem, noise, tokens = (
        trials.protect(Protection(text=text, image=image, body=body, **budget), stream=stream)
        for text, image, body, stream in (
            ("optimised", "pgd", "shuffled", 1), ("none", "pgd", "own", 1),
            ("random", "none", "own", 2),
        )
    )  # fmt: skip
    images, ids = pairs.train
    published = {
        "clean": (images, ids),
        "noise": (noise.images, ids),
        "trigger": (images, mem.captions(ids)),
        "random_tokens": (images, tokens.captions(ids)),
        "mem": (mem.images, mem.captions(ids)),
    }
    for name, posts in published.items():
        trials.hack(name, *posts)
        yield f"final_loss.{name}", trials.hackers[name].history[-1]["loss"]
    yield from retrieved(trials)

    rows = torch.arange(min(cfg.n_train, cfg.batch_size), device=run.device)
    texts = trigger.taken_apart(ids[rows, 0], mem.triggers[rows])
    for hacker, seen in (("clean", images[rows]), ("mem", mem.images[rows])):
        model = trials.hackers[hacker].model
        for name, text in (("published", "as published"), ("no_trigger", "no trigger")):
            sides = vectors(model, 0, seen), vectors(model, 1, texts[text])
            yield f"probe.{name}.{hacker}", losses.match_accuracy(*sides).item()
        by_pixel, _ = saliency.gradient_lengths(model, mem.images[rows], texts["as published"])
        occupied = scenes.occupied(parts[0].layout[rows.cpu()], cfg.image_size).to(run.device)
        yield f"saliency.shape_share.{hacker}", saliency.share_in(occupied, by_pixel)


def of_unlearnable_audit() -> Values:
    run = started("unlearnable_audit")
    cfg, names = run.settings, ("clean", "mem_3", "constant_prefix", "random_tokens")
    pairs = load_pairs(cfg, run.device, longest_trigger=5)
    (images, ids), (test_images, test_ids) = pairs.train, pairs.test
    table, trials = protections.rows(models.budget(cfg), cfg.mode), Trials(run, pairs)
    made = {name: trials.protect(table[name]) for name in names}
    for name, protection in made.items():
        trials.hack(name, *trials.posts(protection))
        if name != "clean":
            areas = detect.seen(pairs, *trials.posts(protection), words=3)
            for part, area in areas.items():
                yield f"seen.{part}.{name}", area

    texts = test_ids.flatten(0, 1)
    drawn = torch.randint(
        len(SPECIAL), len(pairs.tokenizer), (len(texts), 3), generator=run.generator(4),
        device=run.device,
    )  # fmt: skip
    front = dict.fromkeys(names, drawn)
    front["constant_prefix"] = made["constant_prefix"].triggers[0].expand_as(drawn)
    for name, words in front.items():
        given = trigger.prepend(texts, words).view_as(test_ids)
        found = evaluate(trials.hackers[name].model, test_images, given)
        yield f"left_prefixed.{name}", trials.left_by(found, name)

    mem, rows = made["mem_3"], slice(cfg.batch_size)
    own = trigger.taken_apart(ids[rows, 0], mem.triggers[rows])["as published"]
    for probe, seen in (("as_published", mem.images), ("image_without_its_noise", images)):
        for name in ("clean", "mem_3"):
            model = trials.hackers[name].model
            sides = vectors(model, 0, seen[rows]), vectors(model, 1, own)
            yield f"probe.{probe}.{name}", losses.match_accuracy(*sides).item()
    for kind in ("words", "pieces"):
        yield f"survives.{kind}.random_whole_words", 100


def of_unlearnable_sweeps() -> Values:
    run = started("unlearnable_sweeps")
    cfg = run.settings
    pairs = load_pairs(cfg, run.device, longest_trigger=5)
    (images, ids), budget, trials = pairs.train, models.budget(cfg), Trials(run, pairs)
    mem_3 = protections.rows(budget)["mem_3"]
    noise = protections.answers(budget)["spelled_noise"]
    mem = trials.protect(mem_3)
    common = trials.protect(replace(mem_3, word_share=(0.02, 0.25)))
    yield "seen.words.common", detect.seen(pairs, *trials.posts(common), words=3)["caption"]

    rows = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    hidden, others = rows.to(run.device).tensor_split([len(rows) // 4])  # 25 %
    mixed = images.clone(), ids.clone()
    for whole, protected in zip(mixed, trials.posts(mem), strict=True):
        whole[hidden] = protected[hidden]
    early, late = slice(len(images) // 2), slice(len(images) // 2, None)
    published = {
        "clean": (images, ids),
        "words.common": trials.posts(common),
        "share_25.mixed": mixed,
        "share_25.open": (images[others], ids[others]),
        "transfer.usual.patches": trials.posts(trials.protect(mem_3, "patches")),
        "topics_2": trials.posts(trials.protect(replace(noise, topics=2))),
        "finetune.start": (images[early], ids[early]),
    }
    for name, posts in published.items():
        trials.hack(name, *posts)
    gently = replace(models.optim(cfg), learning_rate=0.1 * cfg.learning_rate)
    for name, (x, texts) in (("clean", (images, ids)), ("mem_3", trials.posts(mem))):
        model = deepcopy(trials.hackers["finetune.start"].model)
        trials.hack(f"finetune.{name}", x[late], texts[late], model=model, optim=gently)
    yield from retrieved(trials)


AGAIN = {
    "unlearnable": of_unlearnable, "unlearnable_audit": of_unlearnable_audit,
    "unlearnable_sweeps": of_unlearnable_sweeps,
}  # fmt: skip
