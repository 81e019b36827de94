"""Chapter 5: which release each model, probe, learner and attacker sees."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mmlib.evaluate import attackers
from mmlib.evaluate.metrics import accuracy
from mmlib.label_dp import canaries, conditions, learning, spending
from mmlib.label_dp.ledger import Ledger
from mmlib.label_dp.mechanisms.swap_images import swap_images
from mmlib.studies.heads import first_stage, fit_informed, score_informed, train_head
from mmlib.studies.image_table import ImageTableStudy

from .runs import SEED, Values, started


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
    swapped = swap_images(
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
        train_head(study, x[name][-1], last[name], "", lambda *point, to=points: to.append(point))
        yield f"downstream: {made[name].title}", points[-1][1]  # where the curve ends

    (own, tested), first = x["none"][0], first_stage(study)

    def likely(seen):
        return fit_informed(study, own[first], seen).logits(own[~first]).double().softmax(dim=1)

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
                score = score_informed(study, features, seen, at)[0]
                what, *at_epsilon = name.partition(".eps")
                metric = "".join([f"learned.{what}.{how}", *at_epsilon])
                found.setdefault(metric, []).append(score)
    yield from ((name, mean(scores)) for name, scores in found.items())
    yield (
        "learned.true",
        score_informed(study, own, one_hot(labels, classes).double(), tested)[0],
    )

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
    planted = canaries.plant_canaries(labels, classes, n // 4, generator=coins)
    changed = torch.cat([planted.labels, private.labels[n:]])
    release = Ledger(changed).release(row.terms, generator=coins)
    chances = believed(study.tune(encoder, release, ""), own[planted.records])
    places = torch.arange(len(chances))
    model = chances[places, planted.planted] - chances[places, planted.decoys]
    released = release.labels[planted.records]
    response = (released == planted.planted).double() - (released == planted.decoys).double()
    for name, margins in (("model", model), ("response", response)):
        yield f"canary.{name}.right", 100 * ((margins > 0) + 0.5 * (margins == 0)).mean().item()
        found = canaries.canary_bound(margins, confidence=0.95)
        yield f"canary.{name}.lower_bound", found.lower_bound


AGAIN = {"image_table": of_image_table}
