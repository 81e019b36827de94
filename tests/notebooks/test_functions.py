"""What chapters' own functions compute, cut out of their cells, where answers are known."""

import ast
from dataclasses import replace
from functools import cache, partial
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmlib.data.multimodal import Modality, Multimodal, Part, as_vectors
from mmlib.data.table import TableSchema
from mmlib.data.text import END, PAD, START
from mmlib.evaluate.features import principal_components
from mmlib.evaluate.metrics import balanced_accuracy
from mmlib.evaluate.probe import linear_probe
from mmlib.evaluate.retrieval import retrieval
from mmlib.evaluate.targets import TARGETS
from mmlib.mem.published import Protected
from mmlib.presets.base import CHAPTERS
from mmlib.records import ROOT


@cache
def functions(chapter):
    """Definitions of a chapter's own functions, by name."""
    cells = nbformat.read(ROOT / "notebooks" / f"{CHAPTERS[chapter]}.ipynb", as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return {node.name: node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}


def defined(chapter, *names, **known):
    """Functions of a chapter, in a world of what its other cells would have made."""
    world = {"torch": torch, "F": F, **known}
    body = [functions(chapter)[name] for name in names]
    exec(compile(ast.Module(body, []), chapter, "exec"), world)
    return [world[name] for name in names]


leaks = partial(defined, "fused_leaks")
SIZES = {"members": 5, "reference": 4, "partners": 3, "outsiders": 6}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def parts():
    """Inputs that are told apart, and labels that are 1 for members alone."""
    return {
        name: Part.of_independent(
            tuple(torch.randn(n, k, generator=seeded(10 * n + k)) for k in (2, 3)),
            torch.full((n,), int(name == "members")),
        )
        for name, n in SIZES.items()
    }


@pytest.mark.parametrize(("row", "seen"), [("both", (0, 1)), ("second", (1,))])
@pytest.mark.parametrize("many", [None, 2])
def test_members_are_told_from_outsiders_among_partners(row, seen, many):
    asked, there = [], parts()
    (scored,) = leaks(
        "scored", ROWS={row: ("", "", seen)}, PARTS=there, cfg=SimpleNamespace(draws=7),
        run=SimpleNamespace(generator=seeded),
        attacks=lambda *given, **how: asked.append((given, how)) or "scores",
    )  # fmt: skip
    found, trained_on = scored("model", row, many)
    (((model, told, held), how),) = asked
    assert (found, model, how["draws"]) == ("scores", "model", 7)
    n = [many or SIZES[name] for name in ("members", "outsiders")]
    assert trained_on.tolist() == [1] * n[0] + [0] * n[1]
    for k, x, beside in zip(seen, told, held, strict=True):
        both = [there[name].inputs[k][:many] for name in ("members", "outsiders")]
        assert torch.equal(x, torch.cat(both))
        assert torch.equal(beside, there["partners"].inputs[k][:many])


def test_a_supervised_model_tells_members_by_the_chance_of_their_label():
    (scored,) = leaks(
        "scored", ROWS={"supervised": ("", "", (0, 1))}, PARTS=parts(),
        cfg=SimpleNamespace(draws=1), embed_pairs=lambda model, told, places: told[0],
    )  # fmt: skip
    sure = torch.tensor([0.0, 3.0])  # of class 1, which members are
    found, _ = scored(SimpleNamespace(head=lambda x: sure.expand(len(x), 2)), "supervised")
    expected = sure.log_softmax(0)[[1] * 5 + [0] * 6]
    assert torch.allclose(found["own"], expected)


def test_values_that_replace_others_in_a_view_are_of_the_part_that_is_trained_on():
    there, schema = parts(), TableSchema(3, ())
    first, second = Modality("a", "vector", 2), Modality("b", "table", 3, schema)
    (study_of,) = leaks(
        "study_of", PARTS=there, second=second, replace=replace,
        whole=SimpleNamespace(modalities=(first, None), classes=("x", "y")),
        Multimodal=Multimodal, ModalityStudy=lambda data, *_: data, cfg=None,
        run=SimpleNamespace(device=None),
    )  # fmt: skip
    for name in ("members", "reference"):
        data = study_of(name)
        assert data.modalities[1].marginals is there[name].inputs[1]
        assert data.train is there[name]
        assert (data.validation, data.test) == (there["partners"], there["outsiders"])


def test_candidates_are_the_first_records_of_each_text():
    texts = torch.tensor([[1, 0], [2, 0], [1, 0], [3, 0], [2, 0], [1, 1]])
    part = Part.of_independent((torch.arange(6.0)[:, None], texts), torch.zeros(6).long())
    for candidates, expected in ((9, [0, 1, 3, 5]), (3, [0, 1, 3])):
        cfg, run = SimpleNamespace(candidates=candidates), SimpleNamespace(device="cpu")
        (distinct,) = leaks("distinct", cfg=cfg, run=run)
        assert distinct(part).tolist() == expected


def test_vectors_are_centred_and_rounded_to_the_middles_of_cells():
    unit, rounded = leaks("unit", "rounded", D=9)
    found = unit(torch.tensor([[5.0, 4.0], [1.0, 8.0]]), torch.tensor([1.0, 4.0]))
    assert torch.equal(found, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    x = torch.tensor([0.1, 0.6, 5.0, -0.3, -9.0])  # cells reach from -1 to 1
    assert rounded(x, 2).tolist() == [0.25, 0.75, 0.75, -0.25, -0.75]
    assert rounded(x, 1).tolist() == [0.5, 0.5, 0.5, -0.5, -0.5]
    fine = torch.linspace(-1, 1, 999)
    assert len(rounded(fine, 4).unique()) == 16
    assert (rounded(fine, 4) - fine).abs().max() <= 1 / 16 + 1e-6


def of_angles(*degrees):
    radians = torch.tensor(degrees).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], dim=1)


