"""Losses against the released code's numbers, a slow plain reference, limits and differences."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from mmlib import losses


def waves(k):
    """The sheet's embeddings Z(k), 4 rows of 3, that the released code's numbers are of."""
    a, b = torch.arange(4.0, dtype=torch.float64)[:, None], torch.arange(3.0, dtype=torch.float64)
    return torch.sin(1 + 3 * k + 0.7 * a + 1.3 * b + 0.5 * a * b)


def draws(count, b=5, d=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(b, d, generator=generator, dtype=dtype) for _ in range(count)]


def close(a, b, atol=1e-6):
    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (a, b))
    torch.testing.assert_close(a, b, atol=atol, rtol=0)


@pytest.mark.parametrize(
    ("temperature", "loss", "terms"),
    [
        (0.1, 10.590665, (15.738875, 0.316359, 15.716761)),
        (0.5, 3.006163, (4.007193, 0.980405, 4.030892)),
        (1.0, 2.361585, (2.856133, 1.353542, 2.875081)),
    ],
)
def test_comm_as_released(temperature, loss, terms):
    views = [waves(k) for k in (0, 1, 2)], [waves(k) for k in (3, 4, 5)]
    how = {"temperature": temperature, "convention": "released"}
    close(losses.comm(*views, **how), loss)
    close(losses.comm_terms(*views, **how), terms)
    close(losses.comm(*views, **how, weights=[0, 0, 1]), terms[2] / 3)


def test_baselines_as_released():
    z = [waves(k) for k in range(6)]
    close(losses.nt_xent(z[0], z[3], temperature=0.1), 16.255313)
    close(losses.clip(z[0], z[3], scale=1 / 0.07), 18.471817)
    close(losses.cmc(z[:3], temperature=0.1), 11.344047)
    within = [(z[2], z[3]), (z[4], z[5])]
    close(losses.cross_self(z[0], z[1], self_pairs=within, temperature=0.1), 33.148977)


def cosine(u, v):
    norms = math.sqrt(sum(x * x for x in u)) * math.sqrt(sum(x * x for x in v))
    return sum(x * y for x, y in zip(u, v, strict=True)) / norms


def one_loss(anchor, positive, others, temperature):
    """Minus the log of the positive's share among itself and the others."""
    weights = [math.exp(cosine(anchor, o) / temperature) for o in [positive, *others]]
    return -math.log(weights[0] / sum(weights))


def slow_info_nce(a, b, temperature):
    rows = range(len(a))
    each = [one_loss(a[i], b[i], [b[j] for j in rows if j != i], temperature) for i in rows]
    return sum(each) / len(each)


def slow_nt_xent(a, b, temperature):
    rows, n = [*a, *b], len(a)
    each = []
    for i, anchor in enumerate(rows):
        partner = (i + n) % (2 * n)
        others = [row for j, row in enumerate(rows) if j not in (i, partner)]
        each.append(one_loss(anchor, rows[partner], others, temperature))
    return sum(each) / len(each)


def slow_supcon(embeddings, labels, temperature):
    rows = [
        (view, label) for views, label in zip(embeddings, labels, strict=True) for view in views
    ]
    each = []
    for i, (anchor, label) in enumerate(rows):
        rest = [row for j, row in enumerate(rows) if j != i]
        own = [
            one_loss(anchor, z, [w for k, (w, _) in enumerate(rest) if k != j], temperature)
            for j, (z, other) in enumerate(rest)
            if other == label
        ]
        each.append(sum(own) / len(own))
    return sum(each) / len(each)


def slow_comm(view1, view2, temperature, contrast):
    """Section 1.2 of the paper for views of its own: n terms L_i with the 1/2, and L."""
    full1, full2 = view1[-1], view2[-1]
    terms = [
        (contrast(m1, full2, temperature) + contrast(m2, full1, temperature)) / 2
        for m1, m2 in zip(view1[:-1], view2[:-1], strict=True)
    ]
    return [*terms, contrast(full1, full2, temperature)]


