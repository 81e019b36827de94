"""Files: the bound holds on their bytes, and what is missing is an error."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mmlib.data.pieces import BytePairTokenizer
from mmlib.data.text import END, PAD, SPECIAL, START, UNKNOWN, WordTokenizer
from mmlib.mem.defence_text import reread
from mmlib.mem.pairs import as_pairs
from mmlib.mem.protect import protect
from mmlib.mem.published import Protected, read, take_part
from mmlib.mem.settings import Protection

TOKENIZER = WordTokenizer([f"word{i}" for i in range(15)])
SETTINGS = Protection(
    rounds=1, trigger_rounds=1, surrogate_steps=2, noise_steps=12, batch_size=4, candidates=4
)


@pytest.fixture
def made(make_model, make_pairs):
    images, ids = make_pairs(5, captions=2)
    g = torch.Generator().manual_seed(0)
    return images, protect(make_model(), images, ids, SETTINGS, generator=g, progress=False)


@pytest.fixture
def folder(made, tmp_path):
    made[1].write(tmp_path / "posts", TOKENIZER)
    return tmp_path / "posts"


def test_what_is_read_is_what_was_made(made, folder):
    images, protected = made
    again = read(folder, images, epsilon=8)
    assert torch.equal(again.images, protected.images)
    assert torch.equal(again.triggers, protected.triggers)
    assert protected.survives(TOKENIZER).all()
    table = (folder / "triggers.csv").read_text().splitlines()
    assert table[0] == "file,ids,words,survives"
    assert table[1].startswith("000000.png,")
    assert table[1].endswith(f"{protected.words(TOKENIZER)[0]},1")


def test_the_bound_holds_on_the_bytes_of_the_files(made, folder):
    images, _ = made
    largest = 0
    for i, image in enumerate(images):
        pixels = np.asarray(Image.open(folder / f"{i:06d}.png")).astype(int)
        largest = max(largest, np.abs(pixels - image.permute(1, 2, 0).numpy()).max())
    assert largest == 8
    with pytest.raises(ValueError, match=r"0\.png differs by 8 levels; allowed: 7"):
        read(folder, images, epsilon=7)


def test_one_pixel_out_of_bounds_is_found(made, folder):
    images, _ = made
    pixels = np.array(Image.open(folder / "000003.png"))
    pixels[5, 7, 1] = int(images[3, 1, 5, 7]) + (9 if images[3, 1, 5, 7] < 128 else -9)
    Image.fromarray(pixels).save(folder / "000003.png")
    with pytest.raises(ValueError, match=r"000003\.png differs by 9 levels; allowed: 8"):
        read(folder, images, epsilon=8)


def test_a_missing_file_is_an_error_and_no_clean_image(made, folder):
    images, _ = made
    with pytest.raises(FileNotFoundError, match="holds no protection"):
        read(folder / "elsewhere", images, epsilon=8)
    (folder / "000002.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"000002\.png is missing; the clean image is no"):
        read(folder, images, epsilon=8)


@pytest.mark.parametrize("kept", [5, 300])
def test_an_image_that_is_cut_short_is_named(made, folder, kept):
    path = folder / "000002.png"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"000002\.png is no whole image"):
        read(folder, made[0], epsilon=8)


def test_another_number_or_size_of_images_is_an_error(made, folder):
    images, _ = made
    with pytest.raises(ValueError, match="holds 5 images; expected 4"):
        read(folder, images[:4], epsilon=8)
    with pytest.raises(ValueError, match=r"000000\.png has shape \(3, 16, 16\)"):
        read(folder, images[:, :, :8], epsilon=8)


@pytest.mark.parametrize("woven", [None, 5])
@pytest.mark.parametrize("kind", ["words", "pieces"])
def test_a_trigger_that_survives_is_read_as_it_was_made_in_every_caption(kind, woven, tmp_path):
    texts = ["a black dog", "blackened dogs run", "the red cat", "a t-shirt", "a car"] * 40
    tokenizer = (
        BytePairTokenizer.fit(texts, 50) if kind == "pieces" else WordTokenizer.fit(texts[1:3])
    )
    g = torch.Generator().manual_seed(0)
    triggers = torch.randint(UNKNOWN, len(tokenizer), (200, 3), generator=g)
    whole = tokenizer.whole_words().nonzero()[:, 0]
    triggers[::2] = whole[torch.randint(len(whole), (100, 3), generator=g)]
    made = Protected(torch.zeros(200, 3, 2, 2).byte(), triggers, [], woven=woven)
    ids = torch.nn.functional.pad(tokenizer.encode(texts, 20), (0, 3))[:, None]
    published = made.captions(ids)
    same = (reread(published, tokenizer) == published).flatten(1).all(dim=1)
    survives = made.survives(tokenizer)
    assert same[survives].all()
    if kind == "words" or woven is None:
        assert 100 <= survives.sum() < 180
        assert survives[::2].all()
    else:  # within a caption's word
        assert not same[::2].all()
        assert not survives.any()
    made.write(tmp_path, tokenizer)
    with (tmp_path / "triggers.csv").open(newline="") as file:
        assert [row["survives"] == "1" for row in csv.DictReader(file)] == survives.tolist()


def test_which_triggers_survive_writing_and_reading():
    first = len(SPECIAL)
    triggers = [[first, first + 14], [first, END], [PAD, first], [UNKNOWN, first]]
    made = Protected(torch.zeros(4, 3, 2, 2).byte(), torch.tensor(triggers), [])
    assert made.survives(TOKENIZER).tolist() == [True, False, False, False]
    empty = replace(made, triggers=made.triggers[:, :0])
    assert empty.survives(TOKENIZER).all()


@pytest.mark.parametrize("unit", ["image", "pair"])
def test_a_part_of_what_is_published_leaves_the_other_as_it_was(make_model, make_pairs, unit):
    images, ids = make_pairs(5, captions=2)
    g = torch.Generator().manual_seed(0)
    settings = replace(SETTINGS, unit=unit)
    protected = protect(make_model(), images, ids, settings, generator=g, progress=False)
    plain = as_pairs(images, ids) if unit == "pair" else (images, ids)
    seen, read = protected.images, protected.captions(ids)
    assert not torch.equal(seen, plain[0])
    assert not torch.equal(read, plain[1])
    expected = {
        "all": (seen, read), "images": (seen, plain[1]), "words": (plain[0], read)
    }  # fmt: skip
    for part, posts in expected.items():
        for x, y in zip(protected.posts(images, ids, part), posts, strict=True):
            assert torch.equal(x, y)
    assert all(
        torch.equal(x, y)
        for x, y in zip(protected.posts(images, ids), expected["all"], strict=True)
    )
    for image, row in zip(protected.images.int(), protected.photo(images), strict=True):
        apart = (image - images.int()).abs().flatten(1).max(dim=1).values
        assert (apart <= 8).nonzero().tolist() == [[row]]  # that one alone is within the bound
    with pytest.raises(ValueError, match="part is 'noise'; allowed: 'all', 'images', 'words'"):
        protected.posts(images, ids, "noise")


def test_a_share_of_owners_protects_image_and_captions_of_the_same_posts(make_pairs):
    plain, protected = (make_pairs(10, captions=2, seed=seed) for seed in (0, 1))
    before = [x.clone() for x in (*plain, *protected)]
    order = torch.randperm(10, generator=torch.Generator().manual_seed(2))
    smaller = set()
    for share in (0.0, 0.28, 0.5, 1.0):
        mixed, rest = take_part(plain, protected, share, order)
        hidden = set(order[: round(10 * share)].tolist())
        assert smaller <= hidden
        smaller = hidden
        for k in range(2):
            for row in range(10):
                assert torch.equal(mixed[k][row], (protected if row in hidden else plain)[k][row])
            assert torch.equal(rest[k], plain[k][order[round(10 * share) :]])
    assert all(torch.equal(x, y) for x, y in zip((*plain, *protected), before, strict=True))
    with pytest.raises(ValueError, match=r"share is 50; allowed: \[0, 1\]"):
        take_part(plain, protected, 50, order)


def test_published_captions_carry_the_trigger_of_their_image():
    captions = torch.tensor([[[START, 9, END, 0, 0], [START, 8, END, 0, 0]]] * 2)
    made = Protected(torch.zeros(2, 3, 1, 1), torch.tensor([[5, 6], [7, 5]]), [])
    assert made.captions(captions)[1].tolist() == [[START, 7, 5, 9, END], [START, 7, 5, 8, END]]
    tokenizer = WordTokenizer(["look", "here", "now"])
    assert made.words(tokenizer) == ["look here", "now look"]
    assert torch.equal(tokenizer.encode(made.words(tokenizer), 4)[:, 1:3], made.triggers)
