"""What is compared differs in what was published alone, and each side is scored on its own part."""

from dataclasses import replace

import pytest
import torch

from mmlib.evaluate.retrieval import MEASURES, random_retrieval
from mmlib.mem import protections
from mmlib.mem.course import Point
from mmlib.mem.defence import Defence
from mmlib.mem.fingerprint import fingerprint
from mmlib.mem.hacker import evaluate
from mmlib.mem.scores import protection_left
from mmlib.presets.base import resolve
from mmlib.records import Run
from mmlib.studies.unlearnable import models, trials
from mmlib.studies.unlearnable.pairs import load_pairs
from mmlib.studies.unlearnable.trials import Hacker, Trials

KEYS = ("median_rank.i2t", "median_rank.t2i")


@pytest.fixture
def run(tmp_path, monkeypatch):
    asked = {"preset": "smoke", "seed": 3, "steps": 4, "folder": str(tmp_path / "run")}
    made = Run("unlearnable_audit", resolve("unlearnable_audit", asked))
    made.parts = []
    once = made.once

    def noted(part, *work, **how):
        made.parts.append(part)
        return once(part, *work, **how)

    monkeypatch.setattr(made, "once", noted)
    return made


@pytest.fixture
def pairs(run):
    return load_pairs(run.settings, run.device, longest_trigger=3)


@pytest.fixture
def tries(run, pairs):
    return Trials(run, pairs)


@pytest.fixture
def table(run):
    return protections.rows(models.budget(run.settings))


def test_hackers_start_alike_and_not_as_the_surrogate_and_meet_pairs_in_one_order(
    tries, table, monkeypatch
):
    told = []

    def train_hacker(model, images, texts, optim, **how):
        how["generator"], how["made"] = how["generator"].get_state().tolist(), list(how["made"])
        told.append((fingerprint(model), images, texts, optim, how))
        how.pop("on_step")(tries.cfg.steps)
        return [{"loss": 1.0}]

    monkeypatch.setattr(trials, "train_hacker", train_hacker)
    mem = tries.protect(table["mem_3"])
    tries.hack("clean", *tries.pairs.train)
    tries.hack("mem_3", *tries.posts(mem), defence=Defence(drop_first=3))
    (start, images, texts, optim, how), (same, seen, read, optim_too, how_too) = told
    assert start == same
    assert start == fingerprint(tries.untrained())
    assert start not in mem.surrogate
    assert [torch.equal(x, y) for x, y in zip((images, texts), tries.pairs.train, strict=True)] == [
        True, True,
    ]  # fmt: skip
    assert seen is mem.images
    assert torch.equal(read, mem.captions(tries.pairs.train[1]))
    assert optim == optim_too == models.optim(tries.cfg)
    assert how.pop("name") == "clean"
    assert (how_too.pop("name"), how_too.pop("defence")) == ("mem_3", Defence(drop_first=3))
    assert how == how_too
    assert (how["seed"], how["batch_size"], how["made"]) == (3, 16, [mem])
    assert how["generator"] != tries.run.generator(1).get_state().tolist()  # the protection's


def test_a_hacker_is_scored_on_clean_pairs_where_it_stops(tries, run):
    tries.points = 2
    tries.hack("clean", *tries.pairs.train, title="clean pairs")
    tries.hack("early", *tries.pairs.train, early=True)
    clean, early = tries.hackers["clean"], tries.hackers["early"]
    assert [point.step for point in clean.points] == [2, 4]
    assert [point.step for point in early.points] == [1, 2, 3, 4]
    assert clean.stop.test == evaluate(clean.model, *tries.pairs.test)
    assert clean.stop.known == evaluate(clean.model, *tries.pairs.known)
    for name, hacker in tries.hackers.items():
        for measure in MEASURES:
            assert run.metrics[f"{measure}.{name}"] == hacker.stop.test[measure]
    curves = run.curves()
    assert set(curves["data"]) == {"clean pairs"}
    assert len(curves) == 2 * len(MEASURES)


def test_a_hacker_of_fewer_steps_is_scored_at_its_own_last_one(tries):
    optim = replace(models.optim(tries.cfg), steps=2)
    tries.hack("short", *tries.pairs.train, optim=optim)
    assert [point.step for point in tries.hackers["short"].points] == [2]


def test_from_the_start_means_before_the_first_step(run, pairs):
    tries = Trials(run, pairs, from_start=True)
    tries.hack("clean", *pairs.train)
    first, last = tries.hackers["clean"].points
    assert (first.step, last.step) == (0, 4)
    assert first.test == evaluate(tries.untrained(), *pairs.test)


def of(steps, test, known, began="same", early=False):
    """A hacker with these median ranks, the same in both directions."""
    points = [
        Point(step, *(None if r is None else dict.fromkeys(KEYS, r) for r in ranks))
        for step, *ranks in zip(steps, test, known, strict=True)
    ]
    return Hacker(None, began, points, [], early)


def test_who_stops_early_stops_by_the_known_pairs():
    ends, stops = (of((1, 2, 3), (4, 1, 2), (3, 5, 6), early=early) for early in (False, True))
    assert (ends.stop.step, stops.stop.step) == (3, 1)
    assert (ends.judges, stops.judges) == (True, False)


