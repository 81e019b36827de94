"""Small sets in the exact format of the publisher's files, good and bad, and the split that leaks.

The rules of both splits are tested without h5py; reading needs it.
"""

import sys

import numpy as np
import pytest
import torch

from mmlib import sets
from mmlib.data import vision_touch
from mmlib.data.vision_touch import INPUTS, SIDE, STEPS, clean_split, released_split, trajectory
from mmlib.evaluate.probe import linear_probe

PARTS = ("train", "validation", "test")
NAMES = [f"2019_triangle_0_journal_{t}_{k}_1000.h5" for t in range(10) for k in range(2)]


def contents(number):
    """The arrays of file ``number``; a step's image is one grey, told by its file and step."""
    generator = np.random.default_rng(number)
    grey = (10 * number + np.arange(50)) % 256
    images = np.broadcast_to(grey[:, None, None, None], (50, SIDE, SIDE, 3)).astype(np.uint8)
    return {
        "action": np.zeros((50, 4)),
        "image": images,
        "ee_forces_continuous": generator.normal(0, 2, (50, 50, 6)),
        "proprio": generator.normal(size=(50, 8)),
        "contact": (generator.random((50, 50)) < 0.015).astype(float),  # at any of 50 moments
    }


def write(path, arrays):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, x in arrays.items():
            file.create_dataset(name, data=x, compression="gzip", compression_opts=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("touch") / "multibench" / "triangle_real_data"
    made.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        write(made / name, contents(number))
    (made / "notes.txt").write_text("not a trajectory")
    return made


@pytest.mark.parametrize("task", ["ee", "cp"])
@pytest.mark.parametrize("split", ["released", "clean"])
def test_samples_are_steps_and_labels_what_comes_next(folder, task, split):
    data = vision_touch.load(task, split=split, root=folder)
    rule = {"released": released_split, "clean": clean_split}[split]
    for part, files in rule(NAMES).items():
        found = data[part]
        assert len(found) == STEPS * len(files)
        x = dict(zip(INPUTS[task], found.inputs, strict=True))
        for k, name in enumerate(files):
            raw = contents(NAMES.index(name))
            for step in (0, 7, STEPS - 1):
                row = k * STEPS + step
                image = torch.from_numpy(raw["image"][step].copy()).permute(2, 0, 1)
                assert torch.equal(x["image"][row], image)
                force = np.tanh(raw["ee_forces_continuous"][step][-32:]).astype(np.float32)
                np.testing.assert_allclose(x["force"][row].numpy(), force, rtol=1e-6)
                if task == "ee":
                    assert np.allclose(found.labels[row].numpy(), raw["proprio"][step + 1, :4])
                else:
                    np.testing.assert_allclose(x["proprio"][row].numpy(), raw["proprio"][step])
                    assert found.labels[row] == (raw["contact"][step + 1].sum() > 0)
                assert found.units[row] == NAMES.index(name) // 2


def test_a_smaller_image_is_the_mean_of_what_it_covers(tmp_path):
    arrays = contents(0)
    arrays["image"] = np.random.default_rng(0).integers(0, 256, arrays["image"].shape, np.uint8)
    for name in NAMES[::2]:
        write(tmp_path / name, arrays)
    images = vision_touch.load("cp", split="clean", size=16, root=tmp_path)["test"].inputs[0]
    assert images.shape == (2 * STEPS, 3, 16, 16)
    exact = arrays["image"][:STEPS].transpose(0, 3, 1, 2).reshape(STEPS, 3, 16, 8, 16, 8)
    mean = exact.mean(axis=(3, 5))
    assert np.abs(images[:STEPS].numpy() - mean).max() <= 0.501


def test_the_released_split_is_the_publishers_generator():
    names = [f"t_{t}_{k}_1000.h5" for t in range(150) for k in range(20)]
    order = np.arange(3000)
    np.random.default_rng(42).shuffle(order)
    expected = np.array(sorted(names))[order]
    parts = released_split(reversed(names))  # in any order
    assert parts["train"] == tuple(expected[:2400])
    assert parts["validation"] == parts["test"] == tuple(expected[2400:])
    assert 49 * 2400 == 117_600  # the "117k" of the released code
    assert 49 * 600 == 29_400  # and its "29k"


def test_the_released_split_leaks_twice_and_the_clean_one_does_not():
    names = [f"t_{t}_{k}_1000.h5" for t in range(150) for k in range(20)]
    of = {
        rule: {part: {trajectory(name) for name in files} for part, files in rule(names).items()}
        for rule in (released_split, clean_split)
    }
    released, clean = of[released_split], of[clean_split]
    assert released["validation"] == released["test"]
    assert released["train"] & released["test"] == released["test"]  # every one, with 3,000 files
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        assert not clean[one] & clean[other]
    assert [len(clean[part]) for part in PARTS] == [105, 15, 30]
    files = clean_split(names)
    assert sorted(name for part in PARTS for name in files[part]) == sorted(names)


def test_a_probe_on_features_of_chance_profits_from_the_released_split(folder):
    """The labels of contents() are drawn without regard to anything, so chance is all there is."""
    scores = {}
    for split in ("released", "clean"):
        data = vision_touch.load("cp", split=split, root=folder)
        generator = torch.Generator().manual_seed(0)
        width, drawn = 400, {}
        for part in ("train", "test", "validation"):
            same = part == "validation" and split == "released"
            drawn[part] = (
                drawn["test"] if same else torch.randn(len(data[part]), width, generator=generator)
            )
        scores[split] = linear_probe(
            drawn["train"], data["train"].labels, drawn["test"], data["test"].labels,
            validation=(drawn["validation"], data["validation"].labels), strengths=(1e-3, 1.0),
        ).balanced_accuracy  # fmt: skip
    assert scores["released"] > 75
    assert scores["clean"] < 60


def test_contact_is_a_set_of_three_modalities_by_trajectory(folder, monkeypatch):
    monkeypatch.setenv("MMLIB_DATA", str(folder.parents[1]))
    data = sets.load("multibench_visionandtouch_cp_clean", size=SIDE, words=9, length=6)
    assert [(m.name, m.kind, m.features, m.network, m.changes) for m in data.modalities] == [
        ("image", "image", SIDE, "resnet18", ("drop", "noise")),
        ("proprio", "vector", 8, "proprio", ("noise",)),
        ("force", "sequence", 6, "force", ("noise", "drop")),
    ]
    assert data.modalities[0].blurred
    assert data.unit == "recording"
    assert len(data.test.units.unique()) == 2
    leaky = sets.load("multibench_visionandtouch_cp", size=SIDE, words=9, length=6)
    assert torch.equal(leaky.validation.inputs[2], leaky.test.inputs[2])
    assert not set(data.validation.units.tolist()) & set(data.test.units.tolist())
    own = vision_touch.load("cp", split="released")
    assert torch.equal(leaky.train.inputs[1], own["train"].inputs[1])


def without(key):
    return lambda arrays: arrays.pop(key)


def put(key, make):
    def change(arrays):
        arrays[key] = make(arrays[key])

    return change


def spoiled(x):
    x = x.copy()
    x[49, 3] = np.nan
    return x


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("contact"), "has no 'contact'"),
        (without("image"), "has no 'image'"),
        (put("image", lambda x: x[:, ::2]), r"shape \(50, 64, 128, 3\); expected \(50, 128"),
        (put("image", lambda x: x.astype(float)), "image holds float64; expected uint8"),
        (put("proprio", lambda x: x[:49]), r"proprio has shape \(49, 8\); expected \(50, 8\)"),
        (put("ee_forces_continuous", lambda x: x[:, :30]), r"has shape \(50, 30, 6\); expected"),
        (put("ee_forces_continuous", spoiled), "ee_forces_continuous are not finite"),
        (put("proprio", spoiled), "proprio are not finite"),
        (put("contact", spoiled), "contact are not finite"),
    ],
)
def test_a_bad_file_is_an_error_that_names_it(tmp_path, change, message):
    arrays = contents(3)
    change(arrays)
    write(tmp_path / NAMES[0], arrays)
    with pytest.raises(ValueError, match=rf"journal_0_0_1000\.h5.*{message}"):
        vision_touch._arrays(tmp_path / NAMES[0])


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_a_file_that_is_cut_short_is_an_error(tmp_path, keep):
    path = tmp_path / NAMES[0]
    write(path, contents(0))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"journal_0_0_1000\.h5 cannot be read"):
        vision_touch._arrays(path)


def test_names_and_numbers_of_files_are_checked(tmp_path):
    with pytest.raises(ValueError, match=r"a file is called 'peg\.h5'; allowed: <trajectory>"):
        clean_split([*NAMES, "peg.h5"])
    with pytest.raises(ValueError, match=r"number of trajectories is 9; allowed: \[10, inf\)"):
        clean_split(NAMES[2:])
    with pytest.raises(ValueError, match="number of files for the test is 0"):
        released_split(NAMES[:4])
    with pytest.raises(
        FileNotFoundError, match=r"has no \.h5 file\. Fetch http://\S+triangle_real_data"
    ):
        vision_touch.load("cp", split="clean", root=tmp_path)
    with pytest.raises(ValueError, match="task is 'depth'; allowed: 'ee', 'cp'"):
        vision_touch.load("depth", split="clean", root=tmp_path)
    with pytest.raises(ValueError, match="split is 'mine'; allowed: 'released', 'clean'"):
        vision_touch.load("cp", split="mine", root=tmp_path)


def test_without_h5py_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    for name in NAMES:
        (tmp_path / name).touch()
    with pytest.raises(ImportError, match="pip install h5py"):
        vision_touch.load("cp", split="clean", root=tmp_path)
