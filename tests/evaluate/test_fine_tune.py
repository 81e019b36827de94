"""A frozen encoder is frozen to its batch norms; stopping follows its rule; the best is tested."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmlib.evaluate import fine_tune as module
from mmlib.evaluate.fine_tune import Patience, fine_tune, fit_to_best, outputs, predict
from mmlib.label_dp.learning import forward_loss
from mmlib.train import EpochSampler, Optim


class Encoder(nn.Sequential):
    """Two numbers to four features, with a batch norm whose statistics can drift."""

    out_features = 4

    def __init__(self):
        super().__init__(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU())


def plain(x, generator):
    return x


def shaken(x, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator)


@pytest.fixture
def data():
    """Three classes around a circle: train, validation and test, 40 % noised but for the test."""
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (320,), generator=g)
    angle = labels * 2.1 + 0.3 * torch.randn(320, generator=g)
    x = torch.stack([angle.cos(), angle.sin()], dim=1) + 5
    noised = torch.where(torch.rand(320, generator=g) < 0.4, labels.roll(1), labels)
    return x[:128], noised[:128], x[128:192], noised[128:192], x[192:], labels[192:]


def tune(data, encoder, **changes):
    train_x, train_y, val_x, val_y, test_x, test_y = data
    settings = {
        "validation": (val_x, val_y),
        "classes": 3,
        "trainable": True,
        "views": plain,
        "prepare": plain,
        "optim": Optim(steps=60, learning_rate=1e-2, weight_decay=0.0, optimizer="adam"),
        "sampler": EpochSampler(128, 64, seed=0),
        "generator": torch.Generator().manual_seed(1),
        **changes,
    }
    return fine_tune(encoder, train_x, train_y, test_x, test_y, **settings)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Encoder()


@pytest.mark.parametrize("trainable", [False, True])
def test_only_what_is_trainable_moves_and_the_given_encoder_never(data, encoder, trainable):
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    tuned = tune(data, encoder, trainable=trainable, views=shaken)
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, before[key]), key
        same = torch.equal(tuned.classifier.encoder.state_dict()[key], before[key])
        # A bias before a batch norm has no gradient but rounding; all else moves.
        assert same != trainable or key == "0.bias", key
    assert not tuned.classifier.training


def test_a_frozen_encoder_is_a_linear_model_of_its_features(data, encoder):
    """By hand: softmax regression from zero on features in evaluation mode, the same batches.

    They are standardised by the batch in training, by the batches' mean and variance in scoring.
    """
    train_x, train_y, val_x, val_y, *_ = data
    tuned = tune(data, encoder, trainable=False, patience=30)
    with torch.no_grad():
        x, v = encoder.eval()(train_x), encoder(val_x)
    weight = torch.zeros(3, 4, requires_grad=True)
    bias = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([weight, bias], lr=1e-2)
    sampler = EpochSampler(128, 64, seed=0)
    scores, mean, var = [], torch.zeros(4), torch.zeros(4)
    for step in range(60):
        part, y = x[sampler(step)], train_y[sampler(step)]
        mean, var = mean + part.mean(0), var + part.var(0)
        part = (part - part.mean(0)) / (part.var(0, correction=0) + 1e-6).sqrt()
        optimizer.zero_grad()
        F.cross_entropy(part @ weight.T + bias, y).backward()
        optimizer.step()
        if step % 2:
            seen = (v - mean / (step + 1)) / (var / (step + 1) + 1e-6).sqrt()
            guess = (seen @ weight.T + bias).argmax(1)
            scores.append(100 * (guess == val_y).double().mean().item())
    assert tuned.validation == pytest.approx(scores)
    assert tuned.epoch == 1 + scores.index(max(scores))


def test_what_is_tested_is_the_epoch_that_validation_chose(data, encoder):
    *_, val_x, val_y, test_x, test_y = data
    tuned = tune(data, encoder, patience=5)
    again = predict(tuned.classifier, val_x, plain)
    assert 100 * (again == val_y).double().mean().item() == pytest.approx(max(tuned.validation))
    assert tuned.validation.index(max(tuned.validation)) == tuned.epoch - 1 < 29
    guess = predict(tuned.classifier, test_x, plain)
    assert torch.equal(guess, tuned.classifier(test_x).argmax(1))
    twice = outputs(tuned.classifier.train(), test_x, lambda x, g: 2 * x)  # left in evaluation mode
    assert torch.equal(twice, tuned.classifier(2 * test_x))
    right = (guess == test_y).double()
    assert tuned.accuracy == pytest.approx(100 * right.mean().item())
    of_class = [right[test_y == k].mean().item() for k in range(3)]
    assert tuned.balanced_accuracy == pytest.approx(100 * sum(of_class) / 3)
    assert tuned.accuracy != pytest.approx(tuned.balanced_accuracy)


def test_training_the_encoder_can_see_what_its_frozen_features_do_not(data, encoder):
    """Its units see the cosine alone, which is the same for the second and the third class."""
    nn.init.zeros_(encoder[0].weight[:, 1])
    longer = {"optim": Optim(steps=120, learning_rate=1e-2), "patience": 60}
    assert tune(data, encoder, trainable=False, **longer).balanced_accuracy < 70
    assert tune(data, encoder, **longer).balanced_accuracy > 75


def test_features_that_hardly_differ_are_learned_from_as_well(data, encoder):
    """As those of random weights, behind batch norms whose running statistics are still 0 and 1."""

    class Shrunk(Encoder):
        def forward(self, x):
            return 0.01 * super().forward(x) + 3

    shrunk = Shrunk()
    shrunk.load_state_dict(encoder.state_dict())
    scores = [tune(data, e, trainable=False).accuracy for e in (encoder, shrunk)]
    assert scores[0] > 60
    assert scores[1] == pytest.approx(scores[0], abs=3)


def test_no_rise_ends_it_after_the_patience(data, encoder):
    """Labels of a class that is never trained: validation is 0 from the first epoch on."""
    *_, val_x, val_y, _, _ = data
    wrong = val_x, torch.full_like(val_y, 3)
    tuned = tune(data, encoder, validation=wrong, classes=4, patience=4)
    assert tuned.validation == (0.0,) * 5  # the first is a rise from nothing
    assert tuned.epoch == 1


def test_a_rise_is_the_released_two_hundredths_of_a_point(data, encoder, monkeypatch):
    rules = []

    def fit_to_best(*_, rule, **__):
        rules.append(rule.seen(0.0))

    monkeypatch.setattr(module, "fit_to_best", fit_to_best)
    tune(data, encoder, patience=7)
    assert [(rule.patience, rule.min_delta) for rule in rules] == [(7, 0.02)]


def test_another_loss_sees_its_own_targets_and_the_plain_one_is_the_default(data, encoder):
    told = (data[0], torch.eye(3)[data[1]], *data[2:])
    few = Optim(steps=6, learning_rate=1e-2, weight_decay=0.0, optimizer="adam")
    plain, same, other = (
        tune(d, encoder, optim=few, **options)
        for d, options in (
            (data, {}),
            (told, {"loss": forward_loss}),
            (told, {"loss": lambda logits, y: forward_loss(logits, y.roll(1, 1))}),
        )
    )
    assert same.validation == plain.validation
    weights = [tuned.classifier.head.weight for tuned in (plain, same, other)]
    torch.testing.assert_close(weights[0], weights[1])
    assert (weights[2] - weights[0]).abs().max() > 0.01


@pytest.mark.parametrize(
    ("values", "patience", "min_delta", "stops", "best"),
    [
        ([10, 20, 30, 40], 1, 0.0, None, 4),  # always rising
        ([10, 20, 20, 20], 2, 0.0, 4, 2),  # an equal value is no rise, and the first is kept
        ([10, 10.01, 10.02, 10.04], 3, 0.02, None, 4),  # small steps count once they add up
        ([10, 10.01, 10.02, 10.03], 2, 0.02, 3, 3),  # kept though it was no rise
        ([30, 10, 29, 31, 5, 5], 2, 0.0, 3, 1),
        ([30, 10, 31, 5, 5], 2, 0.0, 5, 3),  # a rise starts the count anew
    ],
)
def test_the_rule_of_stopping(values, patience, min_delta, stops, best):
    rule, stopped = Patience(patience, min_delta), None
    for epoch, value in enumerate(values, start=1):
        if rule.seen(value).over:
            stopped = epoch
            break
    assert (stopped, rule.best) == (stops, best)


def test_wrong_arguments_are_named(data, encoder):
    with pytest.raises(ValueError, match="patience is 0"):
        tune(data, encoder, patience=0)
    with pytest.raises(ValueError, match=r"steps is 1; allowed: \[2, inf\)"):
        tune(data, encoder, optim=Optim(steps=1, learning_rate=1e-2))
    with pytest.raises(ValueError, match="train_y"):
        tune(data, encoder, sampler=EpochSampler(64, 64, seed=0))
    with pytest.raises(ValueError, match="classes is 1"):
        tune(data, encoder, classes=1)


def test_any_model_ends_as_its_best_epoch_left_it():
    model, seen, scores = nn.Linear(1, 1), [], iter([1.0, 3.0, 2.0, 0.0, 9.0])

    def score():
        seen.append(model.weight.detach().clone())
        return next(scores)

    rule = Patience(2, 0.0)
    fit_to_best(
        model,
        lambda rows, generator: model.weight.square().sum(),
        Optim(steps=10, learning_rate=0.1),
        EpochSampler(4, 2, seed=0),
        score=score,
        rule=rule,
        generator=torch.Generator().manual_seed(0),
        progress=False,
    )
    assert rule.values == [1.0, 3.0, 2.0, 0.0]  # of epochs of two steps; the fifth was not made
    assert torch.equal(model.weight, seen[1])
    assert not torch.equal(seen[1], seen[3])
