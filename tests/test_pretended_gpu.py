"""Each method trains a step on a pretended GPU, whose tensors may not meet those of the host.

This finds what else only a first run on a GPU would: a ``torch.arange(n)`` without a device, draws
from a generator of the wrong one, and where the host waits for the device. What a GPU's kernels do
it cannot tell.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from mmlib import train
from mmlib.augment import image
from mmlib.data.multimodal import Modality
from mmlib.data.table import TableSchema
from mmlib.data.text import END, START
from mmlib.mem.hacker import train_hacker
from mmlib.mem.protect import protect
from mmlib.methods import image_only, image_pairs, modalities
from mmlib.presets.base import resolve
from mmlib.studies.image_table import ImageTableStudy
from mmlib.studies.pairs import PairStudy
from mmlib.studies.private_pairs import PrivatePairs, ways
from mmlib.studies.unlearnable.models import budget, new_model, optim
from mmlib.studies.unlearnable.pairs import load_pairs
from mmlib.train import EpochSampler, Optim, fit

# --- the pretended GPU ----------------------------------------------------------------------------

THERE = torch.device("meta")  # for this type of device torch asks for no driver
_READS = {  # operations that give the host numbers, or shapes that depend on them
    "_local_scalar_dense", "bincount", "equal", "is_nonzero", "masked_select", "nonzero", "tolist",
    "_unique2", "unique_consecutive", "unique_dim",
}  # fmt: skip
_INDEX = {"index", "index_put_", "_index_put_impl_"}  # these take indices of the host as well


class There(Tensor):
    """Says that it lies on THERE; ``here`` has its values, on the CPU."""

    @staticmethod
    def __new__(cls, here: Tensor) -> There:
        return Tensor._make_wrapper_subclass(
            cls, here.shape, here.stride(), here.storage_offset(), dtype=here.dtype, device=THERE
        )

    def __init__(self, here: Tensor):
        self.here = here

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} outside of apart()")


class Generator(torch.Generator):
    """One of THERE, which draws what one of the CPU does."""

    device = THERE

    def clone_state(self) -> Generator:
        clone = Generator()
        clone.set_state(self.get_state())
        return clone


class _Operations(TorchDispatchMode):
    def __init__(self, waits: Counter[str]):
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, kwargs = func.overloadpacket.__name__, dict(kwargs or {})
        asked = kwargs.get("device")
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        leaves, form = tree_flatten((args, kwargs))
        tensors = [x for x in leaves if isinstance(x, Tensor)]
        there = any(isinstance(x, There) for x in tensors)
        host = any(not isinstance(x, There) and x.ndim for x in tensors)  # numbers go anywhere
        if any(x.device == THERE and not isinstance(x, There) for x in tensors):
            raise RuntimeError(f"{func}: a list of the host as an index, which has no values here")
        on_device = there if asked is None else torch.device(asked) == THERE
        if name == "_to_copy":
            waits = there != on_device
        else:
            may = name == "copy_" or (name in _INDEX and isinstance(args[0], There))
            if there and host and not may:
                raise RuntimeError(f"{func}: tensors of the host and of the device")
            masks = name in _INDEX and any(i is not None and i.dtype == torch.bool for i in args[1])
            waits = there and (host or masks or name in _READS)
        if waits:
            _note(self.waits)
        values = tree_unflatten([x.here if isinstance(x, There) else x for x in leaves], form)
        out = func(*values[0], **values[1])
        if on_device and name not in ("_local_scalar_dense", "equal"):
            out = There(out) if isinstance(out, Tensor) else tree_map_only(Tensor, There, out)
            return return_and_correct_aliasing(func, args, kwargs, out)
        return out


class _Calls(TorchFunctionMode):
    """What only the call shows: numbers made to a tensor or asked for, and the generator."""

    def __init__(self, waits: Counter[str]):
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.tensor and "device" in kwargs:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is Tensor.tolist and isinstance(args[0], There):
            _note(self.waits)
            return args[0].here.tolist()
        out, drawn = func(*args, **kwargs), kwargs.get("generator")
        if drawn is not None and out.device != drawn.device:
            raise RuntimeError(f"{func}: on {out.device} from a generator of {drawn.device}")
        return out


def _note(waits: Counter[str]) -> None:
    """Count the function of the library that is being run."""
    frame = sys._getframe()
    while frame is not None and not frame.f_globals["__name__"].startswith("mmlib"):
        frame = frame.f_back
    waits[frame.f_code.co_qualname if frame else "outside of the library"] += 1


@contextmanager
def apart() -> Iterator[Counter[str]]:
    """Within it THERE is a device. Gives how often each function of the library waited for it."""
    waits: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch, _Operations(waits), _Calls(waits):
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no such device
        patch.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)
        yield waits


# --- training -------------------------------------------------------------------------------------

# Of one step: a check of codes or classes, and where a batch of captions is cut.
ASKS = {"TableSchema.one_hot", "supcon", "TextTransformer._ends"}


def seeded(seed: int = 0) -> Generator:
    generator = Generator()
    generator.manual_seed(seed)
    return generator


@pytest.fixture(autouse=True)
def _plain_optimizer(monkeypatch):
    """The fused ones know no such device."""
    plain = torch.optim.SGD
    monkeypatch.setattr(train, "_optimizer", lambda m, _: plain(train.parameter_groups(m, 0), 0.01))


def waited(fitted) -> set[str]:
    """Where one more step of ``fitted(steps)`` waits, but for rows of a log and epochs' orders."""
    counts = []
    for steps in (1, 2):
        with apart() as waits:
            fitted(steps)
        counts.append(waits)
    return set(counts[1] - counts[0]) - {"_read", "EpochSampler.__call__"}


