import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from mmlib.evaluate import knn
from mmlib.evaluate.knn import knn_accuracy


@pytest.fixture
def data():
    g = torch.Generator().manual_seed(0)
    centers = torch.randn(3, 6, generator=g)
    y = torch.randint(3, (300,), generator=g)
    x = centers[y] + torch.randn(300, 6, generator=g)
    return x[:200], y[:200], x[200:], y[200:]


@pytest.mark.parametrize("k", [1, 200])
def test_agrees_with_sklearn_where_no_vote_can_tie(data, k):
    train_x, train_y, test_x, test_y = (part.numpy() for part in data)
    theirs = KNeighborsClassifier(k, metric="cosine").fit(train_x, train_y).score(test_x, test_y)
    assert knn_accuracy(*data, neighbors=k) == pytest.approx(100 * theirs)


def test_agrees_with_sklearn_for_two_classes_and_odd_votes(data):
    train_x, train_y, test_x, test_y = data
    two = train_x, train_y.clamp(max=1), test_x, test_y.clamp(max=1)
    theirs = KNeighborsClassifier(7, metric="cosine").fit(two[0].numpy(), two[1].numpy())
    expected = 100 * theirs.score(two[2].numpy(), two[3].numpy())
    assert knn_accuracy(*two, neighbors=7) == pytest.approx(expected)


def test_the_closer_class_wins_a_tied_vote_but_closeness_never_outweighs_a_vote():
    x = torch.tensor([[1.0, 0.0], [1.0, 0.3], [-1.0, 0.1], [-1.0, 0.2]])
    query, label = torch.tensor([[1.0, 0.0]]), torch.tensor([2])
    assert knn_accuracy(x, torch.tensor([2, 1, 1, 0]), query, label, neighbors=2) == 100.0
    assert knn_accuracy(x, torch.tensor([2, 1, 0, 0]), query, label, neighbors=4) == 0.0


def test_chunks_do_not_change_the_result(data, monkeypatch):
    whole = knn_accuracy(*data, neighbors=5)
    monkeypatch.setattr(knn, "_ENTRIES", 1000)
    assert knn_accuracy(*data, neighbors=5) == whole


def test_wrong_arguments_are_named(data):
    with pytest.raises(ValueError, match=r"neighbors is 201; allowed: \[1, 200\]"):
        knn_accuracy(*data, neighbors=201)
    with pytest.raises(ValueError, match="test_x"):
        knn_accuracy(data[0], data[1], data[2][:, :3], data[3], neighbors=1)