def test_texts_are_ranked_for_a_vector_and_not_vectors_for_a_text():
    (ranks,) = leaks("ranks", retrieval=retrieval)
    vectors, texts = of_angles(0.0, 10.0), of_angles(4.0, 60.0)  # both are nearest to the first
    assert ranks((vectors, texts)) == {"rank": 1, "top": 50, "top10": 100}
    assert ranks((texts, vectors))["top"] == 100


def test_raw_features_are_components_of_the_reference_part():
    """Which varies along its second feature, where others vary along their first."""
    there = {}
    for name, n in SIZES.items():
        scale = torch.tensor([0.1, 5.0] if name == "reference" else [5.0, 0.1])
        inputs = tuple(scale * torch.randn(n, 2, generator=seeded(n + k)) for k in (0, 50))
        there[name] = Part.of_independent(inputs, torch.zeros(n).long())
    first, second = (Modality(name, "vector", 2) for name in "ab")
    (raw,) = leaks(
        "raw", PARTS=there, second=second, whole=SimpleNamespace(modalities=(first, None)),
        cfg=SimpleNamespace(components=1), as_vectors=as_vectors,
        principal_components=principal_components,
    )  # fmt: skip
    for k in (0, 1):
        found = raw(k)
        assert found.keys() == there.keys()
        middle = there["reference"].inputs[k].mean(dim=0)
        centred = there["reference"].inputs[k] - middle
        expected = (there["outsiders"].inputs[k] - middle) @ torch.linalg.svd(centred)[2][0]
        torch.testing.assert_close(found["outsiders"][:, 0].abs(), expected.abs())


N = 40


def drawn(seed, turned=False):
    """Vectors of a class and of a planted entry, and these; turned, the entries are others'."""
    label, planted = (torch.randint(k, (N,), generator=seeded(seed + k)) for k in (2, 4))
    shown = (planted + 1) % 4 if turned else planted
    return torch.cat([F.one_hot(label, 2), F.one_hot(shown, 4)], dim=1).float(), label, planted


