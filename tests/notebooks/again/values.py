"""What metrics of smoke runs have to be, or to be to each other, by what they say they are."""

import math

from scipy.stats import norm

from mmlib.evaluate.retrieval import MEASURES
from mmlib.mem.protections import MODES


def of_label_dp(m):
    yield m["reading.two_logs.noise"], 0.962372
    yield m["reading.one_log.noise"], 0.659878
    yield m["reading.two_logs.agreement"], 0.49074  # a^2 + (K - 1) b^2
    yield m["reading.one_log.agreement"], 11.8775
    yield m["knn.added_chance"], 100 * 0.659878 / 2860
    for name in ("two_logs", "one_log"):  # one draw of 70,565 records
        share, expected = m[f"somewhere.{name}"], m[f"somewhere.{name}.expected"]
        yield abs(share - expected) < 1, True
        rate = m[f"reading.{name}.noise"]
        median = 1 - rate * math.exp(-rate * 70_565 / (286 * 164))
        yield m[f"somewhere.{name}.median"], 100 * median
    for name in ("prose", "own_in_pool"):
        yield m[f"fault.{name}.draws"] > 0, True  # caught by so few draws
    yield m["knn.infinite_share"], 100
    line = 2 * math.log(3)  # what two responses of two classes cost at one half
    yield m["knn.k4.lower_bound"] < line < m["knn.k1.lower_bound"], True
    # Of two mechanisms that claim 1, one costs 2.
    yield m["audit.double_rr.lower_bound"] < 0.5 < m["audit.one_log.lower_bound"], True


def of_image_table(m):
    """A fall is of no noise; what no coin touched is as it was; who sees the labels is right."""
    for name in [n.removeprefix("fall.") for n in m if n.startswith("fall.")]:
        yield m[f"fall.{name}"], m["downstream.none"] - m[f"downstream.{name}"]
        yield m[f"fall_clean.{name}"], m["downstream_clean.none"] - m[f"downstream_clean.{name}"]
    for name in ("none", "label_rr"):
        yield m[f"downstream_clean.{name}"], m["downstream.none"]
        yield m[f"matching.{name}"], m["matching.none"]
    for measure in ("matching", "downstream_clean"):
        yield m[f"{measure}.image.population"], m[f"{measure}.double_rr"]
    for who in ("shown", "row"):
        for name in ("none", "image.population", "image_nearest.standard"):
            yield m[f"advantage.{name}.{who}"], 100 - m["attack.prior"]
    yield m["advantage.image.population.known"], m["advantage.none.known"]
    yield m["advantage.table"], m["attack.table.gradient_boosting"] - m["attack.prior"]
    yield m["tuned.untrained"], m["downstream.supervised"]
    yield m["canary.model.lower_bound"] < 1 < m["canary.response.lower_bound"] < 5, True
    yield m["advantage.response.label_rr"] > m["advantage.response.double_rr"], True
    yield m["steps_per_epoch.released"], 138
    yield m["steps_per_epoch.text"], 156


def of_label_dp_audit(m):
    for name in [n.removeprefix("cars.fall.") for n in m if n.startswith("cars.fall.")]:
        yield m[f"cars.fall.{name}"], m["cars.clean"] - m[f"cars.{name}"]
    yield m["repair.none.epsilon"], 5
    yield math.exp(m["repair.floor_2.bound"]), 81  # on the line
    yield math.exp(m["repair.floor_5.bound"]), 27
    for name in ("anchor", "coupled"):
        yield math.exp(m[f"repair.{name}.bound"]), 3
    yield m["release.total"], 2
    for names in (
        ("two_logs.ceiling", "order_2.ceiling", "one_log.ceiling", "one_log.misread"),
        ("two_logs.rows", "order_2.rows", "one_log.misread", "one_log.rows"),
    ):
        values = [m[f"cars.{name}"] for name in names]
        yield values == sorted(set(values)), True
    yield m["attack.label.response"], math.e / (math.e + 9) - 0.1  # a - 1 / K
    yield m["attack.double.response"], math.exp(0.5) / (math.exp(0.5) + 9) - 0.1
    for name in ("label", "label_image"):  # whose guesses are the best there are
        low, high = (m[f"attack.{name}.{end}"] for end in ("low", "high"))
        yield low < m[f"attack.{name}.response"] < high, True
    yield m["canary.linear.lower_bound"] < 0.5 < m["canary.memory.lower_bound"], True


def of_unlearnable_audit(m):
    """Each switch of MEM's code changes what it is about, and with it what a hacker learns."""
    for choice in MODES["corrected"]:
        names = "mem_3", f"switch_{choice}"
        plain, switched = (m[f"choice.{choice}.{name}"] for name in names)
        yield plain != switched, True
        plain, switched = ([m[f"{measure}.{name}"] for measure in MEASURES] for name in names)
        yield plain != switched, True


def of_fused_leaks(m):
    """A vector without noise is found by whoever knows the photo; the price is the exact one."""
    yield m["blur.plain.top_checked"], 100
    yield m["vector.chance.rank"], 10
    yield m["vector.chance.top"], 5
    for name in [n.removeprefix("epsilon.noise_") for n in m if n.startswith("epsilon.")]:
        ratio, epsilon = 2 / (int(name) / 100), m[f"epsilon.noise_{name}"]

        def delta(e, ratio=ratio):  # Balle and Wang 2018, Theorem 8
            low = norm.logcdf(-ratio / 2 - e / ratio)
            return norm.cdf(ratio / 2 - e / ratio) - math.exp(e + low)

        yield delta(epsilon) < 1e-5 < delta(0.9 * epsilon), True


def of_unlearnable_comm(m):
    methods = [name.rpartition(".")[2] for name in m if name.startswith("loss.clean.")]
    for task in ("colors", "shapes"):
        for part in ("image", "text"):  # the same encoders with the same weights
            floor = [m[f"content.{task}.{part}.untrained.{method}"] for method in methods]
            yield max(floor) - min(floor) < 0.5, True
    for name in (name for name in m if name.startswith("kept.")):
        _, task, part, published, method = name.split(".")
        score, low, high = (
            m[f"content.{task}.{part}.{p}.{method}"] for p in (published, "untrained", "clean")
        )
        yield low + m[name] * (high - low), score
    for method in set(methods) - {"alone"}:
        ranks = [f"median_rank.{direction}" for direction in ("i2t", "t2i")]
        shares = [m[f"{rank}.clean.{method}"] / m[f"{rank}.guessing"] for rank in ranks]
        yield m[f"headroom.{method}"], max(shares)
    yield any(name.startswith("by_noise.random_tokens") for name in m), False  # there is none


VALUES = {
    "label_dp": of_label_dp, "image_table": of_image_table, "label_dp_audit": of_label_dp_audit,
    "unlearnable_audit": of_unlearnable_audit,
    "fused_leaks": of_fused_leaks,
    "unlearnable_comm": of_unlearnable_comm,
}  # fmt: skip
