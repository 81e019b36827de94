"""Each kind of label has its own probe, score and empty answer, and all are used in one way."""

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, r2_score

from mmlib.evaluate.labels import labels_probe
from mmlib.evaluate.probe import linear_probe
from mmlib.evaluate.targets import TARGETS, explained

PARTS = ("train", "validation", "test")


def made(kind, sizes=(90, 40, 50)):
    """Features that tell the labels well but for some noise."""
    g = torch.Generator().manual_seed(0)
    tell = torch.randn(5, 3, generator=g)
    features, labels = {}, {}
    for part, n in zip(PARTS, sizes, strict=True):
        features[part] = torch.randn(n, 5, generator=g)
        told = features[part] @ tell + 0.3 * torch.randn(n, 3, generator=g)
        labels[part] = {
            "classes": told.argmax(dim=1), "labels": (told > 1).long(), "numbers": told,
        }[kind]  # fmt: skip
    return features, labels


@pytest.mark.parametrize("kind", TARGETS)
def test_a_probe_beats_the_empty_answer_which_looks_at_nothing(kind):
    target = TARGETS[kind]
    features, labels = made(kind)
    found = target.probe(features, labels)
    assert found.predictions.shape == labels["test"].shape
    empty = target.constant(labels["train"], 50)
    assert empty.shape == labels["test"].shape
    assert (empty == empty[:1]).all()
    scores = {
        "probe": target.score(found.predictions, labels["test"]),
        "empty": target.score(empty, labels["test"]),
        "truth": target.score(labels["test"], labels["test"]),
    }
    assert target.best(scores) == "truth"
    del scores["truth"]
    assert target.best(scores) == "probe"
    for _, score in target.further.values():
        assert score(found.predictions, labels["test"]) > score(empty, labels["test"])


@pytest.mark.parametrize("kind", TARGETS)
def test_the_test_part_chooses_nothing(kind):
    features, labels = made(kind)
    first = TARGETS[kind].probe(features, labels)
    changed = dict(labels, test=labels["test"].flip(0))
    again = TARGETS[kind].probe(features, changed)
    assert torch.equal(first.predictions, again.predictions)
    assert first.validation == again.validation


def test_the_validation_score_is_that_of_the_fit_on_training_alone():
    features, labels = made("numbers")
    (fit,) = [TARGETS["numbers"].probe(dict(features, test=features["validation"]),
                                       dict(labels, test=labels["validation"]))]  # fmt: skip
    refitted = TARGETS["numbers"].score(fit.predictions, labels["validation"])
    assert refitted < fit.validation < 2 * refitted  # the final fit has seen these samples


def test_the_validation_score_is_the_best_of_all_strengths():
    for kind in ("classes", "labels"):
        features, labels = made(kind)
        train, held, test = ((features[part], labels[part]) for part in PARTS)
        if kind == "classes":
            tried = linear_probe(*train, *test, validation=held).validation.values()
        else:
            tried = labels_probe(*train, validation=held)[1].values()
        assert TARGETS[kind].probe(features, labels).validation == max(tried) > min(tried)


def test_empty_answers_are_what_they_are_called():
    labels = torch.tensor([2, 0, 2])
    assert TARGETS["classes"].constant(labels, 2).tolist() == [2, 2]
    assert TARGETS["labels"].constant(torch.zeros(3, 2).long(), 1).tolist() == [[1, 1]]
    numbers = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    assert TARGETS["numbers"].constant(numbers, 1).tolist() == [[2.0, 0.0]]


def skewed(kind):
    """Labels of unequal classes, and guesses of which some are wrong."""
    g = torch.Generator().manual_seed(2)
    shape = {"classes": (200,), "labels": (200, 3), "numbers": (200, 3)}[kind]
    if kind == "numbers":
        y = torch.randn(shape, generator=g)
        return y, y + 0.5 * torch.randn(shape, generator=g)
    k = 3 if kind == "classes" else 2
    y, other = ((k * torch.rand(shape, generator=g) ** 3).long() for _ in range(2))
    return y, y.where(torch.rand(shape, generator=g) < 0.7, other)


@pytest.mark.parametrize("kind", TARGETS)
def test_every_score_is_the_one_that_it_is_called(kind):
    labels, said = skewed(kind)
    y, guess = labels.numpy(), said.numpy()
    theirs = {
        "accuracy (%)": 100 * (y == guess).mean(),
        "mean squared error (10⁻⁴)": 1e4 * ((y - guess) ** 2).mean(),
    }
    if kind == "numbers":
        theirs["variance explained (%)"] = 100 * r2_score(y, guess)
    else:
        theirs["macro F1 (%)"] = 100 * f1_score(y, guess, average="macro")
        theirs["macro F1 of labels (%)"] = theirs["macro F1 (%)"]
        theirs["weighted F1 (%)"] = 100 * f1_score(y, guess, average="weighted")
    if kind == "classes":
        theirs["balanced accuracy (%)"] = 100 * balanced_accuracy_score(y, guess)
    target, called = TARGETS[kind], {"explained": "variance explained"}
    for title, score in ((target.title, target.score), *target.further.values()):
        assert score(said, labels) == pytest.approx(theirs[title], rel=1e-5), title
    for name, (title, _) in target.further.items():
        assert called.get(name, name.replace("_", " ")).lower() in title.lower()


def test_variance_explained_is_scikit_learns():
    g = torch.Generator().manual_seed(1)
    y = torch.randn(40, 3, generator=g)
    guess = y + torch.randn(40, 3, generator=g) * torch.tensor([0.1, 1.0, 3.0])
    assert explained(guess, y) == pytest.approx(100 * r2_score(y.numpy(), guess.numpy()), rel=1e-5)
    same = torch.full((3, 1), 0.1, dtype=torch.float64)  # whose mean is rounded
    for guesses, numbers in ((guess, torch.zeros(40, 3)), (torch.zeros(3, 1), same)):
        with pytest.raises(ValueError, match="an output without variance"):
            explained(guesses, numbers)
