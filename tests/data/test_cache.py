"""Tensors kept on disk: whole or not there, and never wrong."""

import os
import threading

import pytest
import torch

from mmlib.data._cache import cached, mapped
from mmlib.data._root import data_root


def never():
    pytest.fail("built although the file is there")


def example():
    return {"images": torch.arange(24, dtype=torch.uint8).view(2, 3, 4), "scale": torch.ones(())}


def same(found):
    return found.keys() == example().keys() and all(
        torch.equal(found[name], value) for name, value in example().items()
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "example.safetensors"


def test_is_built_once(path):
    assert same(cached(path, example))
    assert same(cached(path, never))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("place", [0, 40, -1], ids=["length", "header", "data"])
def test_a_changed_byte_is_noticed(path, place, caplog):
    cached(path, example)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert same(cached(path, example))
    assert f"{path} is damaged" in caplog.text
    assert same(cached(path, never))


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_cut_file_is_noticed(path, keep, caplog):
    cached(path, example)
    path.write_bytes(path.read_bytes()[:keep])
    assert same(cached(path, example))
    assert "is damaged" in caplog.text
    assert same(cached(path, never))


def test_another_shape_or_name_of_the_same_bytes_is_noticed(path, caplog):
    cached(path, example)
    content = path.read_bytes()
    for old, new in ((b'"images"', b'"imagez"'), (b"[2,3,4]", b"[4,3,2]")):
        assert old in content
        path.write_bytes(content.replace(old, new))
        assert same(cached(path, example))
        assert "is damaged" in caplog.text
        caplog.clear()


def test_one_that_starts_during_anothers_build_gets_the_same(path):
    def slow():
        assert same(cached(path, example))  # a second process starts and finishes meanwhile
        return example()

    assert same(cached(path, slow))
    assert same(cached(path, never))
    assert list(path.parent.iterdir()) == [path]


def test_many_at_once(path):
    start, results = threading.Barrier(8), []

    def run():
        start.wait()
        results.extend(same(cached(path, example)) for _ in range(20))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 160
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_may_only_be_read_is_no_hindrance(tmp_path, caplog):
    (tmp_path / "closed").write_text("no folder can be made here")
    for _ in range(2):
        assert same(cached(tmp_path / "closed" / "world.safetensors", example))
        assert "cannot be kept" in caplog.text


def test_a_failed_write_leaves_nothing(path, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        cached(path, example)
    assert not list(path.parent.iterdir())


def test_data_root(monkeypatch):
    monkeypatch.setenv("MMLIB_DATA", "~/sets")
    assert data_root() == data_root().home() / "sets"
    monkeypatch.setenv("MMLIB_DATA", "")
    assert data_root().name == "data"
    assert (data_root().parent / "pyproject.toml").exists()


def test_a_mapped_tensor_is_made_once_and_is_whole_or_not_there(tmp_path, caplog):
    path, calls = tmp_path / "new" / "pixels", []
    right = torch.arange(12, dtype=torch.uint8).view(3, 4)

    def fill(tensor):
        calls.append(tensor.shape)
        tensor[:] = right

    def fail(tensor):
        fill(tensor)
        raise KeyError("a photo")

    with pytest.raises(KeyError):
        mapped(path, (3, 4), fail)
    assert not list(path.parent.iterdir())
    made = [mapped(path, (3, 4), fill) for _ in range(3)]
    assert len(calls) == 2
    assert all(torch.equal(tensor, right) for tensor in made)
    made[0].zero_()
    assert path.read_bytes() == bytes(range(12))
    path.unlink()
    path.write_bytes(bytes(11))  # of another size: made anew
    assert torch.equal(mapped(path, (3, 4), fill), right)
    assert len(calls) == 3
    assert torch.equal(mapped(path / "in" / "a-file", (3, 4), fill), right)
    assert "cannot be kept" in caplog.text
