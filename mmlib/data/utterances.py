"""MOSI by the utterance: a text, an audio and a video vector each, the transcript, the sentiment.

Film reviewers talk into a camera (A. Zadeh et al., MOSI, 2016); somebody judged each utterance as
positive or negative. The vectors are those of S. Poria et al. (ACL 2017), one of each kind for an
utterance. They are not the word-by-word features of MultiBench that CoMM's tables are made of;
those are read by :mod:`mmlib.data.multibench`.

``python -m mmlib.data.utterances FOLDER`` prepares the set from the publisher's folder
``bc-LSTM/data`` (github.com/declare-lab/multimodal-deep-learning): ``transcripts.csv``;
``text_train.csv`` and ``text_test.csv``, whose first column is the row of each utterance in it; and
``<kind>/<kind>_train0.csv`` and ``..._test0.csv`` for text, audio and video, in that same order,
the label last. What it writes to ``MMLIB_DATA/mosi_features`` is

* ``utterances.csv``: ``row``, ``id``, ``video_id``, ``split`` (train or val), ``label`` (0 is
  negative, 1 positive) and ``transcript``;
* ``features.npz``: ``text`` (N, 100), ``audio`` (N, 73), ``video`` (N, 100), ``label`` and
  ``is_train``, in the order of ``row``.

They are those that the records were made with: all utterances of the publisher's training list, and
of seven of the 31 videos of its test list.

Mind that the text and the video vectors come from networks that were trained on the labels of the
training videos. A probe fitted there trusts them more than it should.
"""

from __future__ import annotations

import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmlib._checks import check_choice, check_distinct
from mmlib.data._prepared import comparison
from mmlib.data._root import data_root, set_folder
from mmlib.data.text import words_of

KINDS = ("text", "audio", "video")
CLASSES = ("negative", "positive")
RECORDED = {
    "utterances.csv": "7f199a713e0cadc42b3a75fa691bb7c608f0d18e384d4043ee4f1cb7003d7086",
    "features.npz": "c2f19b3d095b704d2f334fbe9126a40cc66352657f32aefbff27be435f26f6be",
}

