"""The linear probe beside scikit-learn's logistic regression.

``python benchmarks/probe.py [--keep]``: 8,000 training and 4,000 test embeddings of width 512 and
10 classes, made by a random two-layer network, hence correlated as embeddings are; float32, all
cores, both with their own tolerances. The objective is the same, so the one that ends lower is
nearer the optimum. A ratio above one says how many times as fast the probe is. Last, a path of all
the probe's strengths against the same fits one by one: what it is worth that they share each pass
over the data.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from _measure import Report, parser, ratios
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from mmlib.evaluate.metrics import balanced_accuracy
from mmlib.evaluate.probe import STRENGTHS as ALL
from mmlib.evaluate.probe import LinearClassifier, logistic_path

TRAIN, TEST, WIDTH, CLASSES = 8000, 4000, 512, 10
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def embeddings(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Embeddings (N, D) and labels (N,) of classes that overlap."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    labels = torch.randint(CLASSES, (TRAIN + TEST,), generator=generator)
    hidden = normal(CLASSES, 32)[labels] / 2 + normal(TRAIN + TEST, 32)
    for width in (256, WIDTH):
        hidden = torch.relu(hidden @ normal(hidden.shape[1], width) / hidden.shape[1] ** 0.5)
    return hidden, labels


def sklearn_path(x: Tensor, y: Tensor, strengths: tuple[float, ...]) -> list[LinearClassifier]:
    found = []
    for C in strengths:
        fitted = LogisticRegression(C=C, max_iter=10_000).fit(x.numpy(), y.numpy())
        weight, bias = torch.from_numpy(fitted.coef_.T), torch.from_numpy(fitted.intercept_)
        found.append(LinearClassifier(weight, bias, C))
    return found


def objective(classifier: LinearClassifier, x: Tensor, y: Tensor) -> float:
    logits = x.double() @ classifier.weight.double() + classifier.bias.double()
    loss = F.cross_entropy(logits, y)
    return (loss + classifier.weight.double().square().sum() / (2 * classifier.C * len(x))).item()


def main() -> None:
    x, y = embeddings(torch.Generator().manual_seed(0))
    train, test = (x[:TRAIN], y[:TRAIN]), (x[TRAIN:], y[TRAIN:])

    def score(c: LinearClassifier) -> str:
        accuracy = balanced_accuracy(c.logits(test[0]).argmax(1), test[1])
        return f"{accuracy:.2f} %, objective {objective(c, *train):.6f}"

    how = (
        f"logistic regression of {TRAIN} x {WIDTH}, {CLASSES} classes, float32, "
        f"{torch.get_num_threads()} threads"
    )
    with Report("probe", how, keep=parser(__doc__).parse_args().keep) as report:
        measure(report, train, score)


def measure(report: Report, train: tuple[Tensor, Tensor], score: Callable) -> None:
    for strengths in ((1e-2,), (1.0,), STRENGTHS):
        found = {}

        def fit(path, s=strengths, found=found):
            found[path.__name__] = path(*train, s)

        r = ratios(lambda: fit(sklearn_path), lambda: fit(logistic_path), repeats=3)
        report.ratio(f"beside scikit-learn, C = {', '.join(f'{C:g}' for C in strengths)}", r)
        for theirs, ours in zip(found["sklearn_path"], found["logistic_path"], strict=True):
            print(f"  C = {ours.C:<6g} scikit-learn {score(theirs)}; mmlib {score(ours)}")

    r = ratios(
        lambda: [logistic_path(*train, (C,), tolerance=1e-4) for C in ALL],
        lambda: logistic_path(*train, ALL, tolerance=1e-4),
        repeats=3,
    )
    report.ratio(f"{len(ALL)} strengths together, beside one by one", r)


if __name__ == "__main__":
    main()
