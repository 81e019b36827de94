"""What metrics of a chapter's smoke run have to be, computed again by the library alone.

A chapter's cells decide what a number is of: which pairs, labels, noise, network or part. Here
that is said once more, for rows in which a slip of either would show.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import torch
from sklearn.metrics import precision_score
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from mmlib import losses, records, sets
from mmlib.augment.transform import as_it_is
from mmlib.data import scenes, trifeature
from mmlib.data.text import SPECIAL
from mmlib.device import pick_device
from mmlib.evaluate import attackers
from mmlib.evaluate.features import codes
from mmlib.evaluate.metrics import accuracy
from mmlib.evaluate.probe import PROBES
from mmlib.image_table_study import ImageTableStudy
from mmlib.information import mutual_information, uniform_over
from mmlib.label_dp import attacks, conditions, learning, mechanisms, spending
from mmlib.label_dp.release import Ledger
from mmlib.mem import detect, saliency, study, trigger
from mmlib.mem import settings as mem_settings
from mmlib.mem.hacker import evaluate, vectors
from mmlib.mem.settings import Protection
from mmlib.mem.trials import Trials
from mmlib.methods.clip import DualEncoder
from mmlib.methods.supervised import fine_tuned
from mmlib.modality_study import ModalityStudy
from mmlib.pair_study import PairStudy, halves_multiplied, products, similarity_of_halves
from mmlib.presets.base import resolve
from mmlib.presets.comm_ablation import VIEWS
from mmlib.train import EpochSampler, Optim, fit

SEED = 1
# Beside preset and seed: other steps on free pairs than the preset has on biased ones; and hackers
# who learn enough to tell what they were given.
PARAMETERS = {
    "comm": {"steps": 3},
    "comm_ablation": {"steps": 3},
    "unlearnable_audit": {
        "steps": 40,
        "learning_rate": 5e-3,
        "pixel_noise": 0.1,
        "n_train": 64,
        "n_test": 60,
    },
    "unlearnable_sweeps": {  # every answer meets every defence: so some of these alone
        "steps": 20,
        "defences": ["first", "shared", "views", "unspelled", "both"],
    },
}
Values = Iterator[tuple[str, float]]  # name of a metric, and what it has to be


def started(chapter: str, **changes) -> SimpleNamespace:
    """As much of a run as studies ask for."""
    given = {"preset": "smoke", "seed": SEED, **PARAMETERS.get(chapter, {}), **changes}
    run = SimpleNamespace(
        settings=resolve(chapter, given), seed=SEED, device=pick_device(),
        metric=lambda *_: None, curve=lambda *_, **__: None,
        once=lambda part, work, *arguments, **keywords: work(*arguments, **keywords),
    )  # fmt: skip
    run.generator = lambda k=0: records.Run.generator(run, k)
    return run


class Trained:
    """Models of image pairs, and what probes say of their embeddings."""

    def __init__(self, chapter: str, **validation: float):
        self.run = started(chapter)
        self.study = PairStudy(self.run.settings, self.run.device, **validation)

    def model(self, method: str, biased: bool | None, steps: int = 0, crop_low=None, **changes):
        """A method's, trained on biased or on free pairs, or not at all."""
        cfg = self.run.settings
        cfg = cfg if crop_low is None else cfg.model_copy(update={"crop_low": crop_low})
        model = self.study.untrained(method, cfg=cfg, **changes)
        if biased is not None:
            self.study.train(
                model, steps, biased=biased, labelled=method == "supcon", name=method,
                generator=self.run.generator(1),
            )  # fmt: skip
        return model

    def features(self, *arguments, **changes):
        return self.study.features(self.model(*arguments, **changes))

    def probed(self, features, *tasks, **options):
        """What probes say of the pairs of every split."""
        chance = self.run.generator(6)
        return self.study.probe(features, tasks, generator=chance, **options)

    def synergy(self, name: str, features, form="synergy{}.{}") -> Values:
        """Both scores for S of the test pairs."""
        answers = self.probed(features, "S")["test"]
        for end in ("", "_auc"):
            yield form.format(end, name), answers.score(f"synergy{end}")