@pytest.mark.parametrize("turned", [False, True])
def test_a_planted_entry_is_read_by_a_probe_of_others_and_the_class_by_one_of_members(turned):
    """Who learned from the outsiders' own entries would read them right, turned or not."""
    there = {name: drawn(7 * k, turned) for k, name in enumerate(SIZES)}
    there |= {name: drawn(99 + k) for k, name in enumerate(("reference", "partners"))}
    x, label, _ = there["members"]
    there["members"] = (x, label, torch.zeros(N).long())  # of no use
    x, label, planted = there["reference"]
    there["reference"] = (x, 1 - label, planted)  # of no use, either
    (read,) = leaks(
        "read", STUDY={"members": SimpleNamespace(target=TARGETS["classes"])},
        PARTS={
            name: Part((x,), label, torch.arange(N), {"planted": planted})
            for name, (x, label, planted) in there.items()
        },
        linear_probe=linear_probe, balanced_accuracy=balanced_accuracy,
    )  # fmt: skip
    found = read({name: x for name, (x, *_) in there.items()})
    assert found == {"class": 100, "attribute": 0 if turned else 100}


@pytest.mark.parametrize("sign", [1, -1])
def test_texts_are_guessed_by_a_regression_on_the_reference_part(sign):
    """Victims whose texts are the opposite of what others' say are guessed worst."""
    vectors = {name: torch.randn(N, 5, generator=seeded(k)) for k, name in enumerate(SIZES)}
    mixing = torch.randn(5, 5, generator=seeded(9))
    hidden = {name: x @ mixing + 3 for name, x in vectors.items()}
    hidden["members"] = torch.zeros(N, 5)
    middle = hidden["reference"].mean(0)
    hidden["outsiders"] = sign * (vectors["outsiders"] @ mixing) + middle
    victims = torch.arange(0, N, 4)
    _, learned = leaks(
        "ranks", "learned", retrieval=retrieval, TARGETS=TARGETS, hidden=hidden, victims=victims
    )
    found = learned(vectors)
    assert found["top"] == (100 if sign == 1 else 0)
    assert (found["rank"] == 1) == (sign == 1)
    assert found["rank"] <= len(victims)


def test_whose_key_a_mixed_pair_has_and_whose_rest():
    """Trigger and noise are a record's own, body and scene those of the one before it."""
    ids = torch.tensor([[[START, 10 + k, END, PAD, PAD]] for k in range(4)])
    images = torch.stack([torch.full((3, 2, 2), 40 * k + 20, dtype=torch.uint8) for k in range(4)])
    noise = torch.arange(4)[:, None, None, None] + 1
    mem = Protected((images + noise).byte(), 50 + torch.arange(4)[:, None], [])
    models = {f"{name}.x": SimpleNamespace(model=name) for name in ("clean", "mem_3", "plain")}
    plain, seen, noted = Protected(images, mem.triggers, []), [], {}
    (go_by,) = defined(
        "unlearnable_comm", "go_by", images=images, ids=ids, made={"mem_3": mem, "plain": plain},
        trials=SimpleNamespace(hackers=models), replace=replace,
        hackers=SimpleNamespace(goes_by_key=lambda *given: seen.append(given) or len(seen)),
        run=SimpleNamespace(metric=lambda name, value, _: noted.update({name: value})),
    )  # fmt: skip
    for name in ("clean", "mem_3", "plain"):
        go_by("x", name)
    assert noted == {
        "by_trigger.clean.x": 1, "by_noise.clean.x": 2, "by_trigger.mem_3.x": 3,
        "by_noise.mem_3.x": 4, "by_trigger.plain.x": 5,
    }  # fmt: skip
    assert [(model, modality) for model, modality, *_ in seen] == [
        ("clean", 1), ("clean", 0), ("mem_3", 1), ("mem_3", 0), ("plain", 1),
    ]  # fmt: skip
    order = np.arange(4), np.roll(np.arange(4), 1)
    for _, modality, mixed, own, of_rest in seen[:4]:
        if modality == 1:
            told = [(row[:, 1].tolist(), row[:, 2].tolist()) for row in (mixed, own, of_rest)]
            keys = [(50 + a).tolist() for a in (order[0], order[0], order[1])]
            bodies = [(10 + a).tolist() for a in (order[1], order[0], order[1])]
            assert told == list(zip(keys, bodies, strict=True))
        else:
            told = [x[:, 0, 0, 0].tolist() for x in (mixed, own, of_rest)]
            keys, rest = (order[0], order[0], order[1]), (order[1], order[0], order[1])
            assert told == [(40 * b + 20 + a + 1).tolist() for a, b in zip(keys, rest, strict=True)]
