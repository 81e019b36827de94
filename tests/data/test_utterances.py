"""The publisher's files and the simple layout, made in their exact formats, good and bad."""

import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch

from mmlib.data import utterances
from mmlib.data._prepared import digest
from mmlib.data._root import data_root
from mmlib.data.utterances import KINDS

FEATURES = {"text": 4, "audio": 3, "video": 5}
VIDEOS = {"train": tuple("abcdefghij"), "test": ("x_1", "y-2", "z")}  # ids may hold an underscore


def spoken(video, number):
    return f"{video.upper()[0]} SAYS {number}"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The publisher's folder: 13 videos of 11 utterances, tables in an order of their own."""
    folder = tmp_path_factory.mktemp("published")
    generator = np.random.default_rng(0)
    names = [(v, k) for v in sorted(sum(VIDEOS.values(), ())) for k in range(1, 12)]
    names.sort(key=lambda name: f"{name[0]}_{name[1]}")  # by text: _10 stands before _2
    labels = generator.integers(0, 2, len(names))
    told = [
        [f"{v}_{k}", spoken(v, k), str(len(names)), str(label)]
        for (v, k), label in zip(names, labels, strict=True)
    ]
    pd.DataFrame(told).to_csv(folder / "transcripts.csv", index=False, header=False, quoting=1)
    for part, videos in VIDEOS.items():
        places = np.array([k for k, (v, _) in enumerate(names) if v in videos])
        places = places[labels[places].argsort(kind="stable")]  # the publisher's: by label
        for kind, n in FEATURES.items():
            (folder / kind).mkdir(exist_ok=True)
            rows = np.column_stack([vector(kind, *names[p]) for p in places]).T.astype(object)
            assert rows.shape[1] == n
            table = pd.DataFrame(np.column_stack([rows, labels[places]]))
            table.to_csv(folder / kind / f"{kind}_{part}0.csv", index=False, header=False)
        pd.DataFrame({0: places, 1: 0.5}).to_csv(
            folder / f"text_{part}.csv", index=False, header=False
        )
    return folder


