"""Parameters become settings, or stop with a message that names the valid ones."""

import pytest

from mmlib.presets import grid
from mmlib.presets.base import CHAPTERS, NAMES, chapter_settings, resolve

every_chapter = pytest.mark.parametrize("chapter", CHAPTERS)


@every_chapter
def test_each_preset_gives_every_field(chapter):
    settings, presets = chapter_settings(chapter)
    own = set(settings.model_fields) - {"preset", "seed", "experiment", "folder"}
    assert set(presets) == set(NAMES)
    for name in NAMES:
        assert set(presets[name]) == own, name
        assert resolve(chapter, {"preset": name}).preset == name


@pytest.mark.parametrize(
    ("chapter", "printed"),
    [
        (  # of the released code for Trifeature: 100 epochs of 157 steps
            "comm",
            {
                "trunk": "alexnet", "image_size": 224, "width": 512, "heads": 8,
                "head_hidden": 512, "head_features": 256, "temperature": 0.1, "crop_low": 0.08,
                "learning_rate": 3e-4, "weight_decay": 1e-4, "batch_size": 64, "steps": 100 * 157,
                "convention": "released", "synergy_steps": 100 * 157, "points": 20, "blur": True,
                "train_pairs": 10_000, "probe_pairs": 10_000, "texture_zoom": 1,
                "same_texture": True, "protocol": "reference",
            },
        ),
        (  # of the released code for MOSI, UR-FUNNY and MUStARD
            "comm_real",
            {
                "width": 40, "encoder_depth": 5, "encoder_heads": 5, "encoder_hidden": 2048,
                "heads": 8, "head_hidden": 512, "head_features": 256, "temperature": 0.1,
                "learning_rate": 1e-3, "weight_decay": 1e-2, "schedule": "constant",
                "warmup_epochs": 0, "batch_size": 64, "epochs": 100, "crop_low": 0.08,
                "convention": "released", "masks": "single", "align": "light",
                "encoders": "published", "probe_penalty": "unsquared",
            },
        ),
        (  # of MEM's code: 20 rounds of 200 surrogate steps, words in the first 5
            "unlearnable",
            {
                "trunk": "resnet50", "unit": "pair", "epsilon": 8, "trigger_length": 3,
                "rounds": 20, "trigger_rounds": 5, "surrogate_steps": 200, "noise_steps": 8,
                "candidates": 16, "batch_size": 128, "surrogate_learning_rate": 1e-4,
                "weight_decay": 0.2, "text_width": 512, "features": 1024,
            },
        ),
        ("label_dp", {"epsilon": 5.0, "n_classes": 286, "n_records": 70_565}),
        (
            "image_table",
            {"epsilon": 5.0, "trunk": "resnet50", "batch_size": 512, "learning_rate": 3e-3,
             "weight_decay": 1.5e-6, "views": "dvm"},
        ),
    ],
)  # fmt: skip
def test_the_paper_preset_is_what_the_paper_or_its_code_has(chapter, printed):
    settings = resolve(chapter, {"preset": "paper"})
    assert {name: getattr(settings, name) for name in printed} == printed


TOUCHED = {"image_size": 128, "learning_rate": 1e-3, "epochs": 100}
# Chapter 9 says which rates are those of two modalities and which of three.
CONTACT = TOUCHED | {"width": 512, "learning_rate": 1e-4}  # of its runs of three modalities
FILMS = {"learning_rate": 1e-4, "warmup_epochs": 10, "schedule": "cosine", "epochs": 70}


@pytest.mark.parametrize(
    ("experiment", "data", "printed"),
    [
        ("mosi", "mosi", {"width": 40}),
        ("urfunny", "urfunny", {"width": 40, "learning_rate": 1e-3}),  # of its runs of two
        ("mustard", "mustard", {"width": 40}),
        ("mimic", "mimic", {"width": 512}),
        ("visionandtouch-ee", "visionandtouch_ee", TOUCHED | {"width": 128}),
        ("visionandtouch-ee-clean", "visionandtouch_ee_clean", TOUCHED | {"width": 128}),
        ("visionandtouch-cp", "visionandtouch_cp", CONTACT),
        ("visionandtouch-cp-clean", "visionandtouch_cp_clean", CONTACT),
        (
            "mmimdb-clip",
            "mmimdb_clip",
            FILMS | {"width": 768, "image_size": 224, "length": 128, "padding": "released"},
        ),
    ],
)
def test_a_row_of_comms_tables_has_what_its_code_has(experiment, data, printed):
    row = grid.rows()["comm_real", experiment, "paper"]
    settings = resolve("comm_real", {"preset": "paper"} | row.get("parameters", {}))
    assert settings.data.removeprefix("multibench_") == data
    assert {name: getattr(settings, name) for name in printed} == printed
    always = ("batch_size", "weight_decay", "temperature", "head_hidden", "head_features", "heads")
    assert [getattr(settings, name) for name in always] == [64, 1e-2, 0.1, 512, 256, 8]
    assert len(row["seeds"]) == 5


