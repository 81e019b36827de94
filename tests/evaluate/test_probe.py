import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mmlib.evaluate import _logistic as module
from mmlib.evaluate.metrics import balanced_accuracy
from mmlib.evaluate.probe import PROBES, linear_probe, logistic_path, stratified_split


def embeddings(n=600, width=24, classes=4, seed=0, noise=1.0):
    """Correlated features far from the origin, and labels that a linear map partly predicts."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=g)
    centers = torch.randn(classes, 8, generator=torch.Generator().manual_seed(99))
    mix = torch.randn(8, width, generator=torch.Generator().manual_seed(98))
    hidden = centers[labels] + noise * torch.randn(n, 8, generator=g)
    features = hidden @ mix + 0.05 * torch.randn(n, width, generator=g) + 3.0
    return features.double(), labels


def sklearn_fit(x, y, C):
    fitted = LogisticRegression(C=C, tol=1e-8, max_iter=100_000).fit(x.numpy(), y.numpy())
    return torch.from_numpy(fitted.coef_.T), torch.from_numpy(fitted.intercept_), fitted


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("C", [1e-3, 1.0])
def test_coefficients_and_probabilities_agree_with_sklearn(classes, C):
    x, y = embeddings(classes=classes)
    weight, bias, fitted = sklearn_fit(x, y, C)
    (ours,) = logistic_path(x, y, [C])
    columns = weight.shape[1]  # scikit-learn keeps one for two classes; our first is zero
    assert ours.weight[:, : classes - columns].abs().sum() == 0
    torch.testing.assert_close(ours.weight[:, -columns:], weight, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(ours.bias[-columns:], bias, atol=1e-3, rtol=1e-3)
    theirs = torch.from_numpy(fitted.predict_proba(x.numpy()))
    torch.testing.assert_close(ours.logits(x).softmax(1), theirs, atol=1e-4, rtol=0)


def test_standardised_fit_agrees_with_sklearn_on_standardised_features():
    x, y = embeddings()
    x = x * torch.logspace(-3, 3, 24, dtype=torch.float64)  # widths a million apart
    scaler = StandardScaler().fit(x.numpy())
    weight, _, fitted = sklearn_fit(torch.from_numpy(scaler.transform(x.numpy())), y, 0.1)
    (ours,) = logistic_path(x, y, [0.1], standardize=True)
    scale = torch.from_numpy(scaler.scale_)
    torch.testing.assert_close(ours.weight * scale[:, None], weight, atol=1e-4, rtol=1e-3)
    theirs = torch.from_numpy(fitted.predict_proba(scaler.transform(x.numpy())))
    torch.testing.assert_close(ours.logits(x).softmax(1), theirs, atol=1e-4, rtol=0)


def test_float32_probabilities_agree_with_sklearn():
    x, y = embeddings()
    _, _, fitted = sklearn_fit(x, y, 1.0)
    (ours,) = logistic_path(x.float(), y, [1.0])
    assert ours.weight.dtype == torch.float32
    theirs = torch.from_numpy(fitted.predict_proba(x.numpy())).float()
    torch.testing.assert_close(ours.logits(x).softmax(1), theirs, atol=1e-3, rtol=0)


def test_a_path_is_the_separate_fits_in_the_order_asked_for():
    x, y = embeddings()
    strengths = [1.0, 1e-3, 0.1]
    path = logistic_path(x, y, strengths, tolerance=1e-8)
    assert [c.C for c in path] == strengths
    for along in path:
        (alone,) = logistic_path(x, y, [along.C], tolerance=1e-8)
        torch.testing.assert_close(along.weight, alone.weight, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("penalty", ["l2", "unsquared"])
def test_the_strengths_of_a_path_share_every_pass_over_the_data(monkeypatch, penalty):
    x, y = embeddings(n=200)
    passes, objective = [], module.Problems.objective

    def counted(self, positions, forces):
        passes.append(len(positions))
        return objective(self, positions, forces)

    monkeypatch.setattr(module.Problems, "objective", counted)
    strengths = [1.0, 10.0, 100.0]
    for C in strengths:
        logistic_path(x, y, [C], penalty=penalty)
    one_by_one = len(passes)
    passes.clear()
    logistic_path(x, y, strengths, penalty=penalty)
    assert passes[0] == 3
    assert len(passes) < 0.8 * one_by_one


@pytest.mark.parametrize("penalty", ["l2", "unsquared"])
@pytest.mark.parametrize("classes", [2, 4])
def test_values_and_gradients_of_all_strengths_are_those_of_each(monkeypatch, classes, penalty):
    x, y = embeddings(n=50, classes=classes)
    problems = module.Problems(x - x.mean(0), y, classes, penalty)
    g = torch.Generator().manual_seed(0)
    columns = classes if classes > 2 else 1
    positions = torch.randn(3, 25, columns, generator=g, dtype=torch.float64)
    forces = torch.tensor([0.01, 0.5, 2.0], dtype=torch.float64)
    for entries in (2**20, 7):  # at once, and a row or two at a time
        monkeypatch.setattr(module, "_ENTRIES", entries)
        values, gradients = problems.objective(positions, forces)
        for position, force, value, gradient in zip(
            positions, forces, values, gradients, strict=True
        ):
            free = position.clone().requires_grad_()
            weight = problems.basis @ free[:-1]
            logits = (x - x.mean(0)) @ weight + free[-1]
            if classes == 2:
                logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
            norm = weight.norm()
            plain = F.cross_entropy(logits, y)
            plain = plain + force * (norm**2 / 2 if penalty == "l2" else norm)
            torch.testing.assert_close(value, plain.detach())
            torch.testing.assert_close(gradient, torch.autograd.grad(plain, free)[0])


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("C", [5.0, 1e4])
def test_unsquared_penalty_is_at_a_stationary_point_of_its_objective(classes, C):
    x, y = embeddings(classes=classes)
    (ours,) = logistic_path(x, y, [C], penalty="unsquared", tolerance=1e-8)
    weight = ours.weight.clone().requires_grad_()
    bias = ours.bias.clone().requires_grad_()
    loss = F.cross_entropy(x @ weight + bias, y) + 0.5 / C * weight.norm()
    gradient, slope = torch.autograd.grad(loss, [weight, bias])
    columns = slice(None) if classes > 2 else slice(1, None)  # of two classes one is fitted
    assert weight.norm() > 0.1
    assert gradient[:, columns].abs().max() < 1e-6
    assert slope[columns].abs().max() < 1e-6


@pytest.mark.parametrize("classes", [2, 4])
def test_unsquared_penalty_lies_on_the_path_of_the_squared_one(classes):
    x, y = embeddings(classes=classes)
    (ours,) = logistic_path(x, y, [20.0], penalty="unsquared", tolerance=1e-8)
    same = 2 * 20.0 * ours.weight.norm().item() / len(x)  # where both gradients are equal
    (squared,) = logistic_path(x, y, [same], tolerance=1e-8)
    torch.testing.assert_close(ours.weight, squared.weight, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("x", [torch.full((6, 3), 0.5), torch.tensor([[1.0], [-1.0]] * 3)])
def test_unsquared_penalty_leaves_features_that_tell_nothing(x):
    y = torch.tensor([0, 0, 1, 1, 1, 1]) if x.shape[1] == 1 else torch.tensor([0, 1, 1, 1, 1, 1])
    (ours,) = logistic_path(x, y, [1e3], penalty="unsquared")
    assert not ours.weight.any()
    shares = y.bincount() / len(y)
    torch.testing.assert_close(ours.logits(x).softmax(1), shares.expand(6, -1))


def test_unsquared_penalty_switches_off_where_its_force_exceeds_the_gradient():
    x, y = embeddings()
    residual = F.one_hot(y) - F.one_hot(y).double().mean(0)
    switch = 0.5 / (x.T @ residual / len(x)).norm().item()
    below, above = logistic_path(x, y, [0.99 * switch, 1.01 * switch], penalty="unsquared")
    assert below.weight.abs().max() == 0
    frequencies = F.one_hot(y).double().mean(0).expand(len(x), -1)
    torch.testing.assert_close(below.logits(x).softmax(1), frequencies)
    assert above.weight.abs().max() > 0


def test_no_embedding_shift_or_inference_mode_changes_the_fit():
    x, y = embeddings()
    (plain,) = logistic_path(x, y, [0.1])
    (shifted,) = logistic_path(x + 100, y, [0.1])
    torch.testing.assert_close(plain.weight, shifted.weight, atol=1e-5, rtol=1e-4)
    with torch.inference_mode():
        (inside,) = logistic_path(x.clone(), y.clone(), [0.1])
    assert torch.equal(plain.weight, inside.weight)


def test_probe_chooses_on_validation_refits_and_scores_on_test():
    x, y = embeddings(n=900, noise=2.5)
    train, val, test = (x[:400], y[:400]), (x[400:600], y[400:600]), (x[600:], y[600:])
    strengths = [1e-5, 1e-3, 1e-1, 1.0]
    options = {"validation": val, "strengths": strengths, "standardize": False}
    result = linear_probe(*train, *test, **options)

    scores = {}
    for C in strengths:
        _, _, fitted = sklearn_fit(*train, C)
        predictions = torch.from_numpy(fitted.predict(val[0].numpy()))
        scores[C] = balanced_accuracy(predictions, val[1])
    assert result.validation == pytest.approx(scores)
    assert max(scores, key=scores.get) == result.C
    assert len(set(scores.values())) > 1

    union = torch.cat([train[0], val[0]]), torch.cat([train[1], val[1]])
    _, _, fitted = sklearn_fit(*union, result.C)
    logits = torch.from_numpy(fitted.decision_function(test[0].numpy()))
    assert result.balanced_accuracy == balanced_accuracy(logits.argmax(1), test[1])


def test_equal_validation_accuracy_is_decided_by_cross_entropy():
    # 5 % positives: each strength predicts the constant, but not each the probabilities.
    x, _ = embeddings(n=800)
    g = torch.Generator().manual_seed(1)
    y = (torch.sigmoid(x[:, 0] - x[:, 0].mean() - 4) > torch.rand(800, generator=g)).long()
    strengths = [1e-6, 1e-3]
    result = linear_probe(
        x[:400], y[:400], x[400:], y[400:], validation=(x[400:], y[400:]), strengths=strengths
    )
    assert set(result.validation.values()) == {50.0}
    assert result.C == 1e-3


def test_random_split_is_the_generators_and_the_test_set_chooses_nothing():
    x, y = embeddings(n=500, noise=3.0)
    train, test = (x[:300], y[:300]), (x[300:], y[300:])

    def probe(seed, test_y=test[1]):
        g = torch.Generator().manual_seed(seed)
        return linear_probe(*train, test[0], test_y, generator=g)

    assert probe(0).validation == probe(0).validation != probe(1).validation
    assert probe(0).C == probe(0, test_y=test[1].flip(0)).C


def test_labels_unrelated_to_the_embeddings_are_read_at_chance():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(2000, 10, generator=g), torch.randint(4, (2000,), generator=g)
    result = linear_probe(x[:1000], y[:1000], x[1000:], y[1000:], generator=g)
    assert abs(result.balanced_accuracy - 25) < 5


def test_stratified_split_holds_the_share_of_every_class():
    labels = torch.tensor([5] * 50 + [1] * 20 + [3] * 5)[torch.randperm(75)]
    rest, held = stratified_split(labels, 0.4, generator=torch.Generator().manual_seed(0))
    assert sorted([*rest.tolist(), *held.tolist()]) == list(range(75))
    assert [(labels[held] == k).sum().item() for k in (5, 1, 3)] == [20, 8, 2]
    _, other = stratified_split(labels, 0.4, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(held, other)
    few = torch.tensor([0] * 4 + [1] * 6)  # 1.6 and 2.4 of them
    _, held = stratified_split(few, 0.4, generator=torch.Generator().manual_seed(0))
    assert few[held].tolist() == [0, 0, 1, 1]


def test_a_class_that_only_the_test_set_has_is_never_right():
    x, y = torch.eye(3).repeat(20, 1), torch.arange(3).repeat(20)
    seen = y < 2
    result = linear_probe(x[seen], y[seen], x, y, validation=(x[seen], y[seen]))
    assert result.classifier.logits(x).shape == (60, 3)
    assert result.balanced_accuracy == pytest.approx(100 * 2 / 3)


@pytest.mark.parametrize("constant", [0.1, -0.1, 1e4])
def test_a_feature_that_is_the_same_for_all_but_for_rounding_adds_nothing(constant):
    x, y = embeddings(n=300)
    last_digits = 1e-7 * torch.randn(300, 1, generator=torch.Generator().manual_seed(0))
    more = torch.cat([x, constant * (1 + last_digits)], dim=1)
    (without,), (beside,) = (logistic_path(z, y, [1.0], standardize=True) for z in (x, more))
    more[:, -1] *= 1 + 1e-5  # to a new sample, too
    torch.testing.assert_close(beside.logits(more), without.logits(x), atol=1e-2, rtol=0)


def test_wrong_arguments_are_named():
    x, y = embeddings(n=60)
    with pytest.raises(ValueError, match="penalty is 'l1'; allowed: 'l2', 'unsquared'"):
        logistic_path(x, y, [1.0], penalty="l1")
    with pytest.raises(ValueError, match=r"C is 0\.0; allowed: \(0, inf\)"):
        logistic_path(x, y, [0.0])
    with pytest.raises(ValueError, match=r"labels is 3; allowed: \[0, 2\]"):
        logistic_path(x, y, [1.0], classes=3)
    with pytest.raises(ValueError, match=r"y is torch\.float32; allowed: integers"):
        logistic_path(x, y.clamp(max=1) / 2, [1.0])
    broken = x.clone()
    broken[3, 4] = torch.nan
    with pytest.raises(ValueError, match="test embeddings hold nan or infinity"):
        linear_probe(x, y, broken, y, generator=torch.Generator())
    with pytest.raises(ValueError, match="generator is None"):
        linear_probe(x, y, x, y)
    with pytest.raises(ValueError, match=r"test embeddings has shape \(60, 23\)"):
        linear_probe(x, y, x[:, 1:], y, generator=torch.Generator())
    with pytest.raises(ValueError, match=r"share is 0\.001, which leaves a part of 60 labels"):
        stratified_split(y, 0.001, generator=torch.Generator())


def test_a_solver_that_stops_early_says_so(monkeypatch):
    monkeypatch.setattr(module, "_ITERATIONS", 3)
    with pytest.warns(UserWarning, match="no optimum in 3 iterations at C=1"):
        logistic_path(*embeddings(), [1.0])


def test_the_unsquared_penalty_comes_with_the_released_probe():
    """Chosen on 40 %, of strengths from 1e-6 to 1e6; features as they are."""
    assert PROBES["unsquared"] == {
        "validation": 0.4, "penalty": "unsquared", "standardize": False,
        "strengths": tuple(10.0**k for k in range(-6, 7)),
    }  # fmt: skip
