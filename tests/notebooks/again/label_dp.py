"""Chapters on label-DP: who draws what from which stream, who knows which noise.

Where coins are one stream, what comes before a number is drawn again, too, in its order.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from mmlib.data.cars import class_counts
from mmlib.evaluate import attackers
from mmlib.evaluate.metrics import accuracy
from mmlib.evaluate.probe import logistic_path
from mmlib.label_dp import accounting, attacks, audit, conditions, learning, mechanisms, spending
from mmlib.label_dp.accounting import noise_for
from mmlib.label_dp.release import Ledger
from mmlib.label_dp.terms import DoubleRR, LabelRR
from mmlib.label_dp.terms_variants import Anchored
from mmlib.label_dp.variants import coupled_rr
from mmlib.studies.image_table import ImageTableStudy
from mmlib.train import EpochSampler, Optim, fit
from mmlib.verdicts.items import items

from .runs import SEED, Values, started


def audited(run: SimpleNamespace, mechanism: Callable, inputs: int, outcomes: int, coins) -> float:
    """What the longest of a chapter's audits finds, after the shorter ones have thrown coins."""
    cfg = run.settings
    for n in sorted({max(1, round(cfg.draws * 10 ** (i / 2))) for i in range(-6, 1)}):
        found = audit.audit(
            mechanism, range(inputs), outcomes, draws=n, confidence=cfg.confidence, generator=coins
        )
    return found.lower_bound


def of_label_dp() -> Values:
    """Of what the first coins decide: the survey, and the audits of three mechanisms."""
    run = started("label_dp")
    cfg, coins = run.settings, run.generator(1)
    classes, images = cfg.world_classes, cfg.world_images
    share = torch.arange(classes, 0, -1, device=run.device).double()
    share /= share.sum()
    people = torch.multinomial(share, cfg.answers, replacement=True, generator=run.generator())
    answers = mechanisms.randomized_response(people, 0.8, classes, generator=coins)
    yield "survey.kept", accuracy(answers, people)
    true, seen = (x.bincount(minlength=classes).double() / len(x) for x in (people, answers))
    # 0.2 of the people answer as they are, the others as it comes.
    yield "survey.error", 100 * ((seen - 0.8 / classes) / 0.2 - true).abs().max().item()

    labels = torch.arange(classes, device=run.device).repeat_interleave(images)
    mechanisms.double_rr(labels, 0.8, classes, generator=coins)  # the table of a few records

    def image_of(label, n, generator):
        return label * images + torch.randint(
            images, (n,), device=run.device, generator=generator
        )  # fmt: skip

    def two_coins(noise: float) -> Callable:
        def mechanism(label, n, generator):
            answer, shown = mechanisms.double_rr(
                labels, noise, classes, include_self=True, generator=generator,
                records=image_of(label, n, generator),
            )  # fmt: skip
            return answer * len(labels) + shown

        return mechanism

    right = noise_for(cfg.claim, classes, responses=2)

    def one_coin(label, n, generator):
        falls = torch.rand(n, device=run.device, generator=generator) < right
        drawn = [
            torch.randint(classes, (n,), device=run.device, generator=generator) for _ in range(2)
        ]
        other, own = (image_of(y, n, generator) for y in (drawn[1], label))
        return torch.where(falls, drawn[0] * len(labels) + other, label * len(labels) + own)

    for name, mechanism in (
        ("double_rr", two_coins(right)), ("one_log", two_coins(noise_for(cfg.claim, classes))),
        ("single_coin", one_coin),
    ):  # fmt: skip
        found = audited(run, mechanism, classes, classes * len(labels), coins)
        yield f"audit.{name}.lower_bound", found