@every_chapter
def test_every_field_says_what_it_is(chapter):
    settings, _ = chapter_settings(chapter)
    assert all(field.description for field in settings.model_fields.values())


@every_chapter
def test_wrong_parameters_stop_and_name_the_valid_ones(chapter):
    with pytest.raises(ValueError, match=r"unknown parameter 'sede'. Did you mean 'seed'") as error:
        resolve(chapter, {"sede": 1})
    assert "preset: " in str(error.value)
    with pytest.raises(
        ValueError, match="preset is 'fast'; allowed: 'smoke', 'quick', 'desk', 'paper'"
    ):
        resolve(chapter, {"preset": "fast"})
    with pytest.raises(ValueError, match="seed is '1': Input should be a valid integer"):
        resolve(chapter, {"seed": "1"})
    with pytest.raises(ValueError, match=r"seed is -1: .* to 0\n.* has:\n  seed: int") as error:
        resolve(chapter, {"seed": -1})
    assert "preset: " not in str(error.value)  # what is right would hide what is wrong


def test_a_list_that_is_none_says_how_to_give_one():
    with pytest.raises(ValueError, match=r"methods is '\[comm\]': .* -y 'methods: \[\.\.\.\]'"):
        resolve("comm", {"methods": "[comm]"})


def test_a_wrong_entry_of_a_list_is_named_alone_with_its_limits():
    with pytest.raises(ValueError, match="sample_sizes") as wrong:
        resolve("information", {"preset": "smoke", "sample_sizes": [1, 8]})
    said, allowed = str(wrong.value).split("Chapter")
    assert said.splitlines()[1:] == [
        "  sample_sizes.0 is 1: Input should be greater than or equal to 4"
    ]
    assert "sample_sizes: list[int [Ge(ge=4)]] [MinLen(min_length=2)]  of" in allowed


def test_a_seed_that_scikit_learn_does_not_take_stops_before_anything_is_trained():
    with pytest.raises(ValueError, match="seed is 4294967296: Input should be less than"):
        resolve("unlearnable_sweeps", {"seed": 2**32})


def test_an_entry_that_is_twice_in_a_list_stops_before_anything_is_trained():
    with pytest.raises(ValueError, match="methods: 'comm' is there twice"):
        resolve("comm", {"methods": ["comm", "cross", "comm"]})


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [("experiment", 2024, "-r experiment"), ("learning_rate", "1e-3", "1.0e-3 as a number")],
)
def test_what_papermill_and_yaml_read_otherwise_says_how_to_give_it(name, value, hint):
    with pytest.raises(ValueError, match=hint):
        resolve("comm", {name: value})


@pytest.mark.parametrize(
    ("chapter", "lists"),
    [
        ("fused_leaks", {"looks": 0, "noises": 0.0, "bits": 0}),
        ("unlearnable_sweeps", {"lengths": 0, "budgets": 128, "topics": 0, "shares": 101}),
    ],
)
def test_an_entry_of_a_list_has_its_limits(chapter, lists):
    for name, value in lists.items():
        with pytest.raises(ValueError, match=rf"{name}\.0 is {value}: Input should be"):
            resolve(chapter, {name: [value]})


def test_of_a_namespace_only_plain_public_data_counts():
    namespace = {"In": [], "_private": 1, "records": pytest, "seed": 3, "folder": None}
    assert resolve("comm", namespace).seed == 3
    assert resolve("comm", {"preset": None, "seed": None}) == resolve("comm", {})


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        resolve("comm", {}).seed = 2


def test_unknown_chapter():
    with pytest.raises(ValueError, match="chapter is 'com'; allowed: 'contrastive'"):
        resolve("com", {})


def test_a_protocol_changes_the_preset_and_gives_way_to_names():
    reference = resolve("comm", {"protocol": "reference"})
    assert (reference.convention, reference.probe_crops) == ("released", True)
    assert (reference.probe_penalty, reference.test_renderings) == ("unsquared", 1)
    clean = resolve("comm", {"preset": "paper", "protocol": "clean", "probe_crops": True})
    assert (clean.convention, clean.probe_crops, clean.test_renderings) == ("paper", True, 10)
    assert clean.protocol is None  # as it is no longer the clean one
    assert reference.protocol == "reference"
    assert resolve("comm", {"convention": "released"}).protocol is None
    with pytest.raises(ValueError, match="protocol is 'dirty'"):
        resolve("comm", {"protocol": "dirty"})


@pytest.mark.parametrize("preset", NAMES)
def test_a_preset_that_names_a_protocol_keeps_to_it(preset):
    settings = resolve("comm", {"preset": preset})
    if settings.protocol is not None:
        assert resolve("comm", {"preset": preset, "protocol": settings.protocol}) == settings
