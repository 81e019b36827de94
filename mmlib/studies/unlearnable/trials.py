"""What a run of chapters 6, 11 and 12 protects and trains: once, and from the same start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from mmlib.evaluate.retrieval import MEASURES, random_retrieval
from mmlib.mem.course import Course, Point, best
from mmlib.mem.fingerprint import fingerprint
from mmlib.mem.hacker import train_hacker
from mmlib.mem.pairs import Pairs
from mmlib.mem.protect import protect
from mmlib.mem.published import Protected
from mmlib.mem.scores import ENOUGH, WAY, headroom, protection_left
from mmlib.mem.settings import Protection
from mmlib.methods.clip import DualEncoder
from mmlib.studies.unlearnable import models
from mmlib.studies.unlearnable.models import NETWORKS, new_model
from mmlib.train import Optim

SURROGATE, HACKER = 1, 2  # draws of first weights
TIMES = 10  # that a hacker who stops early is tested


@dataclass(frozen=True)
class Hacker:
    """A model trained on published pairs, what it scored on the way and its training losses.

    ``began`` tells its first weights and how it was optimised. One who is ``early`` stops where the
    known pairs like it best, others at the last step.
    """

    model: nn.Module
    began: tuple[str, Optim]
    points: list[Point]
    history: list[dict[str, float]]
    early: bool = False

    @property
    def by_known(self) -> Point:
        """Where the known pairs like it best; ``ValueError`` if they did not score it."""
        return best(self.points, "known")

    @property
    def stop(self) -> Point:
        """Where it stops, which is where it is measured."""
        return self.by_known if self.early else self.points[-1]

    @property
    def judges(self) -> bool:
        """Whether the known pairs can tell what it learned: it did not train or stop by them."""
        return not self.early and self.stop.known is not None


class Trials:
    """What a run protects and trains, by the settings of its chapter.

    Surrogates start from one draw of weights, hackers from another, which is the same for all of a
    network. Hackers see pairs in the same order and are scored on the clean test pairs alone.

    Args:
        run: a :class:`mmlib.records.Run` of one of the chapters on unlearnable examples.
        pairs: what is published, and what it is measured on.
        points: how often a hacker is tested, ``from_start`` also before its first step.
        of: names these pairs in the parts of a run that has others, too.

    Attributes:
        guessing: what :func:`mmlib.evaluate.retrieval.random_retrieval` gives for the test pairs.
        hackers: the :class:`Hacker` of each name.
    """

    def __init__(
        self, run, pairs: Pairs, *, points: int = 1, from_start: bool = False, of: str = ""
    ):
        self.run, self.cfg, self.pairs = run, run.settings, pairs
        self.points, self.from_start, self.of = points, from_start, of
        self.guessing = _guessing(pairs.test)
        self.hackers: dict[str, Hacker] = {}
        self._made: dict[tuple, Protected] = {}

    def untrained(self, network: str = "usual") -> DualEncoder:
        """What all hackers of a network start from; ``NETWORKS`` has their names."""
        return self._drawn(HACKER, network)

    def _drawn(self, offset: int, network: str) -> DualEncoder:
        return new_model(self.cfg, self.pairs, offset, **NETWORKS[network])

    def protect(
        self,
        settings: Protection,
        network: str = "usual",
        *,
        stream: int = 1,
        surrogate: nn.Module | None = None,
    ) -> Protected:
        """The pairs, protected on a surrogate of this kind; the same settings are made once.

        A run that is cut short goes on from what was trained. ``stream`` is the run's generator. A
        ``surrogate`` is trained in place of a network of :data:`NETWORKS`; ``network`` names it.
        """
        key = settings, network, stream
        if key not in self._made:
            surrogate = self._drawn(SURROGATE, network) if surrogate is None else surrogate
            how = surrogate, *self.pairs.train, settings
            chance = self.run.generator(stream)
            if settings.trains:
                part = f"protect {self.of}, {key}"
                self._made[key] = self.run.once(part, protect, *how, generator=chance)
            else:
                self._made[key] = protect(*how, generator=chance)
        return self._made[key]

    def posts(self, made: Protected, part: str = "all") -> tuple[Tensor, Tensor]:
        """These pairs as published, or a part of it: see :meth:`Protected.posts`."""
        return made.posts(*self.pairs.train, part)

    def hack(
        self,
        name: str,
        images: Tensor,
        texts: Tensor,
        *,
        title: str | None = None,
        network: str = "usual",
        model: nn.Module | None = None,
        optim: Optim | None = None,
        early: bool = False,
        **more: Any,
    ) -> None:
        """Train a hacker on published images and texts, and note what it scores on clean pairs.

        Args:
            title: of the curves of what it scores on the way; by default there are none.
            model: what it starts from, in place of a ``network``'s weights; it is trained.
            optim: by default the settings'.
            more: what :func:`mmlib.mem.hacker.train_hacker` is told of a defence. With ``clean``,
                which are the known pairs, those are not scored.
        """
        model = self.untrained(network) if model is None else model
        hacker = self.hackers[name] = self.run.once(
            f"hack, {name}", self._trained, name, images, texts, model, optim, early, more
        )
        n, c = self.pairs.test[1].shape[:2]
        for point in hacker.points if title else ():
            for measure in MEASURES:
                self.run.curve(measure, point.step, point.test[measure], data=title)
        for measure, meaning in MEASURES.items():
            self.run.metric(
                f"{measure}.{name}", hacker.stop.test[measure],
                f"{meaning}, {n} clean test images with captions: {c}",
            )  # fmt: skip

    def _trained(self, name, images, texts, model, optim, early, more) -> Hacker:
        optim = models.optim(self.cfg) if optim is None else optim
        scored = self.pairs if more.get("clean") is None else replace(self.pairs, known=None)
        course = Course(model, scored, optim.steps, TIMES if early else self.points)
        began = fingerprint(model), optim
        if self.from_start:
            course(0)
        history = train_hacker(
            model, images, texts, optim, batch_size=min(self.cfg.batch_size, len(images)),
            seed=self.cfg.seed, generator=self.run.generator(3), made=self._made.values(),
            name=name, on_step=course, **more,
        )  # fmt: skip
        return Hacker(model.eval(), began, course.points, history, early)

    def left(self, name: str, clean: str = "clean") -> float:
        """:func:`mmlib.mem.scores.protection_left` of a hacker, where it stops.

        Raises ``ValueError`` if ``clean`` began with other weights or was optimised otherwise: then
        the two differ in more than in what was published.
        """
        return self.left_by(self.hackers[name].stop.test, name, clean)

    def left_early(self, name: str) -> float:
        """The same if the hacker had stopped where the known pairs like it best."""
        return self.left_by(self.hackers[name].by_known.test, name)

    def left_known(self, name: str) -> float:
        """The same as :meth:`left`, on the known pairs.

        Raises ``ValueError`` if the hacker trained on them, or stopped by them.
        """
        hacker = self.hackers[name]
        if not hacker.judges:
            raise ValueError(f"{name!r} used the known pairs; allowed: hackers that did not")
        return self.left_by(hacker.stop.known, name, part="known")

    def left_by(
        self, scores: Mapping[str, float], name: str, clean: str = "clean", part: str = "test"
    ) -> float:
        """What is left by other scores of a hacker than those at its stop."""
        a, b = self.hackers[name], self.hackers[clean]
        if a.began != b.began:
            raise ValueError(f"{clean!r} is the clean hacker of {name!r}; allowed: one begun alike")
        guessing = self.guessing if part == "test" else _guessing(self.pairs.known)
        return protection_left(scores, getattr(b.stop, part), guessing)

    def note(self, name: str, clean: str = "clean") -> float:
        """Keep what is left of the protection as a metric, and give it."""
        left = self.left(name, clean)
        against = "" if clean == "clean" else f"; as clean is {clean}"
        self.run.metric(
            f"left.{name}", left,
            f"protection left: 0 as clean, 1 guessing, mean of both directions{against}",
        )  # fmt: skip
        return left

    def note_scale(self) -> str:
        """Keep guessing's scores and the headroom of ``clean`` as metrics; say if it is enough."""
        for measure, meaning in MEASURES.items():
            value = self.guessing[measure]
            self.run.metric(f"{measure}.guessing", value, f"{meaning}, of guessing, exact")
        room = headroom(self.hackers["clean"].stop.test, self.guessing)
        for direction, way in WAY.items():
            self.run.metric(
                f"headroom.{direction}", room[direction],
                f"clean model's median rank over that of guessing, {way}; conclusions need less "
                "than 1/3",
            )  # fmt: skip
        told = " and ".join(f"{100 * share:.0f} %" for share in room.values())
        enough = max(room.values()) < ENOUGH
        says = "enough" if enough else "too much, so nothing can be concluded"
        return f"The clean model's median ranks are {told} of guessing's: {says}."

    def headroom(self, clean: str = "clean") -> float:
        """A clean hacker's median rank over guessing's, in the worse direction."""
        return max(headroom(self.hackers[clean].stop.test, self.guessing).values())


def _guessing(part: tuple[Tensor, Tensor]) -> dict[str, float]:
    return random_retrieval(*part[1].shape[:2])