_HOW = (
    "Clone https://github.com/declare-lab/multimodal-deep-learning, then run "
    "`python -m mmlib.data.utterances FOLDER` on its folder bc-LSTM/data"
)
_TESTED = (  # of the videos of the publisher's test list
    "03bSnISJMiM", "2WGyTLYerpo", "8d-gEyoeBzc", "Dg_0XKD0Mf4", "I5y0__X72p0", "Sqr0AcuoNnk",
    "cM3Yna7AavY",
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """N utterances: ``vectors`` (N, F) of each kind, standardised, and what else is known."""

    vectors: dict[str, Tensor]
    labels: Tensor  # long (N,)
    videos: Tensor  # long (N,), a number for each video of the set
    transcripts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def load(*, root: Path | None = None, device: torch.device | str = "cpu") -> dict[str, Part]:
    """All utterances in the parts ``train``, ``validation`` and ``test``, no video in two of them.

    The set's ``val`` rows are the test part; of the videos of its ``train`` rows, in order of their
    id, every fifth is for validation. Vectors are scaled by mean and standard deviation of the
    training rows; a column that is constant there is zero in every part: nothing was learned about
    it. ``root`` is the folder with both files, by default ``mosi_features`` in ``MMLIB_DATA``.

    Raises ``FileNotFoundError``, saying how to get it, where the set is absent; ``ValueError`` for
    arrays that do not fit the table or are not finite, a label other than 0 and 1, an unknown
    split, a transcript without words, a double row or id, and a video in two splits.
    """
    folder = set_folder("mosi_features", ("features.npz", "utterances.csv"), _HOW, root)
    rows = pd.read_csv(folder / "utterances.csv", keep_default_na=False).sort_values("row")
    try:
        with (
            (folder / "features.npz").open("rb") as stream,
            np.load(stream, allow_pickle=False) as file,
        ):
            arrays = {name: file[name] for name in (*KINDS, "label", "is_train")}
    except (KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{folder / 'features.npz'} cannot be read ({error})") from error
    _check(rows, arrays)

    known = {name: number for number, name in enumerate(sorted(rows["video_id"].unique()))}
    training = rows["split"].to_numpy() == "train"
    fifth = sorted(rows["video_id"][training].unique())[4::5]
    held = rows["video_id"].isin(fifth).to_numpy()
    rules = {"train": training & ~held, "validation": held, "test": ~training}
    for name, rule in rules.items():
        if not rule.any():
            raise ValueError(f"part {name!r} has no utterance")

    fit = torch.from_numpy(rules["train"])
    scaled = {}
    for kind in KINDS:
        x = torch.from_numpy(arrays[kind]).float()
        constant = x[fit].amin(dim=0) == x[fit].amax(dim=0)  # rounding may leave it a deviation
        sd = x[fit].std(dim=0, correction=0).masked_fill(constant, 0)
        scaled[kind] = torch.where(sd > 0, (x - x[fit].mean(dim=0)) / sd, 0.0)
    videos = torch.tensor([known[name] for name in rows["video_id"]])
    labels = torch.from_numpy(arrays["label"]).long()
    parts = {}
    for name, rule in rules.items():
        chosen = torch.from_numpy(np.flatnonzero(rule))
        parts[name] = Part(
            {kind: x[chosen].to(device) for kind, x in scaled.items()},
            labels[chosen].to(device),
            videos[chosen].to(device),
            tuple(rows["transcript"][rule]),
        )
    return parts


def _check(rows: pd.DataFrame, arrays: dict[str, np.ndarray]) -> None:
    n = len(rows)
    if rows["row"].tolist() != list(range(n)):
        raise ValueError(f"utterances.csv has not the rows 0 to {n - 1}, each once")
    check_distinct("ids of utterances.csv", rows["id"])
    for name, array in arrays.items():
        if len(array) != n:
            raise ValueError(f"features.npz has {len(array)} rows of {name}, utterances.csv {n}")
    for kind in KINDS:
        wrong = ~np.isfinite(arrays[kind]).all(axis=1)
        if wrong.any():
            raise ValueError(f"utterance {rows['id'].iloc[wrong.argmax()]} has no finite {kind}")
    for column, allowed in {"split": ("train", "val"), "label": (0, 1)}.items():
        for value in rows[column].unique().tolist():
            check_choice(f"{column} in utterances.csv", value, allowed)
    same = {"label": rows["label"], "is_train": rows["split"] == "train"}
    for name, column in same.items():
        wrong = arrays[name] != column.to_numpy()
        if wrong.any():
            raise ValueError(f"the files disagree on {name} of {rows['id'].iloc[wrong.argmax()]}")
    splits = rows.groupby("video_id")["split"].nunique()
    if (splits > 1).any():
        raise ValueError(f"video {splits.idxmax()} is in two splits")
    for name, transcript in zip(rows["id"], rows["transcript"], strict=True):
        if not words_of(transcript):
            raise ValueError(f"utterance {name} has a transcript without words: {transcript!r}")


def prepare(source: Path, target: Path) -> None:
    """Write both files to ``target`` from the publisher's ``bc-LSTM/data``.

    The tables are joined by their place: line k of every ``..._train0.csv`` is the utterance that
    line k of ``text_train.csv`` names. Of the publisher's test list seven videos become ``val``,
    the others are left out. Rows are ordered by split, video and the utterance's number in it.

    Raises ``ValueError`` where tables differ in length, where a label in any of them is not that of
    the transcript, for a row that ``transcripts.csv`` does not have, and for an absent video.
    """
    source, target = Path(source), Path(target)
    told = _table(source / "transcripts.csv", dtype=str)
    tables, features = [], {kind: [] for kind in KINDS}
    for published, split in (("train", "train"), ("test", "val")):
        places = _table(source / f"text_{published}.csv")[0].astype(int)
        if not places.between(0, len(told) - 1).all():
            raise ValueError(f"text_{published}.csv names a row that transcripts.csv has not")
        rows = told.iloc[places].reset_index(drop=True)
        for kind in KINDS:
            name = f"{kind}_{published}0.csv"
            table = _table(source / kind / name)
            if len(table) != len(rows):
                raise ValueError(f"{name} has {len(table)} rows, text_{published}.csv {len(rows)}")
            wrong = table.iloc[:, -1].astype(int).to_numpy() != rows[3].astype(int).to_numpy()
            if wrong.any():
                raise ValueError(f"{name} has another label of {rows[0].iloc[wrong.argmax()]}")
            features[kind].append(table.iloc[:, :-1].to_numpy(np.float32))
        video, number = rows[0].str.rsplit("_", n=1).str[0], rows[0].str.rsplit("_", n=1).str[1]
        tables.append(
            pd.DataFrame(
                {
                    "id": rows[0],
                    "video_id": video,
                    "number": number.astype(int),
                    "split": split,
                    "label": rows[3].astype(int),
                    "transcript": rows[1],
                }
            )
        )
    joined = pd.concat(tables, ignore_index=True)
    if absent := set(_TESTED) - set(joined["video_id"][joined["split"] == "val"]):
        raise ValueError(f"the test list has no utterance of video {min(absent)}")
    joined = joined[(joined["split"] == "train") | joined["video_id"].isin(_TESTED)]
    order = joined.sort_values(["split", "video_id", "number"]).index
    joined = joined.loc[order].drop(columns="number").reset_index(drop=True)
    joined.insert(0, "row", range(len(joined)))
    target.mkdir(parents=True, exist_ok=True)
    joined.to_csv(target / "utterances.csv", index=False)
    np.savez_compressed(
        target / "features.npz",
        **{kind: np.concatenate(parts)[order] for kind, parts in features.items()},
        label=joined["label"].to_numpy(np.int64),
        is_train=(joined["split"] == "train").to_numpy(),
    )


def _table(path: Path, **options) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; it is in the publisher's folder bc-LSTM/data")
    return pd.read_csv(path, header=None, keep_default_na=False, **options)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python -m mmlib.data.utterances FOLDER   the publisher's folder bc-LSTM/data")
    prepare(Path(sys.argv[1]), data_root() / "mosi_features")
    print(comparison(data_root() / "mosi_features", RECORDED))
