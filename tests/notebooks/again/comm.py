"""Chapters on CoMM: which pairs a model learns from, and of which probes say what it learned."""

from copy import deepcopy
from dataclasses import replace

import torch
from sklearn.metrics import precision_score, roc_auc_score
from torch import nn
from torch.nn.functional import normalize

from mmlib import sets
from mmlib.augment.transform import as_it_is
from mmlib.data import trifeature
from mmlib.evaluate.features import codes
from mmlib.evaluate.probe import PROBES
from mmlib.information import mutual_information, uniform_over
from mmlib.label_dp.accounting import noise_for
from mmlib.label_dp.mechanisms.double_rr import double_rr
from mmlib.label_dp.mechanisms.redrawn_rr import RedrawnRR
from mmlib.methods.clip import DualEncoder
from mmlib.methods.supervised import fine_tuned
from mmlib.presets.comm_ablation import VIEWS
from mmlib.studies.modalities import ModalityStudy
from mmlib.studies.pairs import PairStudy, halves_multiplied, products, similarity_of_halves
from mmlib.train import EpochSampler, Optim, fit

from .runs import SEED, Values, started


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
    texture = {split: labels[:, 1] for split, labels in study.labels.items()}
    apart = {
        split: texture[split][pairs.first] != texture[split][pairs.second]
        for split, pairs in study.probe_pairs.items()
    }
    for biased, task, part in ((False, "R", "redundancy"), (True, "S", "synergy_auc")):
        model, own = models["comm", biased], found["comm", biased]
        cropped = {
            split: study.embed(model, split, crops=it.run.generator(5)) for split in study.images
        }
        changed = {
            "crops": it.probed(cropped, task),
            "penalty": it.probed(own, task, **PROBES["unsquared"]),
            "two_textures": it.probed(
                {split: own[split][rows] for split, rows in apart.items()}, task,
                pairs={s: pairs.where(apart[s]) for s, pairs in study.probe_pairs.items()},
            ),
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


def of_private_information() -> Values:
    it = Trained("private_information")
    study, run, cfg = it.study, it.run, it.run.settings
    own, labels = study.training_pairs[True], study.labels["train"]
    noise, n = noise_for(5.0, 3, responses=2), len(own)
    two = {"n_classes": 3, "noise_label": noise, "noise_image": noise}
    shape, texture = labels[own.first, :2].T
    _, source = double_rr(shape, noise, 3, generator=run.generator(100))
    _, drawn = RedrawnRR(**two).draw(texture, run.generator(100), pool_labels=texture)
    swapped = replace(own, first=own.first[source])
    releases = {
        "none": own, "double_rr.eps5": swapped,
        "moves": replace(swapped, second=own.second[source]),
        "redrawn_texture": replace(own, first=own.first[drawn - n]),
    }  # fmt: skip
    yield "noise.redrawn_shape", noise
    first, second = (labels[side] for side in (own.first, own.second))
    shapes = zip(first[:, 0].tolist(), second[:, 0].tolist(), strict=True)
    yield "exact.bits_shape.none", mutual_information(uniform_over(shapes))
    for name, pairs in releases.items():
        first, second = (labels[side] for side in (pairs.first, pairs.second))
        agree = first[:, 0] == second[:, 0]
        follow = study.world.mapping[first[:, 1]] == second[:, 2]
        told = texture == study.world.mapping.argsort()[second[:, 2]]
        told = told if name == "redrawn_texture" else shape == second[:, 0]
        for what, share in (("agree", agree), ("follow", follow), ("row", told)):
            yield f"share.{what}.{name}", share.double().mean().item()
        for method in ("cross", "comm"):
            model = study.untrained(method)
            study.train(
                model, cfg.synergy_steps, biased=True, pairs=pairs, name=method,
                generator=run.generator(1),
            )  # fmt: skip
            found = it.probed(study.features(model), "R", "U1", "U2", "S")["test"]
            for part in ("redundancy", "uniqueness1", "uniqueness2", "synergy", "synergy_auc"):
                yield f"{part}.{method}.{name}", found.score(part)
            if method == "cross":
                yield from of_cosines(study, model, name)


def of_cosines(study: PairStudy, model: DualEncoder, name: str) -> Values:
    """Whether halves of Cross's embeddings tell a pair of test images, over all such pairs."""
    shape, texture, color = study.labels["test"].T
    pairs = torch.cartesian_prod(*[torch.arange(len(shape))] * 2).T
    every = replace(study.probe_pairs["test"], first=pairs[0], second=pairs[1])
    embedded = {"test": study.embed(model, "test", pairs=every)}
    cosine = similarity_of_halves(embedded)["test"][:, 0].cpu()
    same = shape[pairs[0]] == shape[pairs[1]]
    follow = study.world.mapping[texture[pairs[0]]] == color[pairs[1]]
    for rule, right, among in (("shape", same, follow), ("map", follow, same)):
        area = 100 * roc_auc_score(right[among].numpy(), cosine[among].numpy())
        yield f"pairing_{rule}.cross.{name}", area


AGAIN = {
    "comm": of_comm, "comm_audit": of_comm_audit, "comm_ablation": of_comm_ablation,
    "comm_real": of_comm_real, "private_information": of_private_information,
}  # fmt: skip
