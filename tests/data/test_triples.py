"""Triples: who tells which label, counted over the triples that are drawn."""

from collections import Counter
from itertools import combinations, product

import pytest
import torch

from mmlib.data import trifeature, triples
from mmlib.data.triples import TASKS, load, tasks
from mmlib.evaluate.probe import linear_probe

RELATIONS = ("S12", "S13", "S23", "S123")
KNOWN = {"S12": (0, 1), "S13": (0, 2), "S23": (1, 2), "S123": (0, 1, 2)}  # who tells it


@pytest.fixture(scope="module")
def parts():
    return load(16, renderings=(1, 1))


@pytest.fixture(scope="module")
def values():
    """Shape, texture and colour of the images, in the order in which ``load`` keeps them."""
    world = trifeature.load(
        16, shapes=triples.SHAPES, textures=triples.TEXTURES, colors=triples.COLORS,
        renderings=(2, 2), texture_zoom=4,
    )  # fmt: skip
    images = torch.cat([world.train.images, world.test.images])
    return images, torch.cat([world.train.labels, world.test.labels])


def bits(row):
    """What the relations are about: the shape, the texture, the high bit of the colour."""
    shape, texture, color = row.tolist()
    return shape, texture, color // 2


def seen_by(part, values, whom, look):
    """For each triple what the images ``whom`` show."""
    return [tuple(look(values[k]) for k in row) for row in part.places[:, list(whom)]]


def shares(shown, label):
    """For each thing that is shown, how often the label has each value."""
    counts = {}
    for what, value in zip(shown, label.tolist(), strict=True):
        counts.setdefault(what, Counter())[value] += 1
    return counts


def test_labels_are_what_the_table_says(parts, values):
    for part in parts.values():
        for place in range(0, len(part), 97):
            (s1, t1, c1), (s2, t2, c2), (s3, t3, c3) = values[1][part.places[place]].tolist()
            high = lambda a, b: int((a >= 2) == (b >= 2))  # noqa: E731
            expected = {
                "R": s1, "U1": t1, "U2": t2, "U3": t3,
                "S12": high(t1, c2), "S23": high(t2, c3), "S13": high(t3, c1),
                "S123": int([t % 2 for t in (t1, t2, t3)].count(1) in (0, 2)),
            }  # fmt: skip
            assert s1 == s2 == s3
            assert {name: part.tasks[name][place].item() for name in TASKS} == expected


def test_inputs_are_the_images_of_the_triples(parts, values):
    part = parts["test"]
    for k in range(3):
        assert torch.equal(part.inputs[k], values[0][part.places[:, k]])


def test_combinations_number_what_the_images_show(parts, values):
    for part in parts.values():
        shown = map(tuple, values[1][part.places].flatten(0, 1).tolist())
        numbered = set(zip(shown, part.combinations.flatten().tolist(), strict=True))
        assert len(numbered) == len({values for values, _ in numbered})
        assert len(numbered) == len({number for _, number in numbered})


@pytest.mark.parametrize("name", ["train", "validation", "test"])
@pytest.mark.parametrize("relation", RELATIONS)
def test_a_relation_is_told_by_its_images_and_at_chance_from_all_others(
    parts, values, name, relation
):
    part, label = parts[name], parts[name].tasks[relation]
    for count in (1, 2, 3):
        for whom in combinations(range(3), count):
            told = shares(seen_by(part, values[1], whom, bits), label)
            if set(KNOWN[relation]) <= set(whom):
                assert all(len(share) == 1 for share in told.values())
            else:  # as often as not, whatever these images show, exactly
                assert all(share[0] == share[1] for share in told.values())


def test_in_the_test_two_whole_images_leave_the_three_way_label_open(parts, values):
    """Also their colours' low bits, so that nothing at all about two images tells it."""
    part = parts["test"]
    for relation, whom in product(RELATIONS, combinations(range(3), 2)):
        if not set(KNOWN[relation]) <= set(whom):
            shown = seen_by(part, values[1], whom, lambda row: tuple(row.tolist()))
            told = shares(shown, part.tasks[relation])
            assert all(share[0] == share[1] for share in told.values()), (relation, whom)


