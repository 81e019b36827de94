"""Chapter 10: who draws what from which stream, who knows which noise.

Where coins are one stream, what comes before a number is drawn again, too, in its order.
"""

import math
from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from mmlib.data.cars import class_counts
from mmlib.evaluate.metrics import accuracy
from mmlib.evaluate.probe import logistic_path
from mmlib.label_dp import accounting, attacks, canaries, groups, spending
from mmlib.label_dp.accounting import noise_for
from mmlib.label_dp.learning import forward_loss, shown_law
from mmlib.label_dp.ledger import Ledger
from mmlib.label_dp.mechanisms.anchored import Anchored
from mmlib.label_dp.mechanisms.coupled_rr import coupled_rr
from mmlib.label_dp.mechanisms.double_rr import DoubleRR
from mmlib.label_dp.mechanisms.randomized_response import LabelRR, randomized_response
from mmlib.label_dp.mechanisms.swap_images import swap_images
from mmlib.train import EpochSampler, Optim, fit
from mmlib.verdicts.items import items

from .label_dp import audited
from .runs import SEED, Values, started


def of_label_dp_audit() -> Values:
    run = started("label_dp_audit")
    coins = run.generator(1)  # one stream, in the chapter's order
    yield from of_repairs(run, coins)
    yield from of_spent(run, coins)
    ledger = Ledger(torch.randint(4, (1000,), device=run.device, generator=run.generator(4)))
    for again in (False, True):
        terms = LabelRR(n_classes=4, noise=noise_for(run.settings.claim, 4))
        ledger.release(terms, generator=coins, again=again)
    yield from of_attacked(run, coins)
    yield from of_cars(run)


def of_repairs(run: SimpleNamespace, coins: torch.Generator) -> Values:
    """Audits of two classes of four images each on a line."""
    line = torch.tensor([0.0, 1, 2, 3, 10, 11, 12, 13], device=run.device)[:, None]
    sides = torch.arange(2, device=run.device).repeat_interleave(4)

    def any_of(label, n, generator):
        return label * 4 + torch.randint(4, (n,), device=run.device, generator=generator)

    def near(floor):
        def mechanism(label, n, generator):
            shown = swap_images(
                sides, 0.5, 2, features=line, neighbours=1, floor=floor,
                include_self=True, records=any_of(label, n, generator), generator=generator,
            )  # fmt: skip
            own = torch.full((n,), label, device=run.device)
            return 8 * randomized_response(own, 0.5, 2, generator=generator) + shown

        return mechanism

    def anchored(label, n, generator):
        answer, shown = Anchored(n_classes=2, noise=0.5, neighbours=2).draw(
            torch.full((n,), label, device=run.device), generator, anchors=line[[0, 4]],
            pool_labels=sides, pool_features=line,
        )  # fmt: skip
        return 8 * answer + shown - n

    def coupled(label, n, generator):
        answer, shown = coupled_rr(
            sides, 0.5, 2, include_self=True, records=any_of(label, n, generator),
            generator=generator,
        )  # fmt: skip
        return 8 * answer + shown

    def coupled_known(label, n, generator):
        labels, first = sides.clone(), torch.zeros(n, dtype=torch.long, device=run.device)
        labels[0] = label
        answer, shown = coupled_rr(labels, 0.5, 2, records=first, generator=generator)
        return 8 * answer + shown

    for name, mechanism in (
        ("floor_2", near(0.2)), ("floor_5", near(0.5)), ("anchor", anchored), ("coupled", coupled),
        ("none", near(0.0)), ("coupled_known", coupled_known),
    ):  # fmt: skip
        yield f"repair.{name}.lower_bound", audited(run, mechanism, 2, 16, coins)


