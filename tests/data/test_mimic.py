"""Small files in the exact format of MultiBench's im.pk, good and bad."""

import os
import pickle
import random

import numpy as np
import pytest
import torch

from mmlib import sets
from mmlib.data import mimic

N = 43
PARTS = ("train", "validation", "test")


def made(seed=0):
    generator = np.random.default_rng(seed)
    table = generator.normal(3, 7, size=(N, 5))
    series = generator.normal(-2, 5, size=(N, 24, 12))
    series[4, 2, 3], series[5, 0, 0], table[7, 1] = np.nan, np.inf, np.nan
    return {
        "adm_features_all": table,
        "ep_tdata": series,
        "y_icd9": (generator.random((N, 20)) < 0.4).astype(float),
        "adm_labels_all": generator.integers(0, 2, (N, 6)),
    }


def written(folder, content, protocol=4):
    (folder / "im.pk").write_bytes(pickle.dumps(content, protocol=protocol))
    return folder


def by_the_publishers_loop(content):
    """MultiBench's loader, step by step: clean, scale all, shuffle the list of samples, cut."""
    cleaned = {}
    for name in ("adm_features_all", "ep_tdata"):
        x = content[name].copy()
        x[np.isinf(x)] = 0
        x[np.isnan(x)] = 0
        cleaned[name] = x
    table, series = cleaned.values()
    stays = []
    for k in range(N):
        row = [(table[k, f] - np.mean(table[:, f])) / np.std(table[:, f]) for f in range(5)]
        hours = np.empty((24, 12))
        for f in range(12):
            values = series[:, :, f].ravel()
            hours[:, f] = (series[k, :, f] - np.mean(values)) / np.std(values)
        stays.append((np.array(row), hours, content["y_icd9"][k, 7]))
    random.Random(10).shuffle(stays)
    cut, end = N // 10, N // 5
    return {"validation": stays[:cut], "test": stays[cut:end], "train": stays[end:]}


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_file_is_read_as_the_publisher_reads_it(tmp_path, protocol):
    content = made()
    data = mimic.load(root=written(tmp_path, content, protocol))
    for name, stays in by_the_publishers_loop(content).items():
        part = data[name]
        assert len(part) == len(stays)
        for k, (row, hours, label) in enumerate(stays):
            np.testing.assert_allclose(part.inputs[0][k].numpy(), row, atol=1e-5)
            np.testing.assert_allclose(part.inputs[1][k].numpy(), hours, atol=1e-5)
            assert part.labels[k].item() == label


def test_the_papers_task_is_group_seven_and_its_scale_is_that_of_all_stays(tmp_path):
    content = made()
    data = mimic.load(root=written(tmp_path, content))
    order = [k for name in PARTS for k in mimic.published_split(N)[name]]
    assert sorted(order) == list(range(N))
    labels = torch.cat([data[name].labels for name in PARTS])
    assert labels.tolist() == content["y_icd9"][order, 7].tolist()
    for kind, over in enumerate([0, (0, 1)]):
        everything = torch.cat([data[name].inputs[kind] for name in PARTS]).double()
        sd, mean = torch.std_mean(everything, dim=over, correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-5, rtol=0)
        torch.testing.assert_close(sd, torch.ones_like(sd), atol=1e-5, rtol=0)


def test_a_feature_without_spread_is_zero(tmp_path):
    content = made()
    content["adm_features_all"][:, 2] = 0.1
    data = mimic.load(root=written(tmp_path, content))
    assert not any(data[name].inputs[0][:, 2].any() for name in PARTS)


def test_stays_have_a_table_of_noise_alone_and_a_series(tmp_path, monkeypatch):
    (tmp_path / "multibench").mkdir()
    written(tmp_path / "multibench", made())
    monkeypatch.setenv("MMLIB_DATA", str(tmp_path))
    data = sets.load("multibench_mimic", size=8, words=12, length=6)
    assert [(m.name, m.kind, m.features, m.network, m.changes) for m in data.modalities] == [
        ("table", "vector", 5, "perceptron", ("noise",)),
        ("series", "sequence", 12, "gru", ("drop", "noise")),
    ]
    assert [len(getattr(data, name)) for name in PARTS] == [35, 4, 4]
    assert torch.equal(data.test.inputs[1], mimic.load()["test"].inputs[1])
    assert len(data.classes) == 2


def without(key):
    return lambda content: content.pop(key)


def put(key, make):
    def change(content):
        content[key] = make(content[key])

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("ep_tdata"), "im.pk has no 'ep_tdata'"),
        (without("y_icd9"), "im.pk has no 'y_icd9'"),
        (put("adm_features_all", lambda x: x[:, 0]), r"has shape \(43,\); expected \(N, F\)"),
        (put("ep_tdata", lambda x: x.reshape(N, -1)), r"has shape \(43, 288\); expected \(N=43"),
        (put("ep_tdata", lambda x: x[1:]), r"ep_tdata has shape \(42, .*; expected \(N=43"),
        (put("y_icd9", lambda x: x * np.nan), "y_icd9 of group 7 is nan; allowed: 0, 1"),
        (put("y_icd9", lambda x: x * 2), "y_icd9 of group 7 is 2.0; allowed: 0, 1"),
        (put("y_icd9", lambda x: x[:, :7]), "number of groups is 7"),
        (put("ep_tdata", lambda x: [["low"]] * N), "ep_tdata are no numbers"),
    ],
)
def test_a_bad_file_is_an_error(tmp_path, change, message):
    content = made()
    change(content)
    with pytest.raises(ValueError, match=message):
        mimic.load(root=written(tmp_path, content))


def test_a_file_of_something_else_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"im\.pk is a list; expected a dictionary"):
        mimic.load(root=written(tmp_path, [1]))
    few = {key: x[:9] for key, x in made().items()}
    with pytest.raises(ValueError, match=r"number of stays is 9; allowed: \[10, inf\)"):
        mimic.load(root=written(tmp_path, few))


class Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_something_is_refused(tmp_path):
    content = made() | {"note": Harm(tmp_path / "harm")}
    with pytest.raises(ValueError, match=r"asks for \w+\.mkdir; allowed: numpy arrays"):
        mimic.load(root=written(tmp_path, content))
    assert not (tmp_path / "harm").exists()


def test_an_absent_file_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no im\.pk\. .*PhysioNet.*MultiBench"):
        mimic.load(root=tmp_path)