@pytest.fixture(scope="module")
def pairs():
    with apart():
        return PairStudy(resolve("comm", {"preset": "smoke", "blur": True}), THERE)


@pytest.mark.parametrize("method", sorted({*image_pairs.TITLES} - {"full_only", "masked_only"}))
def test_pairs_of_images(pairs, method):
    def fitted(steps):
        how = {"labelled": method == "supcon", "generator": seeded(), "name": method}
        pairs.train(pairs.untrained(method), steps, biased=False, **how)

    assert waited(fitted) == ASKS & {method}


@pytest.mark.parametrize("way", ["double_rr.eps1", "moves", "redrawn_shape"])
def test_private_pairs_are_released_where_the_coins_fall(way):
    cfg = resolve("private_information", {"preset": "smoke"})
    with apart():
        private = PrivatePairs(PairStudy(cfg, THERE))
        shown = private.release(ways(cfg)[way], seeded())
    here = PrivatePairs(PairStudy(cfg, torch.device("cpu")))
    expected = here.release(ways(cfg)[way], torch.Generator().manual_seed(0))
    assert torch.equal(shown.first, expected.first)
    assert torch.equal(shown.second, expected.second)


@pytest.fixture(scope="module")
def table():
    cfg = resolve("image_table", {"preset": "smoke", "views": "dvm", "image_size": 40})
    with apart():
        return ImageTableStudy(cfg, seeded)


@pytest.mark.parametrize("objective", ["pairs", *image_only.OBJECTIVES])
def test_images_with_a_table(table, objective, monkeypatch):
    def fitted(steps):
        monkeypatch.setattr(table, "cfg", table.cfg.model_copy(update={"steps": steps}))
        if objective == "pairs":
            table.pretrain(table.seen(), objective)
        else:
            table.pretrain_alone(objective, objective)

    assert waited(fitted) == (ASKS & {"TableSchema.one_hot"} if objective == "pairs" else set())


def test_studies_have_filters_with_their_channels_last(pairs, table):
    cfg = resolve("unlearnable_audit", {"preset": "smoke", "data": "scenes"})
    with apart():
        captions = load_pairs(cfg, THERE, longest_trigger=3)
        models = pairs.untrained("comm"), table.untrained(), new_model(cfg, captions, 0)
        filters = [p for model in models for p in model.parameters() if p.ndim == 4]
    assert len(filters) > 3
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in filters)