def linear(run, x: Tensor, told: Tensor, loss: Callable, classes: int, **optim) -> nn.Module:
    """A linear model as chapter 10 trains it."""
    torch.manual_seed(SEED)
    model = nn.Linear(x.shape[1], classes).to(run.device)
    optim = {"steps": run.settings.learner_steps, "learning_rate": 0.03, **optim}
    fit(
        model, lambda batch, g: loss(model(x[batch]), told[batch]),
        Optim(weight_decay=0.0, optimizer="adam", **optim),
        EpochSampler(len(x), min(1_000, len(x) // 2), seed=SEED, device=run.device),
        generator=run.generator(3), progress=False,
    )  # fmt: skip
    return model.eval().requires_grad_(False)


def of_spent(run: SimpleNamespace, coins: torch.Generator) -> Values:
    cfg, make = run.settings, run.generator(2)
    classes, n = cfg.many_classes, cfg.learners
    share = 1 / torch.arange(1, classes + 1, device=run.device).double()
    share /= share.sum()
    centres = 1.5 * torch.randn(classes, 8, device=run.device, generator=make)
    y = torch.multinomial(share, n + 2_000, replacement=True, generator=make)
    x = centres[y] + torch.randn(len(y), 8, device=run.device, generator=make)
    first = torch.arange(n, device=run.device) < n // 2

    def score(told, loss):
        return accuracy(linear(run, x[:n], told, loss, classes)(x[n:]).argmax(1), y[n:])

    def likely(told):
        model = linear(run, x[:n][first], told.float(), forward_loss, classes)
        return model(x[:n][~first]).softmax(1)

    yield "spent.clean.score", score(y[:n], cross_entropy)
    for e in sorted({0.5, 1.0, 2.0, 3.0, 4.0, cfg.epsilon}):
        of, own = (classes, e), {"generator": coins}
        drawn = {
            "alibi": spending.laplace(y[:n], *of, **own),
            "two_stage": spending.two_stages(y[:n], *of, first=first, predict=likely, **own),
            "prior": spending.respond_with_prior(y[:n], *of, prior=share, **own),
            "plain": spending.respond(y[:n], *of, **own),
        }
        for way, (released, told) in drawn.items():
            known = {"alibi": "alibi", "plain": "known"}.get(way, f"{way}_known")
            yield f"spent.{known}.eps{e:g}.score", score(told.float(), forward_loss)
            yield f"spent.{known}.eps{e:g}.right", accuracy(released, y[:n])
            if way != "alibi":
                yield f"spent.{way}.eps{e:g}.score", score(released, cross_entropy)


def of_attacked(run: SimpleNamespace, coins: torch.Generator) -> Values:
    cfg, make, classes = run.settings, run.generator(3), 10
    image_at, row_at = (
        1.4 * torch.randn(classes, 4, device=run.device, generator=make) for _ in range(2)
    )

    def drawn(n):
        return torch.randint(classes, (n,), device=run.device, generator=make)

    def around(places, y):
        return places[y] + torch.randn(len(y), 4, device=run.device, generator=make)

    def told_by(images):
        return (-torch.cdist(images, image_at).square().double() / 2).softmax(1)

    y = drawn(cfg.people)
    image, row = around(image_at, y), around(row_at, y)
    known_y = drawn(cfg.people // 4)
    by_row = attacks.table_posterior(around(row_at, known_y), known_y, row, classes, seed=SEED)
    once, twice = (noise_for(cfg.claim, classes, responses=k) for k in (1, 2))
    answer, first, second = (
        randomized_response(y, noise, classes, generator=coins) for noise in (once, twice, twice)
    )
    swapped = told_by(around(image_at, second))
    of_both, source = coupled_rr(y, once, classes, generator=coins)
    model = logistic_path(image.double(), answer, [1.0], classes=classes)[0]

    # By Bayes' rule, written out: (1 - noise) of the own class, and noise of any.
    def likelihood(released, noise):
        return (1 - noise) * one_hot(released, classes).double() + noise / classes

    through = (1 - twice) * swapped + twice / classes
    nobody, by_image = torch.zeros_like(y), told_by(image).argmax(1)
    guesses = {
        "label": (answer, nobody),
        "label_image": ((told_by(image) * likelihood(answer, once)).argmax(1), by_image),
        "model": (model.logits(image.double()).argmax(1), by_image),
        "double": ((through * likelihood(first, twice)).argmax(1), nobody),
        "double_table": ((by_row * through * likelihood(first, twice)).argmax(1), nobody),
        "table": (by_row.argmax(1), nobody),
        "coupled": (
            torch.where((image[source] == image).all(1), of_both, by_image), by_image,
        ),
    }  # fmt: skip
    for name, (guess, blind) in guesses.items():
        right = accuracy(guess, y) - accuracy(blind, y)
        yield f"attack.{name}.advantage", right / 100

    planted = canaries.plant_canaries(y, classes, cfg.people // 2, generator=make)
    told = randomized_response(planted.labels, once, classes, generator=coins)
    for name, labels in (("model", told), ("linear", planted.labels)):
        model = logistic_path(image.double(), labels, [1.0], classes=classes)[0]
        chances = model.logits(image[planted.records].double()).softmax(1)
        found = canaries.canary_bound(planted.margins(chances), confidence=cfg.confidence)
        yield f"canary.{name}.right", 100 * found.right / found.guesses
    told = told[planted.records]
    hits, misses = ((told == x).sum().item() for x in (planted.planted, planted.decoys))
    yield "canary.label.right", 100 * hits / (hits + misses)


def of_cars(run: SimpleNamespace) -> Values:
    cfg, make = run.settings, run.generator(5)
    coins, reading = run.generator(6), run.generator(7)
    classes, paper = cfg.n_classes, items()["labeldp-table1"].values["downstream.double_rr"]
    counts = class_counts(cfg.rows, classes).to(run.device)
    shares = counts.double() / cfg.rows
    y = torch.arange(classes, device=run.device).repeat_interleave(counts)
    y_test = torch.multinomial(shares, 20_000, replacement=True, generator=make)
    places = cfg.apart * torch.randn(classes, cfg.features, device=run.device, generator=make)
    x, x_test = (
        places[k] + torch.randn(len(k), cfg.features, device=run.device, generator=make)
        for k in (y, y_test)
    )

    def released(noise):
        terms = DoubleRR(n_classes=classes, noise_label=noise, noise_image=noise, pools="records")
        return terms.draw(y, coins)

    def chances_of(who, noise, labels, source):
        """Of names of groups of images, by who reads no row, or all, or seven in ten of them."""
        if who in ("ceiling", "hints"):
            law = shown_law(noise, noise, shares)
            return groups.group_posterior(y[source], labels, law, shares)
        wrong = 0.3 if who == "misread" else 0.0
        rows = randomized_response(y, wrong, classes, generator=reading)
        return groups.linked_posterior(y[source], rows, labels, noise, wrong, shares)

    def oracles(noise, *every):
        releases, scores = [released(noise) for _ in range(8)], dict.fromkeys(every, 0.0)
        for who in every:
            for labels, source in releases:
                chances = chances_of(who, noise, labels, source)
                names = chances.argmax(1)
                if who == "hints":
                    names = groups.names_given_once(
                        chances, y[source].bincount(minlength=classes),
                        (1 - noise) * counts + noise * cfg.rows / classes, shares,
                    )  # fmt: skip
                scores[who] += groups.oracle_accuracy(names, shares) / 8
        return scores

    needed = []
    for e in [cfg.epsilon * i / 10 for i in (*range(5, 21), 25, 30)]:
        found = oracles(noise_for(e, classes, responses=2), "ceiling", "rows")
        needed += [e] * (found["ceiling"] >= paper)
    yield "cars.needed", min(needed, default=math.nan)

    recipe = {"steps": cfg.rows_steps, "learning_rate": 0.01, "schedule": "cosine"}

    def score(images, told, loss):
        model = linear(run, images, told, loss, classes, **recipe)
        return accuracy(model(x_test).argmax(1), y_test)

    yield "cars.clean", score(x, y, cross_entropy)
    for name in ("two_logs", "order_2", "one_log"):
        noise = accounting.readings(cfg.epsilon, classes)[name]
        labels, source = released(noise)
        likely = shown_law(noise, noise, shares).T[labels].float()
        yield f"cars.{name}.as_is", score(x[source], labels, cross_entropy)
        yield f"cars.{name}.known", score(x[source], likely, forward_loss)
        for who, value in oracles(noise, "ceiling", "hints", "rows", "misread").items():
            yield f"cars.{name}.{who}", value


AGAIN = {"label_dp_audit": of_label_dp_audit}