def of_comm() -> Values:
    it = Trained("comm")
    study, cfg = it.study, it.run.settings
    start = it.features("comm", None)
    models = {
        (method, biased): it.model(method, biased, cfg.synergy_steps if biased else cfg.steps)
        for method in ("cross", "comm", "supcon")
        for biased in (False, True)
    }
    found = {key: study.features(model) for key, model in models.items()}
    for method in ("untrained", "cross", "comm", "supcon"):
        free, follow = (found.get((method, biased), start) for biased in (False, True))
        answers = it.probed(free, "R", "U2")["test"]
        for part in ("redundancy", "uniqueness2"):
            yield f"{part}.{method}", answers.score(part)
        yield from it.synergy(method, follow)
    yield from it.synergy("comm", found["comm", False], "synergy_free{}.{}")
    multiplied = halves_multiplied(found["cross", True])
    yield from it.synergy("cross", multiplied, "synergy_products{}.{}")
    known = {split: study.oracle(split) for split in study.images}
    together = {split: torch.cat(pair, dim=1) for split, pair in known.items()}
    yield from it.synergy("side_by_side", together, "oracle{}.{}")
    multiplied = {split: products(*pair) for split, pair in known.items()}
    yield from it.synergy("product", multiplied, "oracle{}.{}")

    # The same models, scored in other ways. A world of one rendering has the first images alone.
    single = trifeature.load(**cfg.world() | {"renderings": (cfg.train_renderings, 1)})
    few = single.pairs("test", None, biased=False, seed=trifeature.SEED)
    for biased, task, part in ((False, "R", "redundancy"), (True, "S", "synergy_auc")):
        model, own = models["comm", biased], found["comm", biased]
        cropped = {
            split: study.embed(model, split, crops=it.run.generator(5)) for split in study.images
        }
        changed = {
            "crops": it.probed(cropped, task),
            "penalty": it.probed(own, task, **PROBES["unsquared"]),
            "one_rendering": it.probed(
                own | {"test": study.embed(model, "test", pairs=few)}, task,
                pairs=study.probe_pairs | {"test": few},
            ),
        }  # fmt: skip
        before = it.probed(own, task)["test"].score(part)
        for name, answers in changed.items():
            yield f"protocol.{name}.{part}", answers["test"].score(part) - before


def of_comm_audit() -> Values:
    it = Trained("comm_audit")
    study, steps = it.study, it.run.settings.synergy_steps
    features = {
        "untrained": it.features("comm", None),
        "comm_free": it.features("comm", False, steps),
        **{method: it.features(method, True, steps)
           for method in ("cross_self", "factorcl", "cross_self_fused", "comm")},
    }  # fmt: skip
    known = {split: study.oracle(split) for split in study.images}
    controls = {
        "oracle_side_by_side": {split: torch.cat(pair, dim=1) for split, pair in known.items()},
        "oracle_product": {split: products(*pair) for split, pair in known.items()},
        **{f"{m}_product": halves_multiplied(features[m]) for m in ("cross_self", "factorcl")},
    }
    for name, row in (features | controls).items():
        yield from it.synergy(name, row)
    answers = it.probed(features["comm"], "S")["test"]
    truth, guess = answers.pairs.labels["S"], answers.logits["S"].argmax(1)
    swapped = precision_score(truth, guess, average="macro", zero_division=0)
    yield "precision.comm", 100 * swapped
    for by in ("combination", "image", "pair"):
        drawn = {"repeats": it.run.settings.resamples, "seed": SEED + 2, "by": by}
        yield f"synergy_auc.comm.{by}_low", answers.interval("synergy_auc", **drawn).low
    other = study.following(study.world.mapping.roll(1))
    for name in ("untrained", "comm_free", "comm"):  # fitted on that map as well
        told = it.probed(features[name], "S", pairs=other)["test"]
        yield f"other_map.{name}", told.score("synergy")
        yield f"other_map_auc.{name}", told.score("synergy_auc")
    for name in ("untrained", "comm_free"):
        told = it.probed(features[name], "R", "U2")["test"]
        for task, part in (("r", "redundancy"), ("u2", "uniqueness2")):
            yield f"floor.{task}.{name}", told.score(part)
    yield from of_toys(it.run.settings)