def test_captions_are_protected_and_learned_from():
    cfg = resolve("unlearnable_audit", {"preset": "smoke", "data": "scenes"})
    with apart():
        data = load_pairs(cfg, THERE, longest_trigger=3)
        first = data.train[0], data.train[1][:, :1]
        protect(new_model(cfg, data, 0), *first, budget(cfg), generator=seeded(), progress=False)

    def fitted(steps):
        how = optim(cfg.model_copy(update={"steps": steps, "warmup_steps": 0}))
        size = {"batch_size": cfg.batch_size, "seed": 0, "generator": seeded()}
        train_hacker(new_model(cfg, data, 0), *data.train, how, **size)

    assert waited(fitted) == {"TextTransformer._ends"}


@pytest.mark.parametrize("method", ["cross", "cross_self", "factorcl", "comm", "supcon"])
@pytest.mark.parametrize("second", ["table", "text", "sequence"])
def test_any_modalities(method, second):
    n, cfg = 8, resolve("comm_real", {"preset": "smoke"})
    with apart():
        rows = torch.rand(n, 3, device=THERE) * torch.tensor([1, 1, 0], device=THERE)
        ids = torch.tensor([[START, 7, 9, END, 0, 0]] * n, device=THERE)
        others = {
            "table": (rows, Modality("table", "table", 3, TableSchema(2, (3,)), rows)),
            "text": (ids, Modality("text", "text", 12, length=6)),
            "sequence": (torch.rand(n, 5, 4, device=THERE), Modality("steps", "sequence", 4)),
        }
        x, kind = others[second]
        kinds = Modality("image", "image", 16, blurred=True, upright=True), kind
        batch = [torch.zeros(n, 3, 16, 16, dtype=torch.uint8, device=THERE), x]
        if method == "supcon":
            batch.append(torch.arange(n, device=THERE) % 3)
        model = modalities.build(method, kinds, cfg).to(THERE)

    def fitted(steps):
        fit(
            model, lambda rows, g: model.loss([x[rows] for x in batch], g), Optim(steps, 0.01),
            EpochSampler(n, n, seed=0, device=THERE), generator=seeded(), progress=False,
        )  # fmt: skip

    asks = {"table": "TableSchema.one_hot", "text": "TextTransformer._ends"}.get(second)
    assert waited(fitted) == ASKS & {asks, method}


# --- it finds what it is for ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "mistake",
    [
        lambda x: x + torch.arange(3),
        lambda x: torch.cat([x, torch.zeros(3)]),
        lambda x: torch.rand(3, generator=torch.Generator(), device=x.device),
        lambda x: torch.rand(3, generator=seeded()),
        lambda x: torch.arange(3)[x.long()],
        lambda x: x[[0, 2]],
    ],
)
def test_what_would_fail_on_a_gpu_fails(mistake):
    with apart(), pytest.raises(RuntimeError, match=r"of the host|from a generator"):
        mistake(torch.zeros(3, device=THERE))


@pytest.mark.parametrize(
    "reads",
    [
        lambda x: x.sum().item(), lambda x: x.tolist(), lambda x: bool(x.any()), lambda x: x[x > 0],
        lambda x: x.cpu(), lambda x: torch.zeros(3).to(THERE), lambda x: x[torch.arange(2)],
        lambda x: x.nonzero(), lambda x: torch.tensor([1.0], device=THERE),
    ],
)  # fmt: skip
def test_what_would_wait_for_a_gpu_is_counted(reads):
    with apart() as waits:
        x = torch.zeros(3, device=THERE) + 1
        assert not waits
        reads(x)
    assert sum(waits.values()) == 1


@pytest.mark.parametrize(
    "view",
    [image.Flip(), image.Grayscale(), image.GaussianBlur(5), image.Rotation(30), image.Normalize()],
)
def test_on_a_gpu_all_samples_are_changed_and_the_chosen_ones_kept(view):
    images = torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with apart() as waits:
        there = images.to(THERE)
        waits.clear()
        seen = view(there, seeded(5))
    assert set(waits) <= {"constant"}
    torch.testing.assert_close(seen.here, view(images, torch.Generator().manual_seed(5)))
