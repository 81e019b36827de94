"""MEM's trigger search and image noise beside a re-statement of the released procedure.

``python benchmarks/mem.py``. The other side does what the released code does, restated in plain
torch on the same networks: for every candidate it encodes images and texts anew, one candidate a
pass, texts at their full length of 77 ids, and copies the scores of all words to the CPU before it
ranks them; its noise step encodes texts at full length. Both sides compute in float32 and take
turns. A ratio above one says how many times as fast mmlib is. Beside it stands whether both chose
the same triggers and the same noise. Our side runs the frozen copy that a visit makes, whose
normalisations are part of its convolutions. So its numbers are rounded differently, and a rounding
error may turn the sign of a small gradient: in a few pixels after one step, and in a deep random
network that spreads (in float64 all eight steps of the ResNet-50 agree).

What else is saved is text, so an image pass that costs most of a step bounds the noise's ratio: the
benchmark also times our pass alone, and prints the largest ratio that any saving of text could
reach.

In the first networks images cost about 1.5 times as much as texts (2 times in the released code);
in the small ones of chapter 6 the text, of which every candidate needs a pass, is most of the work.
Then a vocabulary of 49,408 words of width 512, scored for 128 captions and 5 positions, and the
ranks of 5,000 images among 25,000 captions.
"""

from __future__ import annotations

import time
from functools import partial

import torch
import torch.nn.functional as F
from _measure import Report, parser, ratios
from torch import Tensor, nn

from mmlib import losses
from mmlib.augment.image import Normalize
from mmlib.data.text import END, PAD, SPECIAL, START
from mmlib.encoders.folded import folded
from mmlib.encoders.image import GlobalPool, ResNetTrunk, SmallConvNet
from mmlib.encoders.text import TextTransformer
from mmlib.evaluate.retrieval import retrieval
from mmlib.mem import noise as noises
from mmlib.mem.hotflip import candidates, improve
from mmlib.mem.trigger import allowed_words, prepend
from mmlib.methods.clip import DualEncoder

LENGTH, VOCABULARY = 77, 4096  # ids of a caption with its padding, as CLIP's; words
CANDIDATES, TRIGGER, STEPS, EPSILON = 16, 3, 8, 8
BATCH, REPEATS = 32, 3


def captions_as_long(count: int, vocabulary: int, generator: torch.Generator) -> Tensor:
    """Captions (count, LENGTH) of random words, as long as Flickr8K's (mean 12 words)."""
    captions = torch.full((count, LENGTH), PAD)
    for row in captions:
        words = int((12 + 4 * torch.randn((), generator=generator)).clamp(4, 30))
        row[0], row[1 + words] = START, END
        row[1 : 1 + words] = torch.randint(len(SPECIAL), vocabulary, (words,), generator=generator)
    return captions