def test_a_texture_is_told_by_its_own_image_alone(parts, values):
    for name in ("train", "validation", "test"):
        for k, others in enumerate([(1, 2), (0, 2), (0, 1)]):
            told = shares(
                seen_by(parts[name], values[1], others, bits), parts[name].tasks[f"U{k + 1}"]
            )
            for share in told.values():
                assert len(share) == 4
                assert len(set(share.values())) == 1


def test_triples_to_learn_from_follow_all_relations(parts):
    for relation in RELATIONS:
        assert parts["learn"].tasks[relation].all()


def test_two_images_to_learn_from_share_their_shape_and_their_own_relation_only(parts, values):
    """Of 4 x 8 x 8 choices of bits the relation leaves half, and all of those are equally often."""
    for whom in combinations(range(3), 2):
        told = Counter(seen_by(parts["learn"], values[1], whom, bits))
        assert len(told) == 4 * 8 * 8 // 2
        assert len(set(told.values())) == 1


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_linear_probe_reads_a_relation_from_products_of_bits_and_not_from_a_sum(
    parts, values, relation
):
    """Oracles: one-hot textures and colours of all three images side by side, and multiplied."""
    added, multiplied = {}, {}
    for name in ("train", "validation", "test"):
        shown = values[1][parts[name].places]
        codes = torch.nn.functional.one_hot(shown[..., 1:], 4).float()  # (P, image, t or c, 4)
        added[name] = codes.flatten(1)
        signs = 1.0 - 2 * (shown[..., 1:] // 2)
        low = 1.0 - 2 * (shown[..., 1] % 2)
        pairs = [signs[:, 0, 0] * signs[:, 1, 1], signs[:, 2, 0] * signs[:, 0, 1]]
        pairs += [signs[:, 1, 0] * signs[:, 2, 1], low.prod(dim=1)]
        multiplied[name] = torch.stack(pairs, dim=1)
    scores = [
        linear_probe(
            features["train"], parts["train"].tasks[relation],
            features["test"], parts["test"].tasks[relation],
            validation=(features["validation"], parts["validation"].tasks[relation]),
        ).balanced_accuracy
        for features in (added, multiplied)
    ]  # fmt: skip
    assert scores[0] == pytest.approx(50, abs=4)
    assert scores[1] == 100


def test_free_triples_to_learn_from_follow_nothing():
    part = load(16, renderings=(1, 1), follow=False)["learn"]
    for relation in RELATIONS:
        assert part.tasks[relation].double().mean() == 0.5


def test_test_combinations_and_validation_images_are_new(parts, values):
    shown = {name: part.places.unique() for name, part in parts.items()}
    of = {name: set(map(tuple, values[1][seen].tolist())) for name, seen in shown.items()}
    assert of["learn"] == of["train"] == of["validation"]
    assert not of["test"] & of["train"]
    assert (len(of["train"]), len(of["test"])) == (48, 16)
    for a, b in combinations(range(3), 2):  # each value of one with each of another, once
        assert len({(c[a], c[b]) for c in of["test"]}) == 16
    assert not set(shown["validation"].tolist()) & set(
        torch.cat([shown["learn"], shown["train"]]).tolist()
    )
    assert len(set(shown["test"].tolist())) == 16 * 2


def test_every_call_draws_the_same_triples(parts):
    again = load(16, renderings=(1, 1))
    assert torch.equal(again["learn"].places, parts["learn"].places)


def test_labels_of_one_triple_by_hand():
    row = torch.tensor([[[2, 1, 3], [2, 2, 0], [2, 3, 1]]])  # stripes yellow, dots red, ...
    labels = {name: label.item() for name, label in tasks(row).items()}
    assert labels == {
        "R": 2, "U1": 1, "U2": 2, "U3": 3, "S12": 1, "S13": 1, "S23": 0, "S123": 1,
    }  # fmt: skip


def test_ranges():
    with pytest.raises(ValueError, match="renderings is 0"):
        load(16, renderings=(1, 0))