def of_toys(cfg) -> Values:
    """Two encoders of exact worlds: what pairs of codes tell about S, which is all synergy."""
    side = cfg.toy_values
    inputs = torch.eye(side**2)
    free = [(side * s + t, side * s + c) for s in range(side) for t in range(side)
            for c in range(side)]  # fmt: skip
    biased = [(a, b) for a, b in free if a % side == b % side]
    for name, listed in {"free": free, "biased": biased}.items():
        pairs = torch.tensor(listed)
        torch.manual_seed(SEED)
        model = DualEncoder(
            [nn.Sequential(nn.Linear(side**2, 64), nn.ReLU(), nn.Linear(64, 16)) for _ in "12"],
            [nn.Identity()] * 2, augment=[as_it_is] * 2, prepare=[as_it_is] * 2,
            temperature=0.2, learn_temperature=False,
        )  # fmt: skip
        fit(
            model,
            lambda rows, g, m=model, p=pairs: m.loss([inputs[k[rows % len(p)]] for k in p.T], g),
            Optim(cfg.toy_steps, 3e-3, 0.0), EpochSampler(64 * len(pairs), 64, seed=SEED),
            generator=torch.Generator().manual_seed(SEED), progress=False,
        )  # fmt: skip
        with torch.no_grad():
            units = [normalize(z, dim=1) for z in model.eval().project([inputs] * 2)]
        one, two = (codes(z, 0.95).tolist() for z in units)
        told = [(f"{one[a]} {two[b]}", a % side == b % side) for a, b in free]
        yield f"toy.synergy.{name}", mutual_information(uniform_over(told))


def of_comm_ablation() -> Values:
    it = Trained("comm_ablation", validation=0.25)
    cfg = it.run.settings
    rows = {
        "term.none": ("comm", {}),
        "fusion.mlp": ("comm", {"fusion": "mlp"}),
        "views.light_full": ("comm", {"views": VIEWS["light_full"]}),
        "crop.0.9": ("comm", {"crop_low": 0.9}),
        "term.0.3": ("comm_matching", {"matching": 0.3}),
    }
    for name, (method, changes) in rows.items():
        free = it.features(method, False, cfg.steps, **changes)
        follow = it.features(method, True, cfg.synergy_steps, **changes)
        yield from it.synergy(name, follow)
        told = it.probed(free, "R")
        yield f"redundancy.{name}", told["test"].score("redundancy")
        if name.startswith("term"):
            yield f"validation.redundancy.{name}", told["val"].score("redundancy")
    cross = {biased: it.features("cross", biased, cfg.synergy_steps) for biased in (True, False)}
    compared = {
        "cross": cross[True],
        "cross_similarity": similarity_of_halves(cross[True]),
        "cross_similarity_free": similarity_of_halves(cross[False]),
        "cross_similarity_untrained": similarity_of_halves(it.features("cross", None)),
    }
    for name, row in compared.items():
        yield from it.synergy(name, row, "synergy{}.term.{}")


class TrainedOnASet:
    """Models of a set's modalities, and what probes say of their embeddings."""

    def __init__(self, **changes):
        self.run = started("comm_real", **changes)
        cfg = self.run.settings
        self.dataset = sets.load(
            cfg.data, size=cfg.image_size, words=cfg.words, length=cfg.length,
            device=self.run.device,
        )  # fmt: skip
        self.study = ModalityStudy(self.dataset, cfg, self.run.device)

    def trained(self, method, seen):
        """A method's model, or one that sees labels: fine-tuned, where it starts from a model."""
        labelled = method == "supcon" or not isinstance(method, str)
        model = (
            self.study.untrained(method, seen) if isinstance(method, str)
            else fine_tuned(method, "classes", len(self.dataset.classes))
        )  # fmt: skip
        return self.study.train(
            model, seen, labelled=labelled, draw=self.run.generator, name="", note=lambda *_: None
        )

    def scores(self, found) -> Values:
        for name, features in found.items():
            probed = self.study.probe(features)
            yield f"{self.run.settings.data}.{name}", self.study.score(probed)
            yield f"validation.{name}", probed.validation


