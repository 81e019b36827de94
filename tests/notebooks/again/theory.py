"""Chapters on what is exact: which pairs and views a bound or a loss is of, and which records."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LinearRegression
from torch import Tensor, nn
from torchvision.ops import MLP

from mmlib.data.gaussian import CorrelatedGaussians, SharedPrivate
from mmlib.evaluate.metrics import roc_auc
from mmlib.evaluate.probe import linear_probe, logistic_path
from mmlib.information import decompose
from mmlib.losses import nt_xent
from mmlib.train import EpochSampler, Optim, fit

from .runs import SEED, Values, started


def picked(scores: Tensor) -> Tensor:
    """The mean log-share of the own row's entry, for each anchor: minus InfoNCE."""
    return scores.log_softmax(1).diagonal().mean()


def of_contrastive() -> Values:
    run = started("contrastive")
    cfg, draw = run.settings, run.generator(1)
    for nats in cfg.informations:
        pair = CorrelatedGaussians.with_information(nats, coordinates=cfg.coordinates)
        for size in cfg.batch_sizes:
            pairs = [pair.sample(size, generator=draw) for _ in range(cfg.anchors // size)]
            values = [math.log(size) + picked(pair.critic(x, y)).item() for x, y in pairs]
            yield f"bound.optimal.i{nats:g}.b{size}", np.mean(values)
    yield from of_critics(run)
    yield from of_towers(run)


def trained(run, parts: nn.ModuleList, loss, n: int, repeat: int, steps: int) -> nn.ModuleList:
    cfg = run.settings
    fit(
        parts, loss, Optim(steps, cfg.learning_rate, schedule="cosine"),
        EpochSampler(n, cfg.batch_size, seed=1000 * SEED + repeat, device=run.device),
        generator=run.generator(100 + repeat), progress=False,
    )  # fmt: skip
    return parts.eval().requires_grad_(False)


def networks(run, inputs: int, outputs: int, repeat: int) -> nn.ModuleList:
    torch.manual_seed(1000 * SEED + repeat)
    width = run.settings.width
    return nn.ModuleList(MLP(inputs, [width, width, outputs]) for _ in "12").to(run.device)


def units(parts, pair) -> list[Tensor]:
    return [F.normalize(part(x), dim=1) for part, x in zip(parts, pair, strict=True)]


def mean_bound(scores, size: int, pair) -> float:
    batches = list(zip(*(side.split(size) for side in pair), strict=True))
    values = [picked(scores(x, y)).item() for x, y in batches if len(x) == size]
    return math.log(size) + np.mean(values)


def of_critics(run) -> Values:
    cfg, found = run.settings, {}
    pair = CorrelatedGaussians.with_information(cfg.information, coordinates=cfg.coordinates)
    for repeat in range(cfg.repeats):
        draw = run.generator(10 + repeat)
        fresh = pair.sample(max(cfg.batch_size, cfg.test_records), generator=draw)
        for kind, n in (("few", cfg.few), ("many", cfg.records)):
            x, y = pair.sample(n, generator=draw)
            parts = networks(run, cfg.coordinates, 16, repeat)
            parts.scale = nn.Parameter(torch.tensor(math.log(0.1), device=run.device))

            def scores(x, y, parts=parts):
                u, v = units(parts, (x, y))
                return u @ v.T / parts.scale.exp()

            def loss(rows, _, x=x, y=y, scores=scores):
                return -picked(scores(x[rows], y[rows]))

            trained(run, parts, loss, n, repeat, cfg.steps)
            for place, pairs in (("own", (x, y)), ("fresh", fresh)):
                value = mean_bound(scores, cfg.batch_size, pairs)
                found.setdefault(f"bound.{kind}.{place}", []).append(value)
        value = mean_bound(pair.critic, cfg.batch_size, fresh)
        found.setdefault("bound.optimal.fresh", []).append(value)
    yield from ((name, np.mean(values)) for name, values in found.items())


def of_towers(run) -> Values:
    cfg, found = run.settings, {}
    world = SharedPrivate(
        cfg.shared, cfg.private, cfg.style, agreement=cfg.agreement, echo=cfg.echo,
        mixing_seed=cfg.mixing_seed,
    )  # fmt: skip

    def seen(content, chance):
        return [world.view(c, k, generator=chance) for k, c in enumerate(content)]

    def across(parts, content, chance, tau):
        u, v = units(parts, seen(content, chance))
        return -(picked(u @ v.T / tau) + picked(v @ u.T / tau)) / 2

    def within(parts, content, chance, tau):
        views = [units(parts, seen(content, chance)) for _ in "12"]
        return sum(nt_xent(*pair, temperature=tau) for pair in zip(*views, strict=True)) / 2

    def learned(loss, width, tau, data, repeat, steps):
        parts = networks(run, world.width, width, repeat)

        def of_rows(rows, chance):
            return loss(parts, [c[rows] for c in data.content], chance, tau)

        return trained(run, parts, of_rows, len(data), repeat, steps)

    def known(data):
        own = [c[:, cfg.shared :] for c in data.content]
        return {
            "shared": data.shared, "private": torch.cat(own, 1), "style": torch.cat(data.style, 1),
            "interaction": own[0][:, :1] * own[1][:, :1],
        }  # fmt: skip

    def read(features, told, asked):
        for name, y in known(told).items():
            line = LinearRegression().fit(features(told).cpu(), y.cpu())
            yield name, line.score(features(asked).cpu(), known(asked)[name].cpu())

    def note(name, value):
        found.setdefault(name, []).append(value)

    for repeat in range(cfg.repeats):
        draw = run.generator(50 + repeat)
        n = max(cfg.batch_size, cfg.test_records)
        data, test, some = (world.sample(k, generator=draw) for k in (cfg.records, n, 2 * n))
        rows = {
            "untrained": networks(run, world.width, cfg.embedding, repeat),
            "observed": [nn.Identity()] * 2,
        }
        for name, loss, width in (
            ("clip", across, cfg.embedding), ("simclr", within, cfg.embedding),
            ("clip_wide", across, cfg.wide_embedding),
        ):  # fmt: skip
            tau = cfg.temperature
            rows[name] = parts = learned(loss, width, tau, data, repeat, cfg.steps)
            with torch.no_grad():
                first, second = (units(parts, seen(test.content, draw)) for _ in "12")
            pairs = [(first[0], second[1])] if loss is across else zip(first, second, strict=True)
            bounds = [mean_bound(lambda u, v: u @ v.T / 0.1, cfg.batch_size, p) for p in pairs]
            note(f"bound.{name}", np.mean(bounds))
        for name, parts in rows.items():

            @torch.no_grad()
            def features(data, parts=parts, plain=name == "observed"):
                return torch.cat(data.observed if plain else units(parts, data.observed), dim=1)

            for target, value in read(features, some, test):
                note(f"r2.{name}.{target}", value)
    for tau in cfg.temperatures:  # on the last repeat's records
        for repeat in range(cfg.repeats):
            parts = learned(across, cfg.embedding, tau, data, repeat, cfg.sweep_steps)
            z1, z2 = units(parts, test.observed)
            apart = torch.cdist(z1.double(), z2.double()).square()
            note(f"sweep.partners.t{tau:g}", apart.diagonal().mean().item())
            note(f"sweep.strangers.t{tau:g}", apart.mean().item())
            gap = (z1.mean(0) - z2.mean(0)).square().sum().item()
            note(f"sweep.gap.t{tau:g}", gap)
            even = [(-2 * F.pdist(z).square()).exp().mean().log().item() for z in (z1, z2)]
            note(f"sweep.uniformity.t{tau:g}", np.mean(even))
            scores = dict(read(lambda d, p=parts: torch.cat(units(p, d.observed), 1), some, test))
            note(f"sweep.shared.t{tau:g}", scores["shared"])
    yield from ((name, np.mean(values)) for name, values in found.items())


def of_information() -> Values:
    run = started("information")
    cfg, draw = run.settings, run.generator(1)
    k = cfg.values
    fused = torch.randn(2 * k, cfg.hidden, generator=draw, device=run.device)
    shift = torch.randn(cfg.hidden, generator=draw, device=run.device)

    def drawn(n):
        return torch.randint(k, (2, n), generator=draw, device=run.device)

    def one_hot(pair):
        return torch.cat([F.one_hot(x, k) for x in pair], dim=1).float()

    train, test = drawn(cfg.pairs), drawn(cfg.test_pairs)
    for name, features in (
        ("side_by_side", one_hot),
        ("random_fusion", lambda pair: (one_hot(pair) @ fused + shift).relu()),
        ("product", lambda pair: F.one_hot(k * pair[0] + pair[1], k * k).float()),
    ):
        sides = [x for pair in (train, test) for x in (features(pair), (pair[0] == pair[1]).long())]
        found = linear_probe(*sides, generator=run.generator(2), validation=0.4)
        if features is one_hot:
            strength = found.C
        yield f"probe.{name}.balanced_accuracy", found.balanced_accuracy
        score = found.classifier.logits(sides[2]).double().diff(dim=1)[:, 0]
        yield f"probe.{name}.auc", roc_auc(score, sides[3])
    areas = []
    for _ in range(20):
        train, test = drawn(cfg.pairs), drawn(cfg.test_pairs)
        (line,) = logistic_path(one_hot(train), (train[0] == train[1]).long(), [strength])
        areas.append(roc_auc(line.logits(one_hot(test)).diff(dim=1)[:, 0], test[0] == test[1]))
    yield "probe.side_by_side.auc_spread", np.std(areas)

    draw, even = run.generator(3), torch.full((18,), 1 / 18, dtype=torch.float64)
    for n in cfg.sample_sizes:
        found = []
        for _ in range(cfg.repeats):
            told = even.to(run.device).multinomial(n, replacement=True, generator=draw).cpu()
            joint = told.bincount(minlength=18).double().view(3, 3, 2) / n
            found.append(decompose(joint).synergy)
        if n in (min(cfg.sample_sizes), max(cfg.sample_sizes)):
            yield f"phantom.synergy.n{n}", np.mean(found)


AGAIN = {"contrastive": of_contrastive, "information": of_information}
