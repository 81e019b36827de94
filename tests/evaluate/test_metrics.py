import pytest
import torch
from sklearn import metrics as sklearn_metrics

from mmlib.evaluate.metrics import (
    accuracy,
    balanced_accuracy,
    f1,
    f1_labels,
    macro_precision,
    roc_auc,
)


@pytest.fixture
def predicted():
    """Unequal classes of a 5-class problem and noisy predictions."""
    g = torch.Generator().manual_seed(0)
    labels = torch.multinomial(torch.tensor([0.5, 0.3, 0.1, 0.05, 0.05]), 400, True, generator=g)
    guess = torch.randint(5, (400,), generator=g)
    return torch.where(torch.rand(400, generator=g) < 0.5, labels, guess), labels


def test_accuracies_agree_with_sklearn(predicted):
    ours = accuracy(*predicted), balanced_accuracy(*predicted)
    labels, predictions = predicted[1].numpy(), predicted[0].numpy()
    theirs = (
        100 * sklearn_metrics.accuracy_score(labels, predictions),
        100 * sklearn_metrics.balanced_accuracy_score(labels, predictions),
    )
    assert ours == pytest.approx(theirs, abs=1e-10)
    # Recall averages over true classes: with the arguments swapped it would be precision.
    assert balanced_accuracy(*predicted) != pytest.approx(balanced_accuracy(*predicted[::-1]))


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_f1_agrees_with_sklearn(predicted, average):
    predictions, labels = predicted
    said_too = torch.where(predictions == 0, 7, predictions)  # a class that no sample has
    for guess in (predictions, torch.full_like(labels, 2), torch.full_like(labels, 9), said_too):
        theirs = sklearn_metrics.f1_score(
            labels.numpy(), guess.numpy(), average=average, zero_division=0
        )
        assert f1(guess, labels, average=average) == pytest.approx(100 * theirs, abs=1e-10)
    assert f1(labels, labels, average=average) == 100
    with pytest.raises(ValueError, match="average is 'micro'; allowed: 'macro', 'weighted'"):
        f1(predictions, labels, average="micro")


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_f1_of_labels_agrees_with_sklearn(average):
    g = torch.Generator().manual_seed(5)
    share = torch.linspace(0.05, 0.8, 7)
    labels = (torch.rand(200, 7, generator=g) < share).long()
    guess = torch.where(torch.rand(200, 7, generator=g) < 0.7, labels, 1 - labels)
    labels[:, 2], guess[:, 2] = 0, 0  # a label that is neither said nor true
    guess[:, 3] = 0  # and one that is true and never said
    theirs = sklearn_metrics.f1_score(
        labels.numpy(), guess.numpy(), average=average, zero_division=0
    )
    assert f1_labels(guess, labels, average=average) == pytest.approx(100 * theirs, abs=1e-10)
    with pytest.raises(ValueError, match="average is 'micro'; allowed: 'macro', 'weighted'"):
        f1_labels(guess, labels, average="micro")
    with pytest.raises(ValueError, match=r"predictions has shape \(200, 6\)"):
        f1_labels(guess[:, 1:], labels, average=average)


def test_constant_predictions_get_chance_however_unequal_the_classes():
    labels = torch.tensor([0] * 90 + [1] * 9 + [2])
    for k in range(3):
        assert balanced_accuracy(torch.full((100,), k), labels) == pytest.approx(100 / 3)


def test_classes_that_do_not_occur_do_not_count():
    assert balanced_accuracy(torch.tensor([7, 2, 2]), torch.tensor([7, 7, 2])) == 75.0


@pytest.mark.parametrize("levels", [3, 1000])
def test_auc_agrees_with_sklearn_with_and_without_ties(levels):
    g = torch.Generator().manual_seed(1)
    labels = (torch.rand(500, generator=g) < 0.1).long()
    scores = torch.randint(levels, (500,), generator=g) + labels
    theirs = 100 * sklearn_metrics.roc_auc_score(labels.numpy(), scores.numpy())
    assert roc_auc(scores, labels) == pytest.approx(theirs, abs=1e-10)


def test_auc_is_a_count_of_pairs():
    g = torch.Generator().manual_seed(3)
    scores, labels = torch.randint(6, (60,), generator=g), torch.randint(2, (60,), generator=g)
    wins = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p in scores[labels == 1].tolist()
        for n in scores[labels == 0].tolist()
    ]
    assert roc_auc(scores, labels) == pytest.approx(100 * sum(wins) / len(wins), abs=1e-12)
    assert roc_auc(-scores, labels) == pytest.approx(100 - roc_auc(scores, labels), abs=1e-12)


def test_auc_of_equal_scores_is_exactly_half():
    assert roc_auc(torch.zeros(1001), (torch.arange(1001) % 10 == 0).long()) == 50.0


def test_auc_of_many_scores_does_not_round():
    n = 2_000_000  # the sum of ranks passes 2^41: float32 would lose it
    scores, labels = torch.arange(n), torch.arange(n) % 2
    assert roc_auc(scores, labels) == pytest.approx(50 + 100 / n, abs=1e-12)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"predictions has shape \(3,\); expected \(N=2\)"):
        accuracy(torch.zeros(3), torch.zeros(2))
    with pytest.raises(ValueError, match="0 entries"):
        balanced_accuracy(torch.zeros(0), torch.zeros(0))
    with pytest.raises(ValueError, match="nan"):
        roc_auc(torch.tensor([0.0, float("nan")]), torch.tensor([0, 1]))
    for labels in ([1, 1], [0, 2]):
        with pytest.raises(ValueError, match=rf"labels are \[{labels[0]}.*allowed: 0 and 1, both"):
            roc_auc(torch.zeros(2), torch.tensor(labels))


def test_macro_precision_is_scikit_learns_and_gives_the_constant_predictor_45():
    from sklearn.metrics import precision_score

    generator = torch.Generator().manual_seed(3)
    for classes in (2, 5):
        predictions, labels = torch.randint(classes, (2, 60), generator=generator)
        predictions[predictions == 1] = 0  # a class that is never predicted
        expected = precision_score(labels, predictions, average="macro", zero_division=0)
        assert macro_precision(predictions, labels) == pytest.approx(100 * expected)
    labels = torch.zeros(4094, dtype=torch.long)
    labels[:404] = 1  # the test pairs of CoMM's synergy probe
    nothing = torch.zeros_like(labels)
    assert macro_precision(nothing, labels) == pytest.approx(45.07, abs=0.005)
    assert balanced_accuracy(nothing, labels) == 50