def of_image_table() -> Values:
    run = started("image_table")
    cfg, draws = run.settings, range(run.settings.noise_draws)
    study = ImageTableStudy(cfg, run.generator)
    labels, classes, test = study.private.labels, study.classes, study.test
    made = conditions.conditions(
        classes, cfg.epsilon, epsilons=cfg.epsilons, neighbours=cfg.neighbours,
        more_neighbours=cfg.more_neighbours, grid=True,
    )  # fmt: skip
    released = {
        name: [study.release(made[name], draw) for draw in draws]
        for name in ("label_rr", "double_rr", "one_log.eps2")
    }
    last = {name: releases[-1] for name, releases in released.items()} | {"none": None}
    yield "attack.released_label", accuracy(released["double_rr"][0].labels, labels)

    def mean(values: Iterable[float]) -> float:
        values = list(values)
        return sum(values) / len(values)

    plain = study.pretrain(study.seen(), "")
    models = {"none": [plain] * len(draws), "label_rr": [plain] * len(draws)}  # labels alone
    for name in ("double_rr", "one_log.eps2"):
        models[name] = [study.pretrain(study.seen(r), "") for r in released[name]]
    x = {name: [study.embedded(model) for model in every] for name, every in models.items()}
    start = study.embedded(study.untrained())
    for name in ("none", "double_rr"):
        scores = [study.matching(model, test.images, test.table) for model in models[name]]
        yield f"matching.{name}", mean(scores)
        yield f"downstream_clean.{name}", mean(study.probe(seen)[0] for seen in x[name])
    swapped = mechanisms.swap_images(
        test.labels, made["double_rr"].noise_image, classes, generator=run.generator(200)
    )
    noised = study.matching(models["double_rr"][-1], test.images[swapped], test.table)
    yield "matching_noised.double_rr", noised

    def probed(name: str, features, releases) -> Values:
        scores = [study.probe(*pair) for pair in zip(features, releases, strict=True)]
        yield f"downstream.{name}", mean(micro for micro, _ in scores)
        yield f"downstream_macro.{name}", mean(macro for _, macro in scores)

    yield from probed("none", x["none"][:1], [None])
    yield from probed("untrained", [start], [None])
    yield from probed("untrained_double_rr", [start] * len(draws), released["double_rr"])
    for name, releases in released.items():
        yield from probed(name, x[name], releases)
    for name, release in (("laaf", None), ("laaf_double_rr", last["double_rr"])):
        model = study.pretrain(study.seen(release), "", label_too=True)
        yield from probed(name, [study.embedded(model)], [release])
    alone = study.embedded(study.pretrain_alone("byol", ""))
    yield from probed("byol", [alone], [None])
    yield from probed("byol_label_rr", [alone] * len(draws), released["label_rr"])

    def told(name: str, draw: int) -> Tensor:
        noise = made[name].noise_label, made[name].noise_image
        return learning.shown_likelihood(released[name][draw].labels, *noise, classes)

    encoders = {name: every[-1].encoders[0] for name, every in models.items()}
    for name, pairs, labelled in (
        ("none", "none", "none"), ("label_rr", "none", "label_rr"),
        ("double_rr", "double_rr", "double_rr"), ("double_rr_clean", "double_rr", "none"),
    ):  # fmt: skip
        result = study.tune(encoders[pairs], last[labelled], "", trainable=False)
        yield f"frozen.{name}", result.accuracy
    tuned = {
        name: study.tune(encoders[name], last[name], "")
        for name in ("none", "label_rr", "double_rr")
    }
    for name in ("label_rr", "double_rr"):
        likelihood = told(name, -1)
        result = study.tune(encoders[name], last[name], "", likelihood=likelihood)
        tuned[f"{name}_known"] = result
    for name, result in tuned.items():
        yield f"tuned.{name}", result.accuracy
    asked = {name: tuned[name] for name in ("none", "label_rr", "double_rr_known")}
    responses = {name: last[name] for name in ("label_rr", "double_rr")}
    yield from of_asked(run, study, made, encoders["none"], asked, responses)
    for name in ("none", "label_rr", "double_rr"):
        points = []
        study.head(x[name][-1], last[name], "", lambda *point, to=points: to.append(point))
        yield f"downstream: {made[name].title}", points[-1][1]  # where the curve ends

    (own, tested), first = x["none"][0], study.first_stage()

    def likely(seen):
        return study.informed(own[first], seen).logits(own[~first]).double().softmax(dim=1)

    def learned(draw: int) -> Iterator[tuple[str, Tensor, Tensor, Tensor, Tensor]]:
        """What is called so, images' features, labels beside them, likelihoods, tests' features."""
        for name, releases in released.items():
            features, at = x[name][draw]
            release = releases[draw]
            yield name, release.shown(features), release.labels, told(name, draw), at
        coins = run.generator(400 + draw)
        staged = spending.two_stages(
            labels, classes, cfg.epsilon, first=first, predict=likely, generator=coins
        )
        yield "two_stage", own, *staged, tested
        coins = run.generator(500 + draw)
        largest = spending.laplace(labels, classes, cfg.epsilon, generator=coins)
        yield "laplace", own, *largest, tested

    found = {}
    for draw in draws:
        for name, features, answers, likelihood, at in learned(draw):
            for how, seen in (("as_is", one_hot(answers, classes).double()), ("known", likelihood)):
                score = study.learn(features, seen, at)[0]
                what, *at_epsilon = name.partition(".eps")
                metric = "".join([f"learned.{what}.{how}", *at_epsilon])
                found.setdefault(metric, []).append(score)
    yield from ((name, mean(scores)) for name, scores in found.items())
    yield "learned.true", study.learn(own, one_hot(labels, classes).double(), tested)[0]

    schema, (own, tested) = study.dataset.schema, start
    three = attackers.Attackers(
        attackers.shares(test.labels, classes),
        attackers.by_features(tested, test.labels, own, classes),
        attackers.by_rows(
            test.table, test.labels, study.private.table, schema, classes,
            columns=range(schema.n_columns), seed=SEED,
        ),
    )  # fmt: skip
    for name in ("label_rr", "double_rr"):
        for who, (guess, blind) in three.guesses(made[name], last[name]).items():
            gain = accuracy(guess, labels) - accuracy(blind, labels)
            yield f"advantage.{name}.{who}", gain