@pytest.fixture(scope="module", autouse=True)
def tested():
    """Two of the three videos of the test list are the records'."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utterances, "_TESTED", ("y-2", "x_1"))
        yield


def vector(kind, video, number):
    """Values that say whose they are; the first video column is always 0."""
    seed = [KINDS.index(kind), *video.encode(), number]
    values = np.random.default_rng(seed).normal(3, 2, FEATURES[kind]).astype(np.float32)
    if kind == "video":
        values[0] = 0.0
    return values


@pytest.fixture(scope="module")
def prepared(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    utterances.prepare(source, folder)
    return folder


def test_each_utterance_keeps_its_vectors_its_words_and_its_label(source, prepared):
    rows = pd.read_csv(prepared / "utterances.csv")
    told = pd.read_csv(source / "transcripts.csv", header=None, index_col=0)
    assert len(rows) == 12 * 11
    with np.load(prepared / "features.npz") as file:
        for row in rows.itertuples():
            video, _, number = row.id.rpartition("_")
            assert video == row.video_id
            assert row.label == told.loc[row.id, 3] == file["label"][row.row]
            assert row.transcript == spoken(video, int(number))
            assert (row.split == "train") == (video in VIDEOS["train"]) == file["is_train"][row.row]
            for kind in KINDS:
                expected = vector(kind, video, int(number))
                assert np.array_equal(file[kind][row.row], expected)
    assert rows["id"][:11].tolist() == [f"a_{k}" for k in range(1, 12)]


def test_parts_share_no_video_and_are_scaled_by_the_training_rows_alone(prepared):
    data = utterances.load(root=prepared)
    parts = list(data.values())
    assert [len(part) for part in parts] == [8 * 11, 2 * 11, 2 * 11]
    videos = [set(part.videos.tolist()) for part in parts]
    assert not videos[0] & videos[1]
    assert not (videos[0] | videos[1]) & videos[2]
    assert videos[1] == {4, 9}  # every fifth video, e and j
    with np.load(prepared / "features.npz") as file:
        training = np.isin(pd.read_csv(prepared / "utterances.csv")["video_id"], list("abcdfghi"))
        for kind in KINDS:
            x = file[kind].astype(np.float64)
            mean, sd = x[training].mean(0), x[training].std(0)
            expected = (x - mean) / np.where(sd > 0, sd, 1)
            found = data["train"].vectors[kind].numpy()
            np.testing.assert_allclose(found, expected[training], atol=1e-5)
            np.testing.assert_allclose(
                data["test"].vectors[kind].numpy(), expected[~file["is_train"]], atol=1e-5
            )
    assert data["test"].transcripts[0] == "X SAYS 1"


def test_a_column_that_is_constant_in_training_says_nothing_anywhere(prepared, tmp_path):
    def change(rows, arrays):
        arrays["video"][:, 0] = np.where(arrays["is_train"], 0.1, 7.0)
        return rows, arrays

    data = utterances.load(root=damaged(prepared, tmp_path, change))
    for part in data.values():
        assert not part.vectors["video"][:, 0].any()
        assert part.vectors["video"][:, 1:].all()


def damaged(prepared, tmp_path, change):
    """The prepared set, changed."""
    folder = tmp_path / "set"
    shutil.copytree(prepared, folder)
    with np.load(folder / "features.npz") as file:
        arrays = dict(file)
    rows, arrays = change(pd.read_csv(folder / "utterances.csv"), arrays)
    rows.to_csv(folder / "utterances.csv", index=False)
    np.savez(folder / "features.npz", **arrays)
    return folder


def set_value(column, row, value):
    def change(rows, arrays):
        rows.loc[row, column] = value
        return rows, arrays

    return change


def not_finite(rows, arrays):
    arrays["audio"][3, 1] = np.nan
    return rows, arrays


def other_label(rows, arrays):
    arrays["label"][5] = 1 - arrays["label"][5]
    return rows, arrays


def moved(rows, arrays):
    """One utterance of a training video is said to be of the other split."""
    rows.loc[0, "split"] = "val"
    arrays["is_train"][0] = False
    return rows, arrays


def short(rows, arrays):
    return rows, {**arrays, "audio": arrays["audio"][:-1]}


def no_video(rows, arrays):
    del arrays["video"]
    return rows, arrays


def all_training(rows, arrays):
    return rows.assign(split="train"), {**arrays, "is_train": np.ones(len(rows), dtype=bool)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_value("row", 2, 1), "has not the rows 0 to 131, each once"),
        (set_value("id", 2, "a_1"), "'a_1' is there twice"),
        (set_value("split", 2, "dev"), "split in utterances.csv is 'dev'"),
        (set_value("label", 2, 3), "label in utterances.csv is 3"),
        (set_value("transcript", 2, "..."), "utterance a_3 has a transcript without words"),
        (short, "features.npz has 131 rows of audio, utterances.csv 132"),
        (not_finite, "utterance a_4 has no finite audio"),
        (other_label, "the files disagree on label of a_6"),
        (moved, "video a is in two splits"),
        (no_video, "features.npz cannot be read"),
        (all_training, "part 'test' has no utterance"),
    ],
)
def test_a_damaged_set_is_an_error(prepared, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        utterances.load(root=damaged(prepared, tmp_path, change))


def test_a_file_that_is_no_archive_is_an_error(prepared, tmp_path):
    folder = damaged(prepared, tmp_path, lambda rows, arrays: (rows, arrays))
    (folder / "features.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ValueError, match=r"features\.npz cannot be read"):
        utterances.load(root=folder)


def test_a_changed_byte_of_the_archive_is_an_error(prepared, tmp_path):
    folder = damaged(prepared, tmp_path, lambda rows, arrays: (rows, arrays))
    changed = bytearray((prepared / "features.npz").read_bytes())
    with zipfile.ZipFile(prepared / "features.npz") as archive:
        start = archive.getinfo("text.npy").header_offset
    name, extra = (int.from_bytes(changed[start + k : start + k + 2], "little") for k in (26, 28))
    changed[start + 30 + name + extra] = 255  # no kind of block that deflate knows
    (folder / "features.npz").write_bytes(changed)
    with pytest.raises(ValueError, match=r"features\.npz cannot be read"):
        utterances.load(root=folder)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("audio/audio_train0.csv", lambda t: t[:-1], "audio_train0.csv has 109 rows"),
        ("video/video_test0.csv", lambda t: t[::-1], "video_test0.csv has another label of"),
        ("text_train.csv", lambda t: t + 1000, "names a row that transcripts.csv has not"),
    ],
)
def test_tables_that_do_not_join_are_an_error(source, tmp_path, name, change, message):
    folder = tmp_path / "published"
    shutil.copytree(source, folder)
    changed = change(pd.read_csv(folder / name, header=None))
    changed.to_csv(folder / name, index=False, header=False)
    with pytest.raises(ValueError, match=message):
        utterances.prepare(folder, tmp_path / "prepared")


def test_an_absent_set_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"features.npz.*mmlib.data.utterances FOLDER"):
        utterances.load(root=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"transcripts.csv is missing"):
        utterances.prepare(tmp_path, tmp_path / "prepared")


def test_a_video_of_the_records_that_is_not_in_the_test_list_is_an_error(
    source, tmp_path, monkeypatch
):
    monkeypatch.setattr(utterances, "_TESTED", ("x_1", "a"))  # a is in the training list
    with pytest.raises(ValueError, match="the test list has no utterance of video a"):
        utterances.prepare(source, tmp_path / "prepared")


def test_the_set_itself():
    if not (data_root() / "mosi_features").is_dir():
        pytest.skip("the MOSI utterances are not on this machine (MMLIB_DATA)")
    data = utterances.load()
    parts = list(data.values())
    assert {kind: x.shape[1] for kind, x in data["train"].vectors.items()} == {
        "text": 100, "audio": 73, "video": 100,
    }  # fmt: skip
    assert len(data["train"]) + len(data["validation"]) == 1447  # the publisher's training list
    assert sum(len(set(part.videos.tolist())) for part in parts) == len(
        torch.cat([part.videos for part in parts]).unique()
    )
    constant = ~data["train"].vectors["video"].any(dim=0)
    assert constant.sum() >= 32
    for part in parts:
        assert not part.vectors["video"][:, constant].any()
        assert all(x.isfinite().all() for x in part.vectors.values())

    # Words and vectors belong together: who is praised in words is so in the text vector.
    def share(part, word):
        said = torch.tensor([word in t.split() for t in part.transcripts])
        return part.labels[said].float().mean().item()

    assert share(data["train"], "AWESOME") > 0.7 > 0.3 > share(data["train"], "BORING")
    folder = data_root() / "mosi_features"
    assert {name: digest(folder / name) for name in utterances.RECORDED} == utterances.RECORDED