@pytest.mark.parametrize("tau", [0.1, 0.7])
def test_agrees_with_the_slow_reference(tau):
    z = draws(8)
    plain = [t.tolist() for t in z]
    there, back = slow_info_nce(*plain[:2], tau), slow_info_nce(plain[1], plain[0], tau)
    close(losses.info_nce(*z[:2], temperature=tau), there, 1e-12)
    close(losses.clip(*z[:2], scale=1 / tau), (there + back) / 2, 1e-12)
    close(losses.nt_xent(*z[:2], temperature=tau), slow_nt_xent(*plain[:2], tau), 1e-12)
    for convention, form in losses.CONVENTIONS.items():
        contrast = {"info_nce": slow_info_nce, "nt_xent": slow_nt_xent}[form.contrast]
        terms = slow_comm(plain[:4], plain[4:], tau, contrast)
        if (form.masked, form.against) == ("views", "both"):
            swapped = [*plain[4:7], plain[3]], [*plain[:3], plain[7]]  # each meets its own side's
            own = slow_comm(*swapped, tau, contrast)
            terms = [*((a + b) / 2 for a, b in zip(terms[:3], own, strict=False)), terms[3]]
        how = {"temperature": tau, "convention": convention}
        close(losses.comm_terms(z[:4], z[4:], **how), terms, 1e-12)
        whole = sum(terms) / (1 if form.reduce == "sum" else len(terms))
        close(losses.comm(z[:4], z[4:], **how), whole, 1e-12)


def test_the_conventions_differ_from_the_formula_in_one_choice_each_and_lead_to_the_code():
    paper = vars(losses.CONVENTIONS["paper"])
    changes = {
        name: {k: v for k, v in vars(form).items() if v != paper[k]}
        for name, form in losses.CONVENTIONS.items()
    }
    assert changes.pop("paper") == {}
    released = changes.pop("released")
    assert len(released) == len(paper)
    assert changes["other_view"] == {"masked": "views", "against": "other"}
    assert {k: v for change in changes.values() for k, v in change.items()} == released
    assert [len(change) for change in changes.values()] == [1, 2, 1, 1]


def test_bound_is_what_info_nce_leaves_of_log_b():
    a, b = draws(2, b=7)
    scores = torch.tensor([[cosine(u, v) / 0.2 for v in b.tolist()] for u in a.tolist()]).double()
    rest = math.log(7) - losses.info_nce(a, b, temperature=0.2)
    close(losses.information_bound(scores), rest)
    close(losses.information_bound(scores + a[:, :1]), rest)  # what an anchor adds to its row
    assert abs(losses.information_bound(scores + a[:, 0]) - rest) > 0.01
    close(losses.information_bound(100 * torch.eye(7)), math.log(7))


@pytest.mark.parametrize("bound", [losses.information_bound, losses.club_bound])
def test_bounds_from_halves_are_averaged_in_float32(bound):
    halves = draws(1, b=7, d=7)[0].bfloat16()
    value = bound(halves)
    assert value.dtype == torch.float32
    close(value, bound(halves.double()))


def test_alignment_and_uniformity_agree_with_the_slow_reference():
    a, b = draws(2)
    rows, others = ([[x / math.hypot(*r) for x in r] for r in t.tolist()] for t in (a, b))
    squares = [math.dist(u, v) ** 2 for u, v in zip(rows, others, strict=True)]
    close(losses.alignment(a, b), sum(squares) / 5, 1e-12)
    kernel = [math.exp(-2 * math.dist(u, v) ** 2) for i, u in enumerate(rows) for v in rows[:i]]
    close(losses.uniformity(a), math.log(sum(kernel) / 10), 1e-12)


@pytest.mark.parametrize("labels", [[0, 1, 0, 2, 0], [0, 0, 0, 0, 0], [3, 1, 4, 0, 2]])
def test_supcon_agrees_with_the_slow_reference(labels):
    views = torch.stack(draws(2), dim=1)
    slow = slow_supcon(views.tolist(), labels, 0.3)
    close(losses.supcon(views, torch.tensor(labels), temperature=0.3), slow, 1e-12)


def test_supcon_without_shared_labels_is_nt_xent():
    a, b = draws(2)
    supervised = losses.supcon(torch.stack([a, b], dim=1), torch.arange(5), temperature=0.2)
    close(supervised, losses.nt_xent(a, b, temperature=0.2), 1e-12)


def test_which_losses_are_symmetric():
    a, b = draws(2)
    close(losses.clip(a, b, scale=3.0), losses.clip(b, a, scale=3.0), 1e-12)
    close(losses.nt_xent(a, b, temperature=0.3), losses.nt_xent(b, a, temperature=0.3), 1e-12)
    there, back = (losses.info_nce(*pair, temperature=0.3) for pair in ((a, b), (b, a)))
    assert abs(there - back) > 0.01


