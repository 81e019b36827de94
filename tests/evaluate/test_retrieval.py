import math
from itertools import pairwise

import pytest
import torch

from mmlib.evaluate import retrieval as module
from mmlib.evaluate.retrieval import MEASURES, random_retrieval, retrieval


def by_hand(similarity: torch.Tensor, c: int) -> dict[str, float]:
    """The released definitions, one query at a time; right where no two values are equal."""
    ranks: dict[str, list[int]] = {"i2t": [], "t2i": []}
    for i, row in enumerate(similarity):
        order = row.argsort(descending=True).tolist()
        ranks["i2t"].append(min(order.index(j) for j in range(i * c, i * c + c)) + 1)
    for j, column in enumerate(similarity.T):
        ranks["t2i"].append(column.argsort(descending=True).tolist().index(j // c) + 1)
    result = {}
    for direction, values in ranks.items():
        for k in (1, 5, 10):
            result[f"recall_{k}.{direction}"] = 100 * sum(r <= k for r in values) / len(values)
        zero_based = torch.tensor(values, dtype=torch.float64).quantile(0.5).item() - 1
        result[f"median_rank.{direction}"] = math.floor(zero_based) + 1
    return result


@pytest.mark.parametrize(("n", "c"), [(1, 1), (40, 5), (41, 5), (60, 1), (30, 2)])
def test_agrees_with_a_plain_loop(n, c):
    g = torch.Generator().manual_seed(n)
    noise = torch.randn(n, n * c, generator=g)
    similarity = noise + 1.5 * torch.eye(n).repeat_interleave(c, dim=1)
    assert retrieval(similarity, c) == pytest.approx(by_hand(similarity, c), abs=1e-9)


def test_a_median_between_two_ranks_is_rounded_down():
    found = retrieval(torch.diag(torch.tensor([1.0, 1.0, -1.0, -1.0])), 1)  # ranks 1, 1, 4 and 4
    assert found["median_rank.i2t"] == found["median_rank.t2i"] == 2


def test_ties_count_as_the_mean_over_random_orders():
    g = torch.Generator().manual_seed(0)
    coarse = torch.randint(4, (12, 36), generator=g).double()
    shuffled = coarse + 0.5 * torch.rand(1500, 12, 36, generator=g)  # only ties are moved
    own = torch.eye(12, dtype=torch.bool).repeat_interleave(3, dim=1)
    exact = retrieval(coarse, 3)
    for direction, others in (("i2t", 2), ("t2i", 1)):
        best = shuffled.where(own, -1).amax(others, keepdim=True)
        ranks = 1 + (shuffled > best).sum(others)  # of each query in each order
        for k in (1, 5, 10):
            recall = 100 * (ranks <= k).double().mean()
            assert exact[f"recall_{k}.{direction}"] == pytest.approx(recall, abs=1.0), k
        # Medians are of all orders together, so only near the mean of the medians of each.
        median = ranks.double().quantile(0.5, dim=1).floor().mean()
        assert exact[f"median_rank.{direction}"] == pytest.approx(median, abs=1.0)


def test_random_reference_has_the_known_values():
    flickr, coco = random_retrieval(1000), random_retrieval(5000)
    rounded = {name: round(value, 2) for name, value in flickr.items()}
    assert rounded == {
        "recall_1.i2t": 0.10, "recall_5.i2t": 0.50, "recall_10.i2t": 1.00, "median_rank.i2t": 647,
        "recall_1.t2i": 0.10, "recall_5.t2i": 0.50, "recall_10.t2i": 1.00, "median_rank.t2i": 500,
    }  # fmt: skip
    assert (coco["median_rank.i2t"], coco["median_rank.t2i"]) == (3236, 2500)
    assert round(coco["recall_10.i2t"], 2) == 0.20


@pytest.mark.parametrize(("n", "c"), [(7, 1), (50, 5)])
def test_a_collapsed_model_gets_what_guessing_gets(n, c):
    chance = random_retrieval(n, c)
    assert retrieval(torch.full((n, n * c), 0.3), c) == pytest.approx(chance)
    g = torch.Generator().manual_seed(4)
    image, text = torch.randn(2, 1, 33, generator=g)
    collapsed = image.expand(n, -1), 3 * text.expand(n * c, -1)
    assert retrieval(collapsed, c) == pytest.approx(chance)


def test_embeddings_mean_cosine_similarity():
    g = torch.Generator().manual_seed(5)
    images, texts = torch.randn(20, 8, generator=g), torch.randn(100, 8, generator=g)
    cosine = torch.cosine_similarity(images[:, None].double(), texts[None].double(), dim=-1)
    scaled = images * torch.rand(20, 1, generator=g) * 9, texts
    assert retrieval(scaled) == pytest.approx(retrieval(cosine))


@pytest.mark.parametrize("share", [0, module._SHARE, 1])  # all products anew, or pairs one by one
@pytest.mark.parametrize("size", [1e-4, 1e-6, 1e-7, 1e-8, 1e-10, 0])
def test_items_near_the_own_one_are_told_apart_as_by_the_exact_product(size, share, monkeypatch):
    """Captions that differ from an image's own ones by little: by more than float32 tells, or not.

    The reference computes all in float64, rounds and counts.
    """
    g = torch.Generator().manual_seed(7)
    images, texts = torch.randn(30, 64, generator=g), torch.randn(90, 64, generator=g).double()
    texts += 2 * images.repeat_interleave(3, dim=0)
    near = torch.randn(45, 64, generator=g, dtype=torch.float64)
    texts[45:] = texts[:45] + size * near  # the second half's are the first half's again
    unit = [torch.nn.functional.normalize(z.double(), dim=1) for z in (images, texts)]
    exact = (unit[0] @ unit[1].T).float()
    monkeypatch.setattr(module, "_SHARE", share)
    assert retrieval((images, texts), 3) == retrieval(exact, 3)
    own = torch.arange(90).view(30, 3)
    for similarity, mine, units in (
        (exact, own, unit), (exact.T, torch.arange(90)[:, None] // 3, unit[::-1]),
    ):  # fmt: skip
        rough = units[0].float() @ units[1].float().T
        found = module._rank(rough, mine, tuple(units))
        best = similarity.gather(1, mine).amax(1, keepdim=True)
        assert torch.equal(found.better, (similarity > best).sum(1))
        assert torch.equal(found.own + found.wrong, (similarity == best).sum(1))


def test_errors_of_the_product_within_its_bound_change_nothing():
    """A product whose rounding differs from pair to pair, planted, breaks ties where it is ranked.

    As the product that says which pairs are computed anew it does not.
    """
    g = torch.Generator().manual_seed(7)
    images = torch.randn(1, 64, generator=g).expand(200, -1)
    texts = torch.randn(1, 64, generator=g).expand(200, -1)
    units = module._units(images, texts)
    rough = units[0].float() @ units[1].float().T
    rough += 1e-7 * torch.randn(rough.shape, generator=g).clamp(-3, 3)
    own = torch.arange(200)[:, None]
    chance = random_retrieval(200, 1)
    assert retrieval(rough, 1) != pytest.approx(chance)
    found = module._rank(rough, own, units).summary("i2t")
    assert found == pytest.approx({name: chance[name] for name in found})


def test_chunks_do_not_change_the_result(monkeypatch):
    g = torch.Generator().manual_seed(6)
    pair = torch.randn(23, 4, generator=g), torch.randn(46, 4, generator=g)
    whole = retrieval(pair, 2)
    monkeypatch.setattr(module, "_COMPARED", 50)
    monkeypatch.setattr(module, "_ANEW", 50)
    assert retrieval(pair, 2) == whole


def test_perfect_and_reversed_models():
    similarity = torch.eye(10).repeat_interleave(5, dim=1)
    assert set(retrieval(similarity).values()) == {100.0, 1.0}
    worst = retrieval(-similarity)
    assert worst["median_rank.i2t"] == 46  # all 45 wrong captions come first
    assert worst["median_rank.t2i"] == 10


def test_recall_grows_with_the_number_of_places():
    for result in (random_retrieval(30), retrieval(torch.zeros(30, 150))):
        for direction in ("i2t", "t2i"):
            recalls = [result[f"recall_{k}.{direction}"] for k in (1, 5, 10)]
            assert all(a < b for a, b in pairwise(recalls))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="there are 9 captions of 3 images; allowed: 15"):
        retrieval(torch.zeros(3, 9))
    with pytest.raises(ValueError, match=r"captions has shape \(5, 2\); expected \(C, D=3\)"):
        retrieval((torch.zeros(1, 3), torch.zeros(5, 2)))
    with pytest.raises(ValueError, match="captions_per_image is 0"):
        retrieval(torch.zeros(3, 3), 0)
    broken = torch.zeros(3, 3)
    broken[1, 1] = torch.nan  # compares as no better, so it would rank first
    with pytest.raises(ValueError, match="nan or infinity"):
        retrieval(broken, 1)
    with pytest.raises(ValueError, match="nan or infinity"):
        retrieval((broken, torch.ones(3, 3)), 1)


def test_half_precision_is_no_infinity():
    similarity = 100 * torch.eye(400).half() + 50  # its sum is more than half precision holds
    assert retrieval(similarity, 1) == retrieval(similarity.float(), 1)


def test_every_measure_has_its_meaning_and_no_other():
    assert set(MEASURES) == set(random_retrieval(7, 2))
    assert len(set(MEASURES.values())) == 8
    for key, meaning in MEASURES.items():
        measure, direction = key.split(".")
        rank = measure.removeprefix("recall_")
        assert meaning.endswith("for an image" if direction == "i2t" else "for a caption")
        assert meaning.startswith("median" if rank == "median_rank" else "share")
        assert rank == "median_rank" or f"at most {rank}," in meaning
