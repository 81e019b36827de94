"""A record says which processor ran it, on whatever system."""

import platform

import torch

from mmlib import device


def test_a_cpu_is_named_with_its_threads():
    name = device.device_name(torch.device("cpu"))
    assert name == f"CPU ({device._processor()}), {torch.get_num_threads()} threads"


def test_the_processor_is_what_linux_tells_or_else_what_python_knows(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    told = tmp_path / "cpuinfo"
    assert device._processor(told) == "riscv64"
    told.write_text("processor\t: 0\nBogoMIPS\t: 50.00\n")  # as on ARM, which has no such line
    assert device._processor(told) == "riscv64"
    told.write_text("model\t\t: 85\nmodel name\t: Xeon: Gold\nmodel name\t: another\n")
    assert device._processor(told) == "Xeon: Gold"
