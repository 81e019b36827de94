"""The probe of several labels against scikit-learn's, one regression a label."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from mmlib.evaluate.labels import STRENGTHS, labels_probe, which_labels


def made(n=200, width=12, labels=4, seed=0):
    """Features that partly tell labels of unequal frequency."""
    g = torch.Generator().manual_seed(seed)
    tell = torch.randn(width, labels, generator=torch.Generator().manual_seed(99)).double()
    x = torch.randn(n, width, generator=g).double()
    noise = 3 * torch.randn(n, labels, generator=g).double()
    return x, (x @ tell + noise > torch.tensor([0.0, 2.0, 4.0, -1.0])).long()


def test_the_probe_is_the_released_procedure_with_scikit_learn():
    train, val, test = (made(seed=k) for k in range(3))
    strengths = [1e-4, 1e-3, 1e-2, 1.0, 100.0]

    def fitted(x, y, C):
        options = {"C": C, "tol": 1e-8, "max_iter": 100_000}
        return [LogisticRegression(**options).fit(x.numpy(), label.numpy()) for label in y.T]

    def said(models, x):
        return np.stack([model.predict(x.numpy()) for model in models], axis=1)

    merits = {}
    for C in strengths:
        merits[C] = f1_score(val[1], said(fitted(*train, C), val[0]), average="macro")
    chosen = max(merits, key=merits.get)
    both = [torch.cat([train[k], val[k]]) for k in (0, 1)]
    final = said(fitted(*both, chosen), test[0])

    found, scores = labels_probe(*train, validation=val, strengths=strengths)
    assert {classifier.C for classifier in found} == {chosen}
    assert len(set(merits.values())) > 2  # so that the choice means something
    for C, merit in merits.items():
        assert scores[C] == pytest.approx(100 * merit, abs=1.0)  # a sample at the border
    assert (which_labels(found, test[0]).numpy() == final).mean() > 0.995
    assert STRENGTHS == (1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4, 1e6)


def test_one_label_is_the_probe_of_two_classes():
    from mmlib.evaluate.probe import linear_probe

    train, val, test = ((x, y[:, :1]) for x, y in (made(seed=k) for k in range(3)))
    found, _ = labels_probe(*train, validation=val, strengths=[0.1])
    one = linear_probe(
        train[0], train[1][:, 0], test[0], test[1][:, 0], validation=(val[0], val[1][:, 0]),
        strengths=[0.1], standardize=False,
    )  # fmt: skip
    expected = one.classifier.logits(test[0]).argmax(dim=1)
    assert torch.equal(which_labels(found, test[0])[:, 0], expected)


@pytest.mark.parametrize("strengths", [(1.0, 100.0), (100.0, 1.0)])
def test_of_equal_strengths_the_strongest_penalty_is_chosen(strengths):
    x, y = torch.eye(4).repeat(5, 1), torch.eye(4).long().repeat(5, 1)[:, :3]
    found, scores = labels_probe(x, y, validation=(x, y), strengths=strengths)
    assert set(scores.values()) == {100.0}
    assert {classifier.C for classifier in found} == {1.0}


def test_wrong_arguments_are_named():
    x, y = made(30)
    constant = y.clone()
    constant[:, 2] = 0
    with pytest.raises(ValueError, match="label 2 is that of 0 training samples of 30"):
        labels_probe(x, constant, validation=(x, y))
    for other in (2, 0.5, -0.5):
        with pytest.raises(ValueError, match=f"labels is {other}; allowed: 0, 1"):
            labels_probe(x, y, validation=(x, other * y))
    with pytest.raises(ValueError, match=r"validation labels has shape \(30, 3\)"):
        labels_probe(x, y, validation=(x, y[:, 1:]))
