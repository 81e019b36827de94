"""Frozen encoders from folders in the publishers' layout, tiny and with random weights."""

import copy
import json
import sys

import pytest
import torch
from PIL import Image

from mmlib import sets
from mmlib.augment.image import Normalize
from mmlib.data import multimodal
from mmlib.data.mmimdb import GENRES
from mmlib.data.text import END, MASK, PAD, START, UNKNOWN
from mmlib.encoders import pretrained
from mmlib.methods.modalities import build
from mmlib.methods.supervised import fine_tuned
from mmlib.presets.base import resolve

SIDE, WIDTH, LENGTH = 32, 16, 8
ENTRIES = "[PAD] a [UNK] [CLS] war [SEP] film about [MASK] lone ##ly ##s".split()
PLOTS = {
    "train": ["a lonely film about a war", "films about wars", "war war"],
    "validation": ["a film about lone wars and a film about a long war"],
    "test": ["a war", "about films"],
}


def pieces(theirs, ids):
    return [ENTRIES[theirs[i]] for i in ids if i != PAD]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """As ``MMLIB_DATA/pretrained`` would be."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    made = tmp_path_factory.mktemp("data") / "pretrained"
    torch.manual_seed(0)
    common = {
        "hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "projection_dim": 8,
    }  # fmt: skip
    text = {"vocab_size": 9, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1}
    clip = transformers.CLIPConfig(
        vision_config={**common, "image_size": SIDE, "patch_size": 16},
        text_config={**common, **text},
        projection_dim=8,
    )
    transformers.CLIPModel(clip).save_pretrained(made / "clip-vit-base-patch32")

    folder = made / "clip-ViT-B-32-multilingual-v1"
    bert = transformers.DistilBertConfig(
        vocab_size=len(ENTRIES), dim=WIDTH, n_layers=2, n_heads=2, hidden_dim=32,
        max_position_embeddings=LENGTH,
    )  # fmt: skip
    transformers.DistilBertModel(bert).save_pretrained(folder)
    known = {entry: k for k, entry in enumerate(ENTRIES)}
    raw = tokenizers.Tokenizer(tokenizers.models.WordPiece(known, unk_token="[UNK]"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    ends = (("[SEP]", known["[SEP]"]), ("[CLS]", known["[CLS]"]))
    raw.post_processor = tokenizers.processors.BertProcessing(*ends)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        unk_token="[UNK]", mask_token="[MASK]",
    ).save_pretrained(folder)  # fmt: skip
    return made


@pytest.fixture
def data(folders, monkeypatch):
    """A folder with the encoders and films, of which the environment tells."""
    films = folders.parent / "mmimdb"
    if not films.exists():
        (films / "dataset").mkdir(parents=True)
        split, k = {}, 0
        for part, plots in zip(("train", "dev", "test"), PLOTS.values(), strict=True):
            split[part] = []
            for plot in plots:
                told = {"plot": [plot], "genres": [GENRES[k], GENRES[0]]}
                (films / "dataset" / f"{k}.json").write_text(json.dumps(told))
                Image.new("RGB", (SIDE, 40), (40 * k, 9, 90)).save(films / f"dataset/{k}.jpeg")
                split[part].append(str(k))
                k += 1
        (films / "split.json").write_text(json.dumps(split))
    monkeypatch.setenv("MMLIB_DATA", str(folders.parent))


def images(n=3):
    return torch.randn(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def test_image_tokens_are_class_token_and_patches_normed(data):
    encoder = pretrained.image_tokens()
    tokens = encoder(images())
    assert tokens.shape == (3, 1 + 4, WIDTH)
    assert encoder.out_features == WIDTH
    known = encoder.model(images())
    torch.testing.assert_close(tokens[:, 0], known.pooler_output)  # what the publisher projects
    norm = encoder.model.post_layernorm
    torch.testing.assert_close(tokens[:, 1:], norm(known.last_hidden_state[:, 1:]))
    with pytest.raises(ValueError, match="16"):
        encoder(torch.zeros(1, 3, 16, 16))


def test_ids_are_the_pieces_of_the_text_by_their_frequency(data):
    ids, theirs = pretrained.piece_ids(PLOTS, LENGTH)
    told = [ENTRIES[k] for k in theirs]
    assert told[:5] == ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    # In what is left of the training plots: war 3 times, lone and ##ly once, the others twice.
    assert told[5:] == ["war", "a", "film", "about", "##s", "lone", "##ly"]
    first = ["[CLS]", "a", "lone", "##ly", "film", "about", "a", "[SEP]"]  # cut at eight
    assert pieces(theirs, ids["train"][0]) == first
    assert pieces(theirs, ids["test"][1]) == ["[CLS]", "about", "film", "##s", "[SEP]"]
    long = pieces(theirs, ids["validation"][0])
    assert len(long) == LENGTH
    assert long[-2:] == ["##s", "[SEP]"]
    assert (ids["train"][:, 0] == START).all()
    assert ((ids["train"] == END).sum(dim=1) == 1).all()
    ids, _ = pretrained.piece_ids({"train": ["the war"]}, 5)
    assert ids["train"][0, 1] == UNKNOWN
    with pytest.raises(ValueError, match="length is 2"):
        pretrained.piece_ids(PLOTS, 2)


def test_text_tokens_are_the_models_of_its_own_ids(data):
    ids, theirs = pretrained.piece_ids(PLOTS, LENGTH)
    encoder = pretrained.text_tokens(theirs)
    found = encoder(ids["train"])
    assert found.shape == (3, LENGTH, WIDTH)
    short = ids["train"][2]  # war war, and padding
    alone = encoder.model(input_ids=theirs[short[:4]][None]).last_hidden_state
    torch.testing.assert_close(found[2, :4], alone[0])  # so no piece sees padding
    mean = pretrained.PieceMean(encoder)(ids["train"])
    torch.testing.assert_close(mean[2], alone[0].mean(dim=0))
    masked = ids["train"].clone()
    masked[0, 2] = MASK
    told = "[CLS] a [MASK] ##ly film about a [SEP]".split()
    own = torch.tensor([[ENTRIES.index(entry) for entry in told]])
    torch.testing.assert_close(encoder(masked)[:1], encoder.model(input_ids=own).last_hidden_state)


def test_nothing_moves_a_frozen_encoder(data):
    cfg = resolve("comm_real", {"preset": "smoke", "width": WIDTH})
    films = sets.load("mmimdb_clip", size=SIDE, words=10, length=LENGTH)
    model = build("comm", films.modalities, cfg).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    frozen = [f"encoders.{k}." for k in range(2)]
    assert not any(module.training for encoder in model.encoders for module in encoder.modules())
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.loss(films.train.inputs, torch.Generator().manual_seed(0))["loss"].backward()
    optimizer.step()
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert any(key.startswith("fusion") for key in moved)
    assert not any(key.startswith(tuple(frozen)) for key in moved)
    assert copy.deepcopy(model.encoders[0]) is model.encoders[0]
    tuned = fine_tuned(model, "labels", 23)
    assert tuned.encoders[0] is model.encoders[0]
    assert tuned.fusion is not model.fusion
    again = build("comm", films.modalities, cfg)
    assert again.encoders[0].model is model.encoders[0].model  # read once


@pytest.mark.parametrize("name", ["mmimdb_clip", "mmimdb_tokens"])
@pytest.mark.parametrize("method", ["cross", "cross_self", "factorcl", "comm"])
def test_methods_train_on_films_as_pretrained_encoders_see_them(data, name, method):
    films = sets.load(name, size=SIDE, words=10, length=LENGTH)
    assert films.target == "labels"
    cfg = resolve("comm_real", {"preset": "smoke", "width": WIDTH})
    model = build(method, films.modalities, cfg)
    loss = model.loss(films.train.inputs, torch.Generator().manual_seed(0))["loss"]
    loss.backward()
    assert loss.isfinite()
    with torch.no_grad():
        assert model.eval().embed(films.test.inputs).isfinite().all()
    if method == "comm":
        shapes = [model.encode(k, x).shape[1:] for k, x in enumerate(films.train.inputs)]
        assert shapes == [(5, WIDTH), (LENGTH, WIDTH)]
        with pytest.raises(ValueError, match="width, of pre-trained tokens, is 8; allowed: \\[16"):
            build(method, films.modalities, cfg.model_copy(update={"width": 8}))


def test_tokens_that_are_computed_once_are_those_of_what_is_not_augmented(data):
    pieces = sets.load("mmimdb_clip", size=SIDE, words=10, length=LENGTH)
    tokens = sets.load("mmimdb_tokens", size=SIDE, words=10, length=LENGTH)
    image, text = pretrained.image_tokens(), pretrained.text_tokens(pieces.modalities[1].ids)
    posters, ids = pieces.test.inputs
    once = tokens.test.inputs
    assert [x.dtype for x in once] == [torch.float16] * 2
    expected = image(Normalize()(posters, None)), text(ids)
    torch.testing.assert_close([x.float() for x in once], list(expected), rtol=2e-3, atol=2e-3)
    raw = multimodal.as_vectors(pieces.modalities[1], ids)
    assert raw.shape == (2, 10 - 5)
    assert torch.equal(raw.sum(dim=1), ((ids >= 5) & (ids < 10)).sum(dim=1).float())


def test_an_absent_folder_says_how_to_get_it(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("MMLIB_DATA", str(tmp_path))
    for read, name in (
        (lambda: pretrained.image_tokens(), pretrained.IMAGE),
        (lambda: pretrained.text_tokens(torch.arange(5)), pretrained.TEXT),
        (lambda: pretrained.piece_ids(PLOTS, 8), pretrained.TEXT),
    ):
        with pytest.raises(FileNotFoundError, match=f"has no config.json. hf download {name}"):
            read()


def test_a_folder_that_cannot_be_read_is_named(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("MMLIB_DATA", str(tmp_path))
    folder = tmp_path / "pretrained" / "clip-ViT-B-32-multilingual-v1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "distilbert"}')
    with pytest.raises(ValueError, match="cannot be read"):
        pretrained.text_tokens(torch.arange(5))


def test_without_transformers_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setenv("MMLIB_DATA", str(tmp_path))
    folder = tmp_path / "pretrained" / "clip-vit-base-patch32"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ImportError, match="pip install transformers"):
        pretrained.image_tokens()
