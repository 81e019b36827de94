"""Chapters 6, 11 and 12: names in settings are those of the library, and mixtures are checked."""

import pytest

from mmlib.data.pieces import BytePairTokenizer
from mmlib.mem.defence import Defence, named
from mmlib.mem.protections import MODES, answers, rows
from mmlib.mem.settings import Protection
from mmlib.presets import unlearnable_audit, unlearnable_sweeps
from mmlib.presets.base import resolve
from mmlib.studies.unlearnable.models import NETWORKS


def test_what_settings_name_is_what_there_is():
    assert set(unlearnable_audit.Row.__args__) == set(rows(Protection())) - {"clean"}
    assert set(unlearnable_audit.Switch.__args__) == set(MODES["corrected"])
    assert set(unlearnable_sweeps.Answer.__args__) == set(answers(Protection()))
    assert set(unlearnable_sweeps.Network.__args__) == set(NETWORKS)


def test_defences_are_named_as_the_settings_ask_for_them():
    tokenizer = BytePairTokenizer.fit(["a dog"], 40)
    asked = {"words": 4, "image_size": 48, "epsilon": 5}
    known = named(**asked, tokenizer=tokenizer)
    chapters = {*unlearnable_audit.Defence.__args__, *unlearnable_sweeps.Defence.__args__}
    assert set(known) == chapters - {"early"}  # who stops early does nothing to what is published
    assert known["reread"][1] == Defence(reread=tokenizer)
    assert set(named(**asked)) == set(known) - {"reread"}


def test_answers_to_mem_3_need_mem_3():
    alone = {"rows": ["em"], "switches": [], "defences": []}
    assert resolve("unlearnable_audit", alone).rows == ("em",)
    for name, value in (("switches", ["unit"]), ("defences", ["first"])):
        with pytest.raises(ValueError, match=rf"{name} is \('{value[0]}',\): .*MEM-3.*not in rows"):
            resolve("unlearnable_audit", {**alone, name: value})


def test_captions_are_swapped_where_noise_and_words_belong_to_a_pair():
    asked = {"preset": "smoke", "defences": ["swap"]}
    with pytest.raises(ValueError, match="tried on MEM-3 by pair; allowed with the switch 'unit'"):
        resolve("unlearnable_audit", {**asked, "switches": []})
    resolve("unlearnable_audit", {**asked, "switches": ["unit"]})
    resolve("unlearnable_audit", {**asked, "switches": [], "mode": "faithful"})


@pytest.mark.parametrize("chapter", ["unlearnable_audit", "unlearnable_sweeps"])
def test_pairs_that_are_no_photos_have_one_split(chapter):
    for data in ("scenes", "emoji"):
        with pytest.raises(ValueError, match=f"split is 'released': .*'{data}': 'standard'"):
            resolve(chapter, {"data": data, "split": "released"})
        assert resolve(chapter, {"data": data, "split": "standard"}).data == data
    for data in ("flickr8k", "flickr30k", "mscoco"):
        assert resolve(chapter, {"data": data, "split": "released"}).split == "released"
