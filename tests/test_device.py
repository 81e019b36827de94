"""A record says which processor ran it, on whatever system, and float32 is what it says."""

import platform

import pytest
import torch

from mmlib import device
from mmlib.evaluate.probe import logistic_path
from mmlib.evaluate.retrieval import retrieval
from mmlib.label_dp.neighbours import nearest


@pytest.mark.parametrize(("count", "told"), [(1, "1 thread"), (2, "2 threads")])
def test_a_cpu_is_named_with_its_threads(count, told, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    assert device.device_name(torch.device("cpu")) == f"CPU ({device._processor()}), {told}"


def test_the_processor_is_what_linux_tells_or_else_what_python_knows(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    told = tmp_path / "cpuinfo"
    assert device._processor(told) == "riscv64"
    told.write_text("processor\t: 0\nBogoMIPS\t: 50.00\n")  # as on ARM, which has no such line
    assert device._processor(told) == "riscv64"
    told.write_text("model\t\t: 85\nmodel name\t: Xeon: Gold\nmodel name\t: another\n")
    assert device._processor(told) == "Xeon: Gold"


def test_filters_have_their_channels_last_on_a_gpu_alone():
    def ordered(kind):
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5), torch.nn.Linear(4, 2))
        weight = device.to_device(model, torch.device(kind))[0].weight
        return weight.device.type, weight.is_contiguous(memory_format=torch.channels_last)

    assert [ordered(kind) for kind in ("cpu", "meta")] == [("cpu", False), ("meta", True)]


@pytest.fixture
def _as_before():
    """Torch's own settings again: they are those of the process."""
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    for name in NEW:
        NEW[name].fp32_precision = "tf32" if name in ("conv", "rnn") else "none"


NEW = {
    "all": torch.backends,
    "cuda": torch.backends.cuda.matmul,
    "cpu": torch.backends.mkldnn.matmul,
    "conv": torch.backends.cudnn.conv,
    "rnn": torch.backends.cudnn.rnn,
}


def by_old_names():
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True


def by_new_names():
    for name in ("cuda", "conv", "rnn"):
        NEW[name].fp32_precision = "tf32"


def for_all():
    torch.backends.fp32_precision = "tf32"


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("asked", [lambda: None, by_old_names, by_new_names, for_all])
def test_on_a_gpu_float32_is_float32_whatever_was_asked_for_before(asked, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    asked()
    assert device.pick_device() == torch.device("cuda")
    assert [NEW[name].fp32_precision for name in ("cuda", "conv", "rnn")] == ["ieee"] * 3
    # The old names raise where they do not agree with the new ones.
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    device.check_products(torch.device("cuda"))


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("asked", [by_old_names, for_all])
@pytest.mark.parametrize("kind", ["cuda", "cpu"])
def test_products_of_fewer_digits_are_refused_by_what_has_to_be_exact(asked, kind):
    device.check_products(torch.device(kind))
    asked()
    with pytest.raises(RuntimeError, match=f"on {kind} are of tf32; allowed: ieee"):
        device.check_products(torch.device(kind))
    x, y = torch.eye(4), torch.arange(4)
    exact = (
        lambda: nearest(x, x, 1, own=y),
        lambda: retrieval((x, x), captions_per_image=1),
        lambda: logistic_path(x, y, [1.0]),
    )
    for call in exact:
        with pytest.raises(RuntimeError, match="on cpu are of tf32"):
            call()


@pytest.fixture
def compiler(compiling_by):
    """What a compiler for CPUs, too, was given; all that it compiles gives half as much."""
    given = []

    def halved(function):
        given.append(function)
        return lambda *args: function(*args) / 2

    with compiling_by(halved):
        yield given


def doubled(first, second=None):
    return 2 * (first if second is None else second[0])


def test_what_lies_on_a_device_that_is_compiled_for_is_compiled_once(compiler):
    call = device.compiled(doubled)
    assert call.__name__ == "doubled"
    assert [call(torch.ones(())).item() for _ in range(2)] == [1, 1]
    assert call("no tensor", [torch.ones(())]).item() == 1  # the first tensor decides
    assert compiler.count(doubled) == 1
    assert call(torch.ones((), device="meta")).device.type == "meta"
    assert call(3) == 6  # no tensor at all


def test_elsewhere_nothing_is_compiled(compiler, monkeypatch):
    monkeypatch.setattr(device, "COMPILING", ("cuda",))
    assert device.compiled(doubled)(torch.ones(())).item() == 2
    assert not compiler


def test_a_part_of_what_is_being_compiled_is_not_compiled_by_itself(compiler, monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert device.compiled(doubled)(torch.ones(())).item() == 2
    assert not compiler


def test_a_compiler_that_does_not_work_is_said_once_and_done_without(compiler, monkeypatch):
    def broken(function):
        raise FileNotFoundError("Python.h\nand pages more")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(UserWarning, match=r"cpu, so it is slower: FileNotFoundError: Python\.h$"):
        assert device.compiled(doubled)(torch.ones(())).item() == 2
    assert device.compiled(doubled)(torch.ones(())).item() == 2  # without a warning


def test_no_compiler_is_tried_where_it_is_turned_off(compiler, monkeypatch):
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "1")
    assert device.compiled(doubled)(torch.ones(())).item() == 2
    assert not compiler


def test_a_function_is_compiled_for_as_many_forms_as_a_chapter_has(compiling):
    with compiling:  # which fails where a form is left as it is
        total = device.compiled(lambda parts: sum(parts))
        for n in range(1, 13):
            assert total([torch.ones(2) for _ in range(n)]).tolist() == [n, n]


def test_a_constant_is_one_tensor_that_compiled_code_keeps(compiling):
    asked = (1, 2), torch.device("cpu"), torch.float32
    assert device.constant(*asked) is device.constant(*asked)
    with compiling:  # which warns of a cache that it looks into
        assert device.compiled(lambda x: x + device.constant(*asked))(torch.ones(2)).sum() == 5


@pytest.mark.usefixtures("_as_before")
def test_products_in_bfloat16_are_refused_as_well():
    torch.set_float32_matmul_precision("medium")
    with pytest.raises(RuntimeError, match="on cpu are of bf16; allowed: ieee"):
        device.check_products(torch.device("cpu"))


def test_a_constant_that_was_first_asked_for_in_inference_mode_lets_gradients_through():
    asked = (3.25, 1.5), torch.device("cpu"), torch.float32
    with torch.inference_mode():
        device.constant(*asked)
    x = torch.ones(2, requires_grad=True)
    (x * device.constant(*asked)).sum().backward()
    assert x.grad.tolist() == [3.25, 1.5]