def of_comm_real() -> Values:
    it, both = TrainedOnASet(), (0, 1)
    study, comm = it.study, it.trained("comm", both)
    models = {
        "untrained": study.untrained("comm", both),
        "comm": comm,
        "comm_tuned": it.trained(comm, both),
    }
    found = {name: study.features(model, both) for name, model in models.items()}
    (table,) = (k for k, modality in enumerate(it.dataset.modalities) if modality.name == "table")
    alone = it.trained("alone", (table,))
    found |= {"alone_table": study.features(alone, (table,)), "raw_table": study.raw(table)}
    yield from it.scores(found)
    live = deepcopy(comm).train()  # as a notebook of the released code leaves it
    taken = {}
    for name, part in study.parts.items():
        batches = -(-len(part) // it.run.settings.batch_size)
        chunks = zip(*(part.inputs[k].chunk(batches) for k in both), strict=True)
        taken[name] = torch.cat([live.embed(chunk).detach() for chunk in chunks])
    yield "digits.comm_training_mode", study.score(study.probe(taken))


def of_triples(**parameters) -> Values:
    it, both, every = TrainedOnASet(**parameters), (0, 1), (0, 1, 2)
    study, three = it.study, it.trained("comm", every)
    raw = [study.raw(k) for k in every]
    found = {
        "raw": {part: torch.cat([x[part] for x in raw[:2]], dim=1) for part in raw[0]},
        "raw_three": {part: torch.cat([x[part] for x in raw], dim=1) for part in raw[0]},
        "untrained_three": study.features(study.untrained("comm", every), every),
        "comm": study.features(it.trained("comm", both), both),
        "cross_three": study.features(it.trained("cross", every), every),
        "comm_three": study.features(three, every),
        "comm_tuned_three": study.features(it.trained(three, every), every),
        "alone_image3": study.features(it.trained("alone", (2,)), (2,)),
    }
    yield from it.scores(found)
    for name in ("raw_three", "untrained_three", "comm", "cross_three", "comm_three"):
        for task in ("U3", "S12", "S123"):
            yield f"tasks.{name}.{task}", study.score(study.probe(found[name], task), task)


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


def of_unlearnable() -> Values:
    run = started("unlearnable")
    cfg = run.settings
    chance = torch.Generator().manual_seed(SEED)
    parts = [
        scenes.make(size, cfg.image_size, noise=cfg.pixel_noise, generator=chance)
        for size in (cfg.n_train, cfg.n_test)
    ]
    pairs = study.encode_pairs(
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
        for measure, value in trials.hackers[name].stop.test.items():
            yield f"{measure}.{name}", value
        yield f"final_loss.{name}", trials.hackers[name].history[-1]["loss"]

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
    pairs = study.load_pairs(cfg, run.device, longest_trigger=5)
    (images, ids), (test_images, test_ids) = pairs.train, pairs.test
    table, trials = mem_settings.rows(study.budget(cfg), cfg.mode), Trials(run, pairs)
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
    pairs = study.load_pairs(cfg, run.device, longest_trigger=5)
    (images, ids), budget, trials = pairs.train, study.budget(cfg), Trials(run, pairs)
    mem_3 = mem_settings.rows(budget)["mem_3"]
    noise = mem_settings.answers(budget)["spelled_noise"]
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
    gently = replace(study.optim(cfg), learning_rate=0.1 * cfg.learning_rate)
    for name, (x, texts) in (("clean", (images, ids)), ("mem_3", trials.posts(mem))):
        model = deepcopy(trials.hackers["finetune.start"].model)
        trials.hack(f"finetune.{name}", x[late], texts[late], model=model, optim=gently)
    for name, hacker in trials.hackers.items():
        for measure, value in hacker.stop.test.items():
            yield f"{measure}.{name}", value


AGAIN = {
    "comm": of_comm, "comm_audit": of_comm_audit, "comm_ablation": of_comm_ablation,
    "comm_real": of_comm_real, "image_table": of_image_table, "unlearnable": of_unlearnable,
    "unlearnable_audit": of_unlearnable_audit, "unlearnable_sweeps": of_unlearnable_sweeps,
}  # fmt: skip
