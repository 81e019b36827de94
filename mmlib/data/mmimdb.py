"""MM-IMDb: films with poster and plot, and which of 23 genres each has.

25,959 films (J. Arevalo et al., 2017). The set is not part of this project. The publisher's archive
unpacks to a folder that in ``MMLIB_DATA`` is called ``mmimdb``, with

* ``split.json``: the ids of the films of ``train``, ``dev`` and ``test``;
* ``dataset/<id>.json``: a film's ``plot``, a list of texts, ``genres``, a list of names, and more;
* ``dataset/<id>.jpeg``: its poster.

A film may have several genres, and others than these 23, which do not count.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from mmlib._checks import check_distinct, check_range
from mmlib.data._photo import central_square, decoded
from mmlib.data._root import set_folder
from mmlib.data.text import words_of

GENRES = (
    "Action", "Adventure", "Animation", "Biography", "Comedy", "Crime", "Documentary", "Drama",
    "Family", "Fantasy", "Film-Noir", "History", "Horror", "Music", "Musical", "Mystery", "Romance",
    "Sci-Fi", "Short", "Sport", "Thriller", "War", "Western",
)  # fmt: skip
_PUBLISHED = {"train": "train", "validation": "dev", "test": "test"}
_HOW = (
    "Fetch https://archive.org/download/mmimdb/mmimdb.tar.gz (8.1 GB), to which "
    "https://github.com/pliang279/MultiBench links, and unpack it: split.json and the folder "
    "dataset belong here"
)


@dataclass(frozen=True)
class Part:
    """N films: ``posters`` uint8 (N, 3, S, S), ``plots``, ``genres`` long (N, 23), 0 or 1."""

    posters: Tensor
    plots: tuple[str, ...]
    genres: Tensor

    def __len__(self) -> int:
        return len(self.plots)


def load(
    size: int, *, root: Path | None = None, device: torch.device | str = "cpu"
) -> dict[str, Part]:
    """The publisher's parts, ``dev`` as ``validation``; a film's longest plot, the first of equals.

    (The released code draws one of the plots each time.) Posters are resized, bilinear, so that the
    shorter side has ``size`` pixels, and cut to the square in the middle. ``root`` is the folder
    with ``split.json``.

    Raises ``FileNotFoundError``, saying how to get it, where the set is absent; ``ValueError`` for
    a split that is missing, empty or no list, a film that is in it twice, without readable file or
    whole poster, without a plot of words, or whose genres are no list of names.
    Source: CoMM, MM-IMDb experiments.
    """
    check_range("size", size, 8)
    folder = set_folder("mmimdb", ("split.json",), _HOW, root)
    ids = _split(folder / "split.json")
    parts = {}
    for part, films in ids.items():
        posters = torch.empty(len(films), 3, size, size, dtype=torch.uint8)
        plots, genres = [], torch.zeros(len(films), len(GENRES), dtype=torch.long)
        for row, film in enumerate(films):
            path = folder / "dataset" / f"{film}.jpeg"
            poster = decoded(path, f"{path} is no whole poster")
            posters[row] = central_square(poster, size, Image.Resampling.BILINEAR)
            plot, named = _film(folder / "dataset" / f"{film}.json")
            plots.append(plot)
            genres[row] = torch.tensor([name in named for name in GENRES])
        parts[part] = Part(posters.to(device), tuple(plots), genres.to(device))
    return parts


def _split(path: Path) -> dict[str, list[str]]:
    content = _json(path)
    ids = {}
    for part, name in _PUBLISHED.items():
        films = content.get(name) if isinstance(content, dict) else None
        if not isinstance(films, list) or not films:
            raise ValueError(f"{path} has no list of films {name!r}")
        ids[part] = [str(film) for film in films]
    check_distinct(f"films of {path}", chain(*ids.values()))
    return ids


def _film(path: Path) -> tuple[str, set[str]]:
    content = _json(path)
    for key in ("plot", "genres"):
        value = content.get(key) if isinstance(content, dict) else None
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise ValueError(f"{path} has no list of texts {key!r}")
    plot = max(content["plot"], key=len, default="")
    if not words_of(plot):
        raise ValueError(f"{path} has no plot with words")
    return plot, set(content["genres"])


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from error
