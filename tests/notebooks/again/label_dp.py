"""Chapter 4: what its first coins decide, in their order."""

from collections.abc import Callable
from types import SimpleNamespace

import torch

from mmlib.evaluate.metrics import accuracy
from mmlib.label_dp import audit
from mmlib.label_dp.accounting import noise_for
from mmlib.label_dp.mechanisms.double_rr import double_rr
from mmlib.label_dp.mechanisms.randomized_response import randomized_response

from .runs import Values, started


def audited(run: SimpleNamespace, mechanism: Callable, inputs: int, outcomes: int, coins) -> float:
    """What the longest of a chapter's audits finds, after the shorter ones have thrown coins."""
    cfg = run.settings
    for n in sorted({max(1, round(cfg.draws * 10 ** (i / 2))) for i in range(-6, 1)}):
        found = audit.audit(
            mechanism, range(inputs), outcomes, draws=n, confidence=cfg.confidence, generator=coins
        )
    return found


def of_label_dp() -> Values:
    """Of what the first coins decide: the survey, and the audits of three mechanisms."""
    run = started("label_dp")
    cfg, coins = run.settings, run.generator(1)
    classes, images = cfg.world_classes, cfg.world_images
    share = torch.arange(classes, 0, -1, device=run.device).double()
    share /= share.sum()
    people = torch.multinomial(share, cfg.answers, replacement=True, generator=run.generator())
    answers = randomized_response(people, 0.8, classes, generator=coins)
    yield "survey.kept", accuracy(answers, people)
    true, seen = (x.bincount(minlength=classes).double() / len(x) for x in (people, answers))
    # 0.2 of the people answer as they are, the others as it comes.
    yield "survey.error", 100 * ((seen - 0.8 / classes) / 0.2 - true).abs().max().item()

    labels = torch.arange(classes, device=run.device).repeat_interleave(images)
    double_rr(labels, 0.8, classes, generator=coins)  # the table of a few records

    def image_of(label, n, generator):
        return label * images + torch.randint(
            images, (n,), device=run.device, generator=generator
        )  # fmt: skip

    def two_coins(noise: float) -> Callable:
        def mechanism(label, n, generator):
            answer, shown = double_rr(
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


AGAIN = {"label_dp": of_label_dp}