def test_what_is_left_is_on_the_scale_of_the_same_part(tries):
    test, known = (random_retrieval(n, 5) for n in (12, 8))
    assert tries.guessing == test
    tries.hackers = {
        "clean": of((1, 2), (9, 1), (9, 2)),
        "mem": of((1, 2), (2, 4), (3, 6)),
        "clean.early": of((1, 2), (9, 1), (2, 9), early=True),
    }

    def left(rank, clean, guessing):
        ranks = (dict.fromkeys(KEYS, r) for r in (rank, clean))
        return protection_left(*ranks, guessing)

    assert tries.left("clean") == 0
    assert tries.left("mem") == left(4, 1, test)
    assert tries.left_early("mem") == left(2, 1, test)
    assert tries.left_known("mem") == left(6, 2, known)
    assert tries.left_by(dict.fromkeys(KEYS, 3), "mem") == left(3, 1, test)
    assert tries.left("mem", "mem") == 0
    assert tries.left("mem", "clean.early") == left(4, 9, test)
    assert tries.note("mem") == tries.run.metrics["left.mem"] == tries.left("mem")
    assert tries.headroom() == max(1 / test[key] for key in KEYS)
    shares = " and ".join(f"{100 / test[key]:.0f} %" for key in KEYS)
    told = tries.note_scale()
    assert told == f"The clean model's median ranks are {shares} of guessing's: enough."
    assert tries.run.metrics["headroom.i2t"] == 1 / test[KEYS[0]]
    assert tries.run.metrics["median_rank.t2i.guessing"] == test["median_rank.t2i"]


def test_one_direction_without_room_is_too_much(tries):
    ranks = {KEYS[0]: 1.0, KEYS[1]: tries.guessing[KEYS[1]]}
    tries.hackers = {"clean": Hacker(None, "same", [Point(1, ranks, None)], [])}
    assert tries.note_scale().endswith("too much, so nothing can be concluded.")
    assert tries.headroom() == 1


@pytest.mark.parametrize("how", [{"network": "wider"}, {"optim": True}])
def test_clean_training_of_another_network_or_schedule_is_no_scale(tries, how):
    if "optim" in how:
        how = {"optim": replace(models.optim(tries.cfg), learning_rate=1e-4)}
    tries.hack("clean", *tries.pairs.train)
    tries.hack("other", *tries.pairs.train, **how)
    tries.hack("clean.other", *tries.pairs.train, **how)
    with pytest.raises(ValueError, match="'clean' is the clean hacker of 'other'; allowed: one"):
        tries.note("other")
    assert tries.left("other", "clean.other") == 0


def test_known_pairs_that_a_hacker_has_do_not_judge_it(tries):
    tries.hack("clean", *tries.pairs.train)
    tries.hack(
        "mixed", *tries.pairs.train, defence=Defence(clean_share=0.5), clean=tries.pairs.known
    )
    tries.hack("early", *tries.pairs.train, early=True)
    assert [tries.hackers[name].judges for name in ("clean", "mixed", "early")] == [
        True, False, False,
    ]  # fmt: skip
    for name in ("mixed", "early"):
        with pytest.raises(ValueError, match=f"'{name}' used the known pairs"):
            tries.left_known(name)
    with pytest.raises(ValueError, match="part is 'known', which was not scored"):
        tries.left_early("mixed")


def test_the_same_protection_is_made_once_and_what_trains_nothing_is_no_part(tries, table, run):
    mem, words = tries.protect(table["mem_3"]), tries.protect(table["random_tokens"])
    assert tries.protect(replace(table["mem_3"])) is mem
    assert tries.protect(table["random_tokens"]) is words
    assert len(run.parts) == 1
    assert fingerprint(models.new_model(tries.cfg, tries.pairs, trials.SURROGATE)) in mem.surrogate
    assert tries.protect(table["mem_3"], "wider").surrogate != mem.surrogate
    other = tries.protect(table["random_tokens"], stream=2)
    assert not torch.equal(other.triggers, words.triggers)
    again = Trials(run, tries.pairs, of="the same again")
    assert torch.equal(again.protect(table["mem_3"]).images, mem.images)
    assert len(run.parts) == 3


def test_a_surrogate_of_ones_own_is_trained_and_is_no_victim(tries, table):
    surrogate, victim = (models.new_model(tries.cfg, tries.pairs, 7) for _ in range(2))
    made = tries.protect(table["mem_3"], "mine", surrogate=surrogate)
    assert made.surrogate == (fingerprint(victim), fingerprint(surrogate))
    assert tries.protect(table["mem_3"]).surrogate != made.surrogate
    with pytest.raises(ValueError, match="the victim has the weights of the surrogate"):
        tries.hack("mem_3", *tries.pairs.train, model=victim)


def test_a_surrogate_is_no_victim(tries, table):
    tries.protect(table["mem_3"])
    surrogate = models.new_model(tries.cfg, tries.pairs, trials.SURROGATE)
    with pytest.raises(ValueError, match="the victim has the weights of the surrogate"):
        tries.hack("mem_3", *tries.pairs.train, model=surrogate)
