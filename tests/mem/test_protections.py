"""Protections with a name are settings of one procedure."""

from dataclasses import asdict, replace

import pytest

from mmlib.mem.protections import MODES, answers, rows, switched
from mmlib.mem.settings import Protection

BUDGET = Protection(rounds=20, surrogate_steps=200, trigger_rounds=5)
FREE = {"batch_size", "learning_rate", "weight_decay", "precision"}  # of no row its own


def differences(a, b):
    a, b = asdict(a), asdict(b)
    return {name for name in a if a[name] != b[name]}


@pytest.mark.parametrize("mode", MODES)
def test_each_row_is_another_setting_of_one_procedure(mode):
    made = rows(BUDGET, mode)
    assert len(set(made.values())) == len(made)
    for settings in made.values():
        assert differences(settings, BUDGET) & FREE == set()
        if settings.unit != "group":
            for name, value in MODES[mode].items():
                assert getattr(settings, name) == value


def test_the_modes_differ_in_their_switches_alone():
    for one, other in zip(*(rows(BUDGET, mode).values() for mode in MODES), strict=True):
        assert differences(one, other) <= set(MODES["faithful"])
    for switch, value in MODES["faithful"].items():
        assert MODES["corrected"][switch] != value


@pytest.mark.parametrize("mode", MODES)
def test_switches_lead_from_one_mode_to_the_other_one_at_a_time(mode):
    mem, made = rows(BUDGET, mode)["mem_3"], switched(BUDGET, mode)
    assert set(made) == set(MODES[mode])
    for choice, settings in made.items():
        assert differences(settings, mem) == {choice}
    every = {choice: getattr(settings, choice) for choice, settings in made.items()}
    (other,) = set(MODES) - {mode}
    assert replace(mem, **every) == rows(BUDGET, other)["mem_3"]


def test_rows_are_what_their_names_say():
    made = rows(BUDGET, "faithful")
    assert (made["mem_3"].trigger_length, made["mem_5"].trigger_length) == (3, 5)
    assert differences(made["mem_3"], made["mem_5"]) == {"trigger_length"}
    assert differences(made["text_only"], made["mem_3"]) == {"image"}
    assert differences(made["em_shuffle"], made["em_mem_budget"]) == {"body"}
    # The released budget of EM: 5 rounds of 50 surrogate steps and 8 of PGD.
    em = made["em"]
    assert (em.rounds, em.surrogate_steps, em.noise_steps) == (5, 50, 8)
    assert differences(em, made["em_mem_budget"]) == {"rounds", "surrogate_steps"}
    # A frozen model, trained on clean pairs, and one visit.
    for name in ("tap", "tap_other", "uap"):
        assert (made[name].rounds, made[name].surrogate_steps) == (1, 4000)
    assert differences(made["tap"], made["uap"]) == {"unit"}
    for name in ("clean", "random_noise", "em", "em_mem_budget", "em_shuffle", "tap", "uap"):
        assert made[name].text == "none"
    for name in ("clean", "random_tokens", "constant_prefix", "text_only"):
        assert made[name].image == "none"


def test_answers_differ_from_mem_3_in_what_they_are_called_after():
    mem = rows(BUDGET)["mem_3"]
    assert {name: differences(made, mem) for name, made in answers(BUDGET).items()} == {
        "woven": {"place", "text", "trigger_rounds"},
        "woven_common": {"place", "text", "trigger_rounds", "word_share"},
        "woven_optimised": {"place", "word_share"},
        "woven_words": {"place", "text", "trigger_rounds", "word_share", "image"},
        "woven_pool": {"place", "text", "trigger_rounds", "pool"},
        "woven_plain": {"place", "text", "trigger_rounds", "body"},
        "spelled": {"text", "image", "trigger_rounds"},
        "spelled_noise": {"text", "image", "trigger_rounds"},
    }
    made = answers(BUDGET)
    for name, answer in made.items():
        texts = {"woven_optimised": "optimised", "spelled_noise": "none"}
        assert answer.text == texts.get(name, "random")
    for name in ("woven_common", "woven_optimised", "woven_words"):
        assert made[name].word_share == (0.02, 0.25)


def test_a_short_budget_still_makes_every_row():
    made = rows(replace(BUDGET, rounds=1, trigger_rounds=1, surrogate_steps=1))
    assert (made["em"].rounds, made["em"].surrogate_steps) == (1, 1)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="mode is 'paper'; allowed: 'faithful', 'corrected'"):
        rows(BUDGET, "paper")
