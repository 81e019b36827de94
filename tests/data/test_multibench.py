"""Small files in MultiBench's exact format, good and bad, and pickles that would do harm."""

import os
import pickle

import numpy as np
import pytest
import torch

from mmlib.data import multibench
from mmlib.data.multibench import KINDS

WIDTHS = {"vision": 4, "audio": 3, "text": 5}
STEPS = 6


def split(n, seed):
    """n clips that begin at a step of their own; the second has no text, the third all steps."""
    generator = np.random.default_rng(seed)
    starts = generator.integers(1, STEPS, n)
    starts[2] = 0
    part = {
        kind: generator.normal(size=(n, STEPS, f)).astype(np.float32) for kind, f in WIDTHS.items()
    }
    for clip, start in enumerate(starts):
        part["text"][clip, :start] = 0
    part["text"][1] = 0
    part["audio"][3, -1, 0] = -np.inf
    part["labels"] = generator.normal(size=(n, 1, 1)).astype(np.float32)
    part["labels"][0] = 0.0  # neutral is not positive
    part["id"] = np.array([[f"clip{k}[{k}]", "0.1", "0.9"] for k in range(n)], dtype=object)
    return part, starts


def made():
    return {name: split(n, n)[0] for name, n in {"train": 8, "valid": 5, "test": 6}.items()}


def written(folder, content, protocol=4, name="mosi_data.pkl"):
    (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))
    return folder


@pytest.mark.parametrize("protocol", range(6))
def test_clips_begin_at_their_first_word_and_end_in_zeros(tmp_path, protocol):
    content = made()
    data = multibench.load("mosi", root=written(tmp_path, content, protocol))
    for part, raw in zip(data.values(), content.values(), strict=True):
        n = len(raw["labels"])
        starts = split(n, n)[1]
        spoken = [k for k in range(n) if k != 1]  # the second clip has no text
        assert len(part) == n - 1
        assert part.labels.tolist() == [int(raw["labels"][k, 0, 0] > 0) for k in spoken]
        for kind, found in zip(KINDS, part.inputs, strict=True):
            assert found.shape == (n - 1, STEPS, WIDTHS[kind])
            for row, clip in zip(found, spoken, strict=True):
                steps = raw[kind][clip, starts[clip] :].copy()
                steps[np.isneginf(steps)] = 0
                assert torch.equal(row[: len(steps)], torch.from_numpy(steps))
                assert not row[len(steps) :].any()
    assert data["train"].labels[0] == 0


def test_files_written_under_numpy_1_are_read_without_complaint(tmp_path):
    whole = pickle.dumps(made(), protocol=2)
    assert b"cnumpy._core.multiarray\n" in whole
    (tmp_path / "mosi_data.pkl").write_bytes(whole.replace(b"numpy._core", b"numpy.core"))
    assert len(multibench.load("mosi", root=tmp_path)["train"]) == 7


def test_parts_have_one_length(tmp_path):
    content = made()
    for part in ("valid", "test"):
        content[part]["text"][:, :3] = 0  # nobody speaks before the fourth step
    data = multibench.load("mosi", root=written(tmp_path, content))
    assert {x.shape[1] for part in data.values() for x in part.inputs} == {STEPS}
    assert not data["test"].inputs[KINDS.index("vision")][:, 3:].any()


def test_labels_of_either_shape_and_zero_or_one(tmp_path):
    content = made()
    for part in content.values():
        part["labels"] = (part["labels"][:, 0] > 0).astype(np.int64)
    data = multibench.load("urfunny", root=written(tmp_path, content, name="humor.pkl"))
    expected = np.delete(content["test"]["labels"][:, 0], 1)
    assert data["test"].labels.tolist() == expected.tolist()


def without(split, key):
    def change(content):
        del content[split][key]

    return change


def put(split, key, make):
    def change(content):
        content[split][key] = make(content[split][key])

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("valid"), "'valid' in mosi_data.pkl is a NoneType; expected a dictionary"),
        (without("test", "audio"), "'test' in mosi_data.pkl has no 'audio'"),
        (put("train", "vision", lambda x: x[:, :-1]), r"vision has shape \(8, 5, 4\); .*N=8, T=6"),
        (put("train", "vision", lambda x: x[..., 0]), r"'train' .*vision has shape \(8, 6\)"),
        (put("train", "text", lambda x: x[:, 0, 0]), r"text has shape \(8,\); expected \(N, T"),
        (put("test", "labels", lambda x: x[1:]), "'test' .* has 5 labels for 6 clips"),
        (put("train", "text", lambda x: x * np.nan), "'train' .*text are not finite"),
        (put("train", "vision", lambda x: x * np.inf), "'train' .*vision are not finite"),
        (put("valid", "text", np.zeros_like), "'valid' .*no clip has text"),
        (put("test", "audio", lambda x: x[..., 1:]), r"audio has \[2, 3\] features"),
        (put("test", "labels", lambda x: ["good"] * len(x)), "'test' .*labels are no numbers"),
    ],
)
def test_a_bad_file_is_an_error(tmp_path, change, message):
    content = made()
    change(content)
    with pytest.raises(ValueError, match=message):
        multibench.load("mosi", root=written(tmp_path, content))


class Harm:
    """A pickle that makes a folder when read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_would_run_something_is_refused(tmp_path, protocol):
    content = made()
    content["train"]["id"][0, 0] = Harm(tmp_path / "harm")  # inside an array of objects
    with pytest.raises(ValueError, match=r"asks for (posix|os|nt)\.mkdir; allowed: numpy arrays"):
        multibench.load("mosi", root=written(tmp_path, content, protocol))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "name", [b"cbuiltins\neval\n(S'1'\ntR.", b"cnumpy.core.multiarray\nfromfile\n(S'x'\ntR."]
)
def test_what_is_near_the_allowed_is_refused_too(tmp_path, name):
    (tmp_path / "mosi_data.pkl").write_bytes(name)
    with pytest.raises(ValueError, match="allowed: numpy arrays and plain containers"):
        multibench.load("mosi", root=tmp_path)


@pytest.mark.parametrize("size", [0, 1, 100, 2000])
def test_a_file_that_is_cut_short_is_an_error(tmp_path, size):
    whole = pickle.dumps(made(), protocol=4)
    (tmp_path / "mosi_data.pkl").write_bytes(whole[:size])
    with pytest.raises(ValueError, match=r"mosi_data\.pkl (is no whole pickle|cannot be read)"):
        multibench.load("mosi", root=tmp_path)


def test_an_absent_file_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no sarcasm\.pkl\. .*MultiBench"):
        multibench.load("mustard", root=tmp_path)
    with pytest.raises(ValueError, match="name is 'mosei'; allowed: 'mosi', 'urfunny', 'mustard'"):
        multibench.load("mosei", root=tmp_path)
