import pytest
import torch

from mmlib.data import people, scenes


@pytest.fixture(scope="module")
def made():
    return people.make(40, 6, 24, noise=0.02, generator=torch.Generator().manual_seed(0))


def test_everybody_has_a_name_and_every_caption_says_it(made):
    assert len(set(made.names)) == 40
    for name, photos in zip(made.names, made.captions, strict=True):
        assert name.isalpha()
        for five in photos:
            assert len(set(five)) == 5
            assert all(caption.split().count(name) == 1 for caption in five)
            assert all(len(caption.split()) <= people.LONGEST for caption in five)


def test_a_person_is_three_shapes_the_same_in_every_photo(monkeypatch):
    drawn, render = [], scenes.render

    def note(looks, *others, **named):
        drawn.append(looks)
        return render(looks, *others, **named)

    monkeypatch.setattr(scenes, "render", note)
    people.make(30, 4, 16, generator=torch.Generator().manual_seed(0))
    (looks,) = drawn
    assert (looks.count == 3).all()
    for seen in (looks.shape, looks.color, looks.large, looks.cell):
        photos = seen.unflatten(0, (30, 4))
        assert (photos == photos[:, :1]).all()
    assert (looks.background.view(30, 4) != looks.background.view(30, 4)[:, :1]).any()


def test_photos_of_one_are_nearer_than_photos_of_two(made):
    """Photos differ in ground and light, so each is seen as its edges."""
    x = made.images.float()
    edges = (x - x.flatten(3).median(dim=3).values[..., None, None]).abs().sum(2).flatten(2)
    edges = torch.nn.functional.normalize(edges, dim=2)
    first, second = edges[:, :3].mean(1), edges[:, 3:].mean(1)
    match = (first @ second.T).argmax(1) == torch.arange(40)
    assert match.float().mean() > 0.8


def test_no_two_photos_are_the_same_and_grounds_are_as_told(made):
    flat = made.images.flatten(0, 1)
    assert len(flat.flatten(1).unique(dim=0)) == len(flat)
    bright = {ground: [] for ground in scenes.BACKGROUNDS}
    for row, photos in zip(made.images, made.captions, strict=True):
        for image, five in zip(row, photos, strict=True):
            (ground,) = [g for g in scenes.BACKGROUNDS if f" {g} " in five[3]]
            bright[ground].append(image[:, :2, :2].float().mean().item() / 255)
    assert max(bright["black"]) < min(bright["grey"])  # whatever the light
    assert max(bright["brown"]) < min(bright["white"])
    assert sum(bright["grey"]) / len(bright["grey"]) < sum(bright["white"]) / len(bright["white"])


def test_the_same_seed_gives_the_same_people():
    one, same = (people.make(5, 2, 16, generator=torch.Generator().manual_seed(7)) for _ in "ab")
    assert torch.equal(one.images, same.images)
    assert (one.names, one.captions) == (same.names, same.captions)
    other = people.make(5, 2, 16, generator=torch.Generator().manual_seed(8))
    assert other.names != one.names


def test_there_are_a_thousand_names():
    assert people.MOST == 1000
    with pytest.raises(ValueError, match=r"n is 1001; allowed: \[1, 1000\]"):
        people.make(1001, 1, 8, generator=torch.Generator())
    with pytest.raises(ValueError, match="photos is 0"):
        people.make(1, 0, 8, generator=torch.Generator())