def model_and_pairs(trunk: nn.Module, batch: int, size: int, depth: int, width: int):
    """A frozen dual encoder; uint8 images, captions and triggers."""
    g = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    text = TextTransformer(VOCABULARY, width, depth, width // 64, LENGTH, width)
    nn.init.normal_(text.token_embedding.weight)  # words that matter, as after training
    project = nn.Linear(trunk.out_features, width, bias=False)
    inputs = [Normalize(), lambda ids, generator: ids]
    encoders, projections = [GlobalPool(trunk), text], [project, nn.Identity()]
    model = DualEncoder(encoders, projections, augment=inputs, prepare=inputs).eval()
    images = torch.randint(0, 256, (batch, 3, size, size), generator=g, dtype=torch.uint8)
    captions = captions_as_long(batch, VOCABULARY, g)
    triggers = torch.randint(len(SPECIAL), VOCABULARY, (batch, TRIGGER), generator=g)
    for layer in model.modules():  # statistics as after training, or a deep trunk's values explode
        if isinstance(layer, nn.BatchNorm2d):
            layer.train().momentum = None
    with torch.no_grad():
        model.encode(0, images)
    model.eval()
    return model, images, captions, triggers


def full_text(model: DualEncoder, embedded: Tensor, ids: Tensor) -> Tensor:
    """Features of texts over all of their positions, padding too."""
    encoder = model.encoders[1]
    x = encoder.transformer(embedded + encoder.position_embedding, causal=True)
    end = (ids == END).int().argmax(dim=1)
    return model.projections[1](encoder.projection(x[torch.arange(len(ids)), end]))


def released_search(model: DualEncoder, images: Tensor, captions: Tensor, triggers: Tensor):
    """The released trigger search: every candidate is a forward pass of both encoders."""
    table = model.encoders[1].token_embedding.weight.detach()

    def loss(triggers: Tensor) -> Tensor:
        ids = prepend(captions, triggers)
        return losses.clip(
            model.encode(0, images), full_text(model, table[ids], ids), scale=model.scale
        )

    ids = prepend(captions, triggers)
    embedded = table[ids].requires_grad_()
    vectors = model.encode(0, images), full_text(model, embedded, ids)
    (gradient,) = torch.autograd.grad(losses.clip(*vectors, scale=model.scale), embedded)
    slopes = gradient[:, 1 : 1 + triggers.shape[1]]
    scores = -torch.einsum("bkd,vd->bkv", slopes, table).cpu()
    scores[..., ~allowed_words(len(table))] = -torch.inf
    ranked = scores.topk(CANDIDATES, dim=2).indices
    with torch.no_grad():
        for position in range(triggers.shape[1]):
            options = [triggers]
            for j in range(CANDIDATES):
                option = triggers.clone()
                option[:, position] = ranked[:, position, j]
                options.append(option)
            values = [float(loss(option)) for option in options]
            triggers = options[values.index(min(values))]
    return triggers


def our_search(model: DualEncoder, images: Tensor, captions: Tensor, triggers: Tensor) -> Tensor:
    with torch.no_grad():
        vectors = model.encode(0, images)

    def loss(features: Tensor) -> Tensor:
        return losses.clip(vectors, model.projections[1](features), scale=model.scale)

    return improve(triggers, captions, model.encoders[1], loss, count=CANDIDATES).triggers


def bodies(captions: Tensor) -> list[Tensor]:
    """The captions in the order in which each step shows them: the same for both sides."""
    g = torch.Generator().manual_seed(1)
    return [captions[torch.randperm(len(captions), generator=g)] for _ in range(STEPS)]


def released_noise(
    model: DualEncoder, images: Tensor, captions: Tensor, triggers: Tensor, steps: int = STEPS
) -> Tensor:
    """The released steps: floats, whose sum with the image is kept in range; whole texts."""
    table = model.encoders[1].token_embedding.weight.detach()
    pixels, delta = images.float() / 255, torch.zeros(images.shape)
    for body in bodies(captions)[:steps]:
        ids = prepend(body, triggers)
        x = (pixels + delta).clamp(0, 1).requires_grad_()
        vectors = model.encode(0, x), full_text(model, table[ids], ids)
        (gradient,) = torch.autograd.grad(losses.clip(*vectors, scale=model.scale), x)
        delta = (delta - gradient.sign() / 255).clamp(-EPSILON / 255, EPSILON / 255)
        delta = (pixels + delta).clamp(0, 1) - pixels
    return (255 * delta).round().to(torch.int8)


def our_noise(
    model: DualEncoder, images: Tensor, captions: Tensor, triggers: Tensor, steps: int = STEPS
) -> Tensor:
    shown = iter(bodies(captions))

    def loss(noisy: Tensor) -> Tensor:
        with torch.no_grad():
            ids = prepend(next(shown), triggers)
            text = model.projections[1](model.encoders[1].by_length(ids))
        return losses.clip(model.encode(0, noisy), text, scale=model.scale.detach())

    start = torch.zeros(images.shape, dtype=torch.int8)
    return noises.pgd(images, start, loss, epsilon=EPSILON, steps=steps)


def images_alone(model: DualEncoder, images: Tensor) -> Tensor:
    """The part of the noise that no saving of text can touch: a gradient of the images a step."""
    start = torch.zeros(images.shape, dtype=torch.int8)
    return noises.pgd(
        images, start, lambda x: model.encode(0, x).sum(), epsilon=EPSILON, steps=STEPS
    )


def scored(gradient: Tensor, table: Tensor, allowed: Tensor) -> Tensor:
    """The best words (K, B, J) for each of K positions of B captions."""
    positions = range(gradient.shape[1])
    return torch.stack([candidates(gradient[:, p], table, allowed, CANDIDATES) for p in positions])


def large_vocabulary(report: Report) -> None:
    g = torch.Generator().manual_seed(0)
    table = torch.randn(49_408, 512, generator=g)
    gradient = torch.randn(128, 5, 512, generator=g)
    allowed = allowed_words(len(table))
    ours = partial(scored, gradient, table, allowed)

    def plain() -> Tensor:
        scores = -torch.einsum("bkd,vd->bkv", gradient, table).cpu()
        scores[..., ~allowed] = -torch.inf
        return scores.topk(CANDIDATES, dim=2).indices.transpose(0, 1)

    r = ratios(plain, ours, repeats=3)
    share = 100 * (ours() == plain()).float().mean()
    what = "49,408 words of width 512 scored for 128 captions and 5 positions"
    report.number(what, r["b"], "s", 0.5)
    report.ratio(f"the same, beside all at once ({share:.2f} % of candidates equal)", r)


def ranking(report: Report) -> None:
    """Every rank of 5,000 images among 25,000 captions, and back: the size of MSCOCO's test."""
    g = torch.Generator().manual_seed(0)
    images, texts = (F.normalize(torch.randn(n, 512, generator=g)) for n in (5_000, 25_000))
    start = time.perf_counter()
    retrieval((images, texts))
    report.number("ranks of 5,000 x 25,000", time.perf_counter() - start, "s", 3)


def main() -> None:
    how = (
        f"batch {BATCH}, {TRIGGER} trigger words, {CANDIDATES} candidates, float32, "
        f"{torch.get_num_threads()} threads"
    )
    with Report("mem", how, keep=parser(__doc__).parse_args().keep) as report:
        compare(report, "ResNet-50, 64 px, text 3 x 256", ResNetTrunk(50), 64, 3, 256)
        compare(report, "small trunk, 32 px, text 2 x 128", SmallConvNet(24), 32, 2, 128)
        large_vocabulary(report)
        ranking(report)


def compare(report: Report, name: str, trunk: nn.Module, size: int, depth: int, width: int) -> None:
    setting = model_and_pairs(trunk, BATCH, size, depth, width)
    setting[0].requires_grad_(False)  # the released code freezes its surrogate as well
    visited = folded(setting[0]), *setting[1:]  # as a visit of ours does, once for all batches
    for what, theirs, ours, goal in (
        ("search", released_search, our_search, 10.0),
        ("noise", released_noise, our_noise, 1.6),
    ):
        found = {}

        def kept(run, model_and_pairs, found=found):
            found[run] = run(*model_and_pairs)

        r = ratios(partial(kept, theirs, setting), partial(kept, ours, visited), REPEATS)
        same = f"{100 * (found[theirs] == found[ours]).float().mean():.2f} % of entries equal"
        bound = ""
        if what == "noise":
            first = theirs(*setting, steps=1) == ours(*visited, steps=1)
            same += f", {100 * first.float().mean():.2f} % after the first step"
            alone = ratios(partial(theirs, *setting), partial(images_alone, *visited[:2]), REPEATS)
            bound = f"; without any text {alone['ratio']:.1f} times"
        report.ratio(f"{what}, {name} ({same}{bound})", r, goal)


if __name__ == "__main__":
    main()
