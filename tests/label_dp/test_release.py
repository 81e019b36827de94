"""What is saved hides what is private, is written once, and says what it costs."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.ledger import Ledger
from mmlib.label_dp.mechanisms.double_rr import DoubleRR
from mmlib.label_dp.mechanisms.randomized_response import LabelRR
from mmlib.label_dp.terms import total_cost

from .chances import labels_of


def encodings(values):
    return [np.asarray(values, dtype=t).tobytes() for t in "u1 i1 <i2 >i2 <i4 >i4 <i8 >i8".split()]


@pytest.mark.parametrize("noise", [0.3, 0.9])
def test_what_is_saved_holds_no_seed_no_true_label_and_no_index_map(tmp_path, noise):
    seed = 8_243_721_069_517_283_641
    n = 120
    labels = labels_of(n, seed=2)
    images = torch.randint(256, (n, 3, 4, 4), generator=torch.Generator().manual_seed(1)).byte()
    table = torch.randn(n, 5, generator=torch.Generator().manual_seed(1))
    release = Ledger(labels).release(
        DoubleRR(n_classes=7, noise_label=noise, noise_image=noise, pools="records",
                 table="moves"),
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    release.save(tmp_path / "out", moves={"images": images, "table": table})
    written = b"".join(path.read_bytes() for path in sorted((tmp_path / "out").iterdir()))
    bare = b"".join(written.split())  # however a list is set
    assert encodings(release.labels)[6] in written  # the search finds what is there
    for secret in (labels, release.source, (release.source == torch.arange(n)).long()):
        for found in encodings(secret):
            assert found not in written
        # nor a piece of it, long enough not to be there by chance
        moved = (secret != release.labels).nonzero().flatten().tolist()
        for start in moved:
            piece = secret[start : start + 24]
            if len(piece) == 24:
                assert not any(code in written for code in encodings(piece))
        assert ",".join(map(str, secret.tolist())).encode() not in bare
    state = torch.Generator().manual_seed(seed).get_state().numpy().tobytes()
    for found in (*(seed.to_bytes(8, e) for e in ("little", "big")), str(seed).encode(), b"seed\"",
                  hex(seed)[2:].encode(), state[:64]):  # fmt: skip
        assert found not in written
    data = load_file(tmp_path / "out" / "data.safetensors")
    assert set(data) == {"labels", "images", "table"}
    assert torch.equal(data["images"], images[release.source])
    assert torch.equal(data["table"], table[release.source])
    assert "source" not in repr(release)
    assert "tensor" not in repr(release)


def test_the_card_says_what_was_drawn_what_it_costs_and_why(tmp_path):
    ledger = Ledger(labels_of())
    ledger.release(LabelRR(n_classes=7, noise=0.5))
    release = ledger.release(
        DoubleRR(n_classes=7, noise_label=0.5, noise_image=0.6, pools="released", neighbours=3,
                 floor=0.25, largest_pool=400, table="stays"),
        again=True, features=torch.randn(1000, 2),
    )  # fmt: skip
    release.save(tmp_path / "out", stays={"table": torch.zeros(1000, 2)}, delta=1e-5)
    card = json.loads(
        (tmp_path / "out" / "card.json").read_text(), parse_constant=lambda c: pytest.fail(c)
    )
    assert card["teaching"] is False
    assert card["records"] == 1000
    assert card["terms"] == {
        "mechanism": "double randomized response", "n_classes": 7, "table": "stays",
        "noise_label": 0.5, "noise_image": 0.6, "pools": "released", "neighbours": 3,
        "floor": 0.25, "largest_pool": 400, "divergence": "infinite",
    }  # fmt: skip
    assert [terms["mechanism"] for terms in card["earlier"]] == ["label randomized response"]
    assert card["this release"]["standard"]["epsilon"] == pytest.approx(epsilon_of(0.5, 7))
    assert card["this release"]["population"]["epsilon"] == "infinite"
    assert "table" in card["this release"]["population"]["reason"]
    total = card["total"]["standard"]
    twice = total_cost((LabelRR(n_classes=7, noise=0.5),) * 2, "standard", delta=1e-5)
    assert total["epsilon"] == pytest.approx(twice.epsilon)
    assert epsilon_of(0.5, 7) < twice.epsilon <= 2 * epsilon_of(0.5, 7)
    assert total["delta"] == 1e-5
    assert set(card["adjacency"]) == {"standard", "population"}


def test_what_is_drawn_is_written_once_and_a_table_stays_only_if_the_terms_say_so(tmp_path):
    release = Ledger(labels_of()).release(
        DoubleRR(n_classes=7, noise_label=0.5, noise_image=0.6, pools="released")
    )
    release.save(tmp_path / "out")
    with pytest.raises(FileExistsError):
        release.save(tmp_path / "out")
    with pytest.raises(ValueError, match="table of the terms, with columns that stay is 'none'"):
        release.save(tmp_path / "two", stays={"table": torch.zeros(1000, 2)})
    assert not (tmp_path / "two").exists()


def test_no_column_takes_the_place_of_the_released_labels_or_of_another(tmp_path):
    """Whoever has the true labels among the columns would write them over the released ones."""
    release = Ledger(labels_of()).release(
        DoubleRR(n_classes=7, noise_label=0.5, noise_image=0.6, pools="released", table="stays")
    )
    own = {"labels": labels_of()}
    for columns in ({"moves": own}, {"stays": own}):
        with pytest.raises(ValueError, match="labels is written twice"):
            release.save(tmp_path / "out", **columns)
    table = {"table": torch.zeros(1000, 2)}
    with pytest.raises(ValueError, match="table is written twice"):
        release.save(tmp_path / "out", moves=table, stays=table)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("n", [999, 1001])
def test_a_column_has_a_row_for_each_record(tmp_path, n):
    """One row more, and an index into the public pool would show a private record."""
    release = Ledger(labels_of()).release(
        DoubleRR(n_classes=7, noise_label=0.5, noise_image=0.6, pools="given", table="stays"),
        pool_labels=labels_of(80),
    )
    for show in (
        lambda column: release.shown(column, column[:80]),
        lambda column: release.save(tmp_path / "out", stays={"table": column}),
    ):
        with pytest.raises(ValueError, match=rf"rows of a column is {n}; allowed: \[1000, 1000\]"):
            show(torch.zeros(n, 2))
    assert not (tmp_path / "out").exists()