def test_length_of_a_vector_and_order_of_a_batch_do_not_matter():
    a, b = draws(2)
    order = torch.tensor([3, 0, 4, 1, 2])
    lengths = torch.tensor([[0.1], [1.0], [3.0], [7.0], [100.0]])
    for loss in (losses.info_nce, losses.nt_xent):
        whole = loss(a, b, temperature=0.2)
        close(loss(a * lengths, b * 5, temperature=0.2), whole, 1e-12)
        close(loss(a[order], b[order], temperature=0.2), whole, 1e-12)
        assert abs(loss(a[order], b, temperature=0.2) - whole) > 0.01  # pairs do matter


@pytest.mark.parametrize("b", [2, 7])
def test_limits_of_the_temperature(b):
    x, y = draws(2, b=b)
    close(losses.info_nce(x, y, temperature=1e9), math.log(b))
    close(losses.nt_xent(x, y, temperature=1e9), math.log(2 * b - 1))
    corners = torch.eye(b)
    close(losses.info_nce(corners, corners, temperature=0.01), 0)
    close(losses.nt_xent(corners, corners, temperature=0.01), 0)
    # The most a one-sided loss can be wrong: cosines of -1 to the own and 1 to the others.
    flipped = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    close(losses.info_nce(flipped, -flipped, temperature=1e-4), 2 / 1e-4, 1e-2)


def test_terms_of_comm_see_only_what_they_contrast():
    views = [z.requires_grad_() for z in draws(6)]
    for convention in ("paper", "released"):
        how = {"temperature": 0.5, "convention": convention}
        for i, term in enumerate(losses.comm_terms(views[:3], views[3:], **how)):
            slopes = torch.autograd.grad(term, views, retain_graph=True, allow_unused=True)
            reached = [slope is not None and bool(slope.abs().max() > 0) for slope in slopes]
            assert reached == [i in (0,), i in (1,), True, i in (0,), i in (1,), True]


def test_comm_weights_pick_terms_and_the_conventions_differ_by_a_mean():
    z = draws(6)
    for convention, share in (("paper", 1), ("released", 3)):
        how = {"temperature": 0.2, "convention": convention}
        terms = losses.comm_terms(z[:3], z[3:], **how)
        close(losses.comm(z[:3], z[3:], **how, weights=[0, 0, 1]), terms[2] / share, 1e-12)
        close(losses.comm(z[:3], z[3:], **how, weights=[1, 2, 0]),
              (terms[0] + 2 * terms[1]) / share, 1e-12)  # fmt: skip
        close(losses.comm(z[:3], z[3:], **how), terms.sum() / share, 1e-12)


def test_match_accuracy_counts_rows_whose_nearest_is_the_partner():
    far = torch.tensor([[10.0, 0.0], [0.0, 0.1], [-3.0, 0.0], [0.0, -1.0]])
    assert losses.match_accuracy(far, far).item() == 100
    assert losses.match_accuracy(far, far[[1, 0, 2, 3]]).item() == 50
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2]])  # all nearest to the first column
    columns = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])
    close(losses.match_accuracy(rows, columns), 100 / 3, 1e-4)
    close(losses.match_accuracy(columns, rows), 200 / 3, 1e-4)


FORMS = {
    "info_nce": lambda z: losses.info_nce(z[0], z[1], temperature=0.3),
    "nt_xent": lambda z: losses.nt_xent(z[0], z[1], temperature=0.3),
    "clip": lambda z: losses.clip(z[0], z[1], scale=4.0),
    "supcon": lambda z: losses.supcon(
        torch.stack(z[:2], dim=1), torch.tensor([0, 1, 0, 2]), temperature=0.3
    ),
    "alignment": lambda z: losses.alignment(z[0], z[1]),
    "uniformity": lambda z: losses.uniformity(z[0]),
    "cmc": lambda z: losses.cmc(z[:3], temperature=0.3),
    "cross_self": lambda z: losses.cross_self(
        z[0], z[1], self_pairs=[(z[2], z[3]), (z[4], z[5])], temperature=0.3
    ),
    "comm, paper": lambda z: losses.comm(z[:3], z[3:], temperature=0.3),
    "comm, released": lambda z: losses.comm(
        z[:3], z[3:], temperature=0.3, convention="released", weights=[1, 0.5, 2]
    ),
}
every_loss = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@every_loss
def test_slopes_are_finite_differences(form):
    z = [x.requires_grad_() for x in draws(6, b=4, d=3)]
    assert gradcheck(lambda *z: form(z), z, raise_exception=True, fast_mode=False)