def of_asked(run, study, made, encoder, tuned, responses) -> Values:
    """What models and labels tell of training records, against a network of an attacker's own."""
    classes, private, n = study.classes, study.private, study.n
    own, labels = private.images[:n], private.labels[:n]

    def believed(result, images):
        with torch.no_grad():
            return result.classifier(study.resize(images, None)).double().softmax(1)

    outsider = believed(study.of_others().tune(encoder, None, ""), own)
    blind = accuracy(outsider.argmax(1), labels)
    yield "attack.outsider", blind
    for name, result in tuned.items():
        right = accuracy(believed(result, own).argmax(1), labels)
        yield f"advantage.model.{name}", right - blind
    for name, release in responses.items():  # Bayes' rule: noise of any class, the rest of the own
        noise = made[name].noise_label
        law = (1 - noise) * one_hot(release.labels[:n], classes) + noise / classes
        guess = (outsider * law).argmax(1)
        yield f"advantage.response.{name}", accuracy(guess, labels) - blind

    row, coins = made["label_rr"], run.generator(311)
    planted = attacks.plant_canaries(labels, classes, n // 4, generator=coins)
    changed = torch.cat([planted.labels, private.labels[n:]])
    release = Ledger(changed).release(row.terms, generator=coins)
    chances = believed(study.tune(encoder, release, ""), own[planted.records])
    places = torch.arange(len(chances))
    model = chances[places, planted.planted] - chances[places, planted.decoys]
    released = release.labels[planted.records]
    response = (released == planted.planted).double() - (released == planted.decoys).double()
    for name, margins in (("model", model), ("response", response)):
        yield f"canary.{name}.right", 100 * ((margins > 0) + 0.5 * (margins == 0)).mean().item()
        found = attacks.canary_bound(margins, confidence=0.95)
        yield f"canary.{name}.lower_bound", found.lower_bound


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
            shown = mechanisms.swap_images(
                sides, 0.5, 2, features=line, neighbours=1, floor=floor,
                include_self=True, records=any_of(label, n, generator), generator=generator,
            )  # fmt: skip
            own = torch.full((n,), label, device=run.device)
            return 8 * mechanisms.randomized_response(own, 0.5, 2, generator=generator) + shown

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
        model = linear(run, x[:n][first], told.float(), learning.forward_loss, classes)
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
            yield f"spent.{known}.eps{e:g}.score", score(told.float(), learning.forward_loss)
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
        mechanisms.randomized_response(y, noise, classes, generator=coins)
        for noise in (once, twice, twice)
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

    planted = attacks.plant_canaries(y, classes, cfg.people // 2, generator=make)
    told = mechanisms.randomized_response(planted.labels, once, classes, generator=coins)
    for name, labels in (("model", told), ("linear", planted.labels)):
        model = logistic_path(image.double(), labels, [1.0], classes=classes)[0]
        chances = model.logits(image[planted.records].double()).softmax(1)
        found = attacks.canary_bound(planted.margins(chances), confidence=cfg.confidence)
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
            law = learning.shown_law(noise, noise, shares)
            return learning.group_posterior(y[source], labels, law, shares)
        wrong = 0.3 if who == "misread" else 0.0
        rows = mechanisms.randomized_response(y, wrong, classes, generator=reading)
        return learning.linked_posterior(y[source], rows, labels, noise, wrong, shares)

    def oracles(noise, *every):
        releases, scores = [released(noise) for _ in range(8)], dict.fromkeys(every, 0.0)
        for who in every:
            for labels, source in releases:
                chances = chances_of(who, noise, labels, source)
                names = chances.argmax(1)
                if who == "hints":
                    names = learning.names_given_once(
                        chances, y[source].bincount(minlength=classes),
                        (1 - noise) * counts + noise * cfg.rows / classes, shares,
                    )  # fmt: skip
                scores[who] += learning.oracle_accuracy(names, shares) / 8
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
        likely = learning.shown_law(noise, noise, shares).T[labels].float()
        yield f"cars.{name}.as_is", score(x[source], labels, cross_entropy)
        yield f"cars.{name}.known", score(x[source], likely, learning.forward_loss)
        for who, value in oracles(noise, "ceiling", "hints", "rows", "misread").items():
            yield f"cars.{name}.{who}", value


AGAIN = {
    "label_dp": of_label_dp, "image_table": of_image_table, "label_dp_audit": of_label_dp_audit,
}  # fmt: skip