def test_a_learned_scale_has_its_slope():
    a, b = draws(2, b=4)
    log_scale = torch.tensor(1.2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda s: losses.clip(a, b, scale=s.exp()), (log_scale,))
    close(losses.clip(a, b, scale=log_scale.exp()), losses.clip(a, b, scale=math.exp(1.2)), 1e-12)


@every_loss
def test_under_autocast_the_comparison_keeps_its_digits(form):
    z = draws(6, b=4, d=16, dtype=torch.float32)
    exact = form([x.double() for x in z])
    with torch.autocast("cpu", torch.bfloat16):
        value = form(z)
    assert value.dtype == torch.float32
    close(value, exact, 1e-5)  # bfloat16 products would be off by 1e-3 and more


@every_loss
def test_halves_are_compared_in_float32(form):
    z = [x.bfloat16() for x in draws(6, b=4, d=16)]
    value = form(z)
    assert value.dtype == torch.float32
    close(value, form([x.double() for x in z]), 1e-5)


@every_loss
def test_dtype_follows_and_extremes_stay_finite(form):
    z = draws(6, b=4, d=3, dtype=torch.float32)
    assert form(z).dtype == torch.float32
    assert form([x.double() for x in z]).dtype == torch.float64
    tiny = [(x * 1e-6).requires_grad_() for x in z]
    form(tiny).backward()
    assert all(x.grad is None or x.grad.isfinite().all() for x in tiny)


@every_loss
def test_a_batch_of_one_has_no_negative(form):
    if form is FORMS["supcon"]:
        with pytest.raises(ValueError, match="batch size is 1"):
            losses.supcon(torch.ones(1, 2, 3), torch.tensor([0]), temperature=0.1)
        return
    with pytest.raises(ValueError, match="batch size is 1"):
        form(draws(6, b=1))


@pytest.mark.parametrize("temperature", [0.0, -0.1, float("nan")])
def test_a_temperature_is_positive(temperature):
    a, b = draws(2)
    for call in (
        lambda how: losses.info_nce(a, b, **how),
        lambda how: losses.nt_xent(a, b, **how),
        lambda how: losses.comm([a, b], [a, b], **how),
        lambda how: losses.cmc([a, b], **how),
        lambda how: losses.cross_self(a, b, self_pairs=[(a, b)], **how),
        lambda how: losses.supcon(torch.stack([a, b], 1), torch.arange(5), **how),
    ):
        with pytest.raises(ValueError, match="temperature is"):
            call({"temperature": temperature})
    with pytest.raises(ValueError, match="scale is"):
        losses.clip(a, b, scale=temperature)


@pytest.mark.parametrize("shape", [(4, 3), (5, 2), (5,), (5, 3, 1)])
def test_shapes_must_match(shape):
    a, b = torch.ones(5, 3), torch.ones(shape)
    for call in (
        lambda: losses.info_nce(a, b, temperature=0.1),
        lambda: losses.nt_xent(a, b, temperature=0.1),
        lambda: losses.clip(a, b, scale=1.0),
        lambda: losses.cmc([a, a, b], temperature=0.1),
        lambda: losses.comm([a, b], [a, a], temperature=0.1),
        lambda: losses.match_accuracy(a, b),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()


def test_lists_must_fit():
    a, b = draws(2)
    with pytest.raises(ValueError, match="view1 has 2 embeddings, view2 1"):
        losses.comm([a, b], [a], temperature=0.1)
    with pytest.raises(ValueError, match="view1 has 0"):
        losses.comm([], [], temperature=0.1)
    with pytest.raises(ValueError, match="weights has 1 entries for 2 terms"):
        losses.comm([a, b], [a, b], temperature=0.1, weights=[1.0])
    with pytest.raises(ValueError, match="'paper', 'released'"):
        losses.comm([a, b], [a, b], temperature=0.1, convention="code")
    with pytest.raises(ValueError, match="1 entries; allowed: 2 or more"):
        losses.cmc([a], temperature=0.1)
    with pytest.raises(ValueError, match="self_pairs is empty"):
        losses.cross_self(a, b, self_pairs=[], temperature=0.1)
    with pytest.raises(ValueError, match="scores has shape"):
        losses.information_bound(torch.ones(4, 3))
    with pytest.raises(ValueError, match="labels has shape"):
        losses.supcon(torch.stack([a, b], 1), torch.arange(4), temperature=0.1)
    with pytest.raises(ValueError, match="no positive"):
        losses.supcon(a[:, None], torch.tensor([0, 0, 1, 1, 2]), temperature=0.1)
