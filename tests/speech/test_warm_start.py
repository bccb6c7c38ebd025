"""Warm start: off the plateau where a cold start stays, exact repeats and resumes, refusals."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from echobook.metrics.wer import total, word_errors
from echobook.speech.decoding import greedy
from echobook.speech.model import AdditiveJoiner, LSTMEncoder, PredictionNetwork, Transducer
from echobook.speech.training import Example, collate, train
from echobook.speech.warm_start import (
    Recipe,
    WordClassifier,
    encoding_size,
    held,
    mean_encoding,
    recipe,
    train_from_words,
    warm_start,
)

WORDS, WIDTH = 6, 8


def made(count: int, span: tuple[int, int], seed: int) -> list[Example]:
    """Words are fixed random pictures of nine frames, with pauses of two to four frames and noise of 0.3."""
    pictures = torch.randn(WORDS, 9, WIDTH, generator=torch.Generator().manual_seed(99))
    g = torch.Generator().manual_seed(seed)
    rows = []
    for i in range(count):
        size = int(torch.randint(span[0], span[1] + 1, (), generator=g))
        labels = (torch.randint(WORDS, (size,), generator=g) + 1).tolist()
        parts = [torch.zeros(3, WIDTH)]
        for label in labels:
            pause = torch.zeros(int(torch.randint(2, 5, (), generator=g)), WIDTH)
            parts += [pictures[label - 1], pause]
        clean = torch.cat(parts)
        rows.append(Example(clean + 0.3 * torch.randn(clean.shape, generator=g), tuple(labels), f"u{i}"))
    return rows


def transducer(encoder: nn.Module | None = None, size: int = 32) -> Transducer:
    torch.manual_seed(0)
    encoder = encoder or LSTMEncoder(WIDTH, hidden=32, size=size, layers=2)
    predictor = PredictionNetwork(WORDS + 1, embedding=8, hidden=16, size=size)
    return Transducer(encoder, predictor, AdditiveJoiner(size, WORDS + 1))


def wer(model: Transducer, rows: list[Example]) -> float:
    batch = collate(rows)
    found = greedy(model, batch.frames, batch.lengths)
    said = [" ".join(map(str, row.labels)) for row in rows]
    return total(word_errors(said, [" ".join(map(str, h.labels)) for h in found])).rate


def small(**changes: int) -> Recipe:
    options = {"strings": 150, "classify": 100, "words": 150} | changes
    made = recipe(seed=0, rate=1e-2, evaluate_every=50, **options)
    assert made.classify is not None
    return replace(made, classify=replace(made.classify, peak_rate=1e-2))


def test_leaves_the_plateau_on_which_a_cold_start_stays() -> None:
    words, strings, dev = made(120, (1, 1), 1), made(200, (2, 4), 2), made(40, (2, 4), 5)
    warm = small()
    assert warm.updates == warm.cold().updates == 400
    found = {}
    for name, plan in (("warm", warm), ("cold", warm.cold())):
        model = transducer()
        train_from_words(model, words=words, strings=strings, recipe=plan, evaluate=lambda m: wer(m, dev))
        found[name] = wer(model, dev)
    assert found["warm"] < 0.6 < 0.9 < found["cold"]


def test_the_classifier_learns_the_words_and_is_thrown_away() -> None:
    torch.manual_seed(0)
    words, encoder = made(60, (1, 1), 1), LSTMEncoder(WIDTH, hidden=16, size=12, layers=1)
    names = set(encoder.state_dict())
    settings = small(classify=160).classify
    assert settings is not None
    history = warm_start(encoder, words, settings)
    assert history.losses[0] > 1.5  # log 6 = 1.79 for a guess
    assert history.losses[-1] < 0.6
    assert set(encoder.state_dict()) == names


def test_classifier_by_hand() -> None:
    """An encoder that passes its frames on; scores are the mean of tanh of the real frames."""

    class Same(nn.Module):
        def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return frames, lengths

    classifier = WordClassifier(Same(), 2, 2)
    with torch.no_grad():
        classifier.output.weight.copy_(torch.eye(2))
        classifier.output.bias.zero_()
    frames = torch.tensor([[[0.2, 0.4], [0.4, 0.8], [9.0, 9.0]]]).atanh().nan_to_num(9.0)
    length, label = torch.tensor([2]), torch.tensor([[2]])
    assert classifier(frames, length).flatten().tolist() == pytest.approx([0.3, 0.6], abs=1e-6)
    loss = classifier.loss(frames, length, label, torch.tensor([1]))
    assert loss.item() == pytest.approx(torch.tensor([-0.3]).exp().log1p().item(), abs=1e-6)


def test_mean_leaves_padding_out_even_when_it_is_not_finite() -> None:
    encodings = torch.arange(12.0).view(2, 3, 2)
    encodings[0, 1:] = torch.nan
    oracle = torch.stack([encodings[0, :1].mean(0), encodings[1].mean(0)])
    assert torch.equal(mean_encoding(encodings, torch.tensor([1, 3])), oracle)


def test_gradient_of_the_mean() -> None:
    x = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mean_encoding(x, torch.tensor([4, 2])), x)


def test_isolated_words_leave_the_encoder_as_the_classifier_made_it() -> None:
    """Joiner and prediction network learn in the second stage, the encoder only in the third."""
    kept: dict[str, dict[str, torch.Tensor]] = {}
    for name, plan in (
        ("classified", small(classify=5, words=1, strings=1)),
        ("read", small(classify=5, words=4, strings=1)),
    ):
        plan = replace(plan, strings=replace(plan.strings, peak_rate=1e-30))
        model = transducer(size=12)
        train_from_words(
            model, words=made(24, (1, 1), 1), strings=made(8, (2, 2), 2), recipe=plan, evaluate=None
        )
        assert all(weight.requires_grad for weight in model.parameters())
        kept[name] = {key: value.clone() for key, value in model.state_dict().items()}
    for key, value in kept["classified"].items():
        assert torch.allclose(value, kept["read"][key], atol=1e-12) == key.startswith("encoder."), key


def test_held_parameters_are_given_back_after_an_error() -> None:
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)

    def fail() -> None:
        with held(layer):
            assert not layer.weight.requires_grad
            raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def run(folder: Path | None, plan: Recipe) -> Transducer:
    model = transducer(size=12)
    options = {"words": made(24, (1, 1), 1), "strings": made(24, (2, 3), 2), "evaluate": lambda m: 0.0}
    train_from_words(model, recipe=plan, folder=folder, **options)  # type: ignore[arg-type]
    return model


def short(every: int = 2) -> Recipe:
    made = recipe(seed=1, strings=6, classify=6, words=6, evaluate_every=every, batch_size=4)
    assert made.classify is not None
    assert made.words is not None
    return Recipe(
        replace(made.classify, evaluate_every=every), replace(made.words, evaluate_every=every), made.strings
    )


def test_two_runs_agree_to_the_bit_and_leave_the_random_state() -> None:
    state = torch.random.get_rng_state()
    first = run(None, short())
    assert same(first, run(None, short()))
    torch.manual_seed(5)
    assert same(first, run(None, short()))
    torch.random.set_rng_state(state)


@pytest.mark.parametrize("stage", ["classify", "words", "strings"])
def test_goes_on_from_a_checkpoint_of_any_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    whole = run(None, short())
    stop = {"classify": 2, "words": 5, "strings": 8}[stage]
    from echobook.speech import training

    calls, save = [0], training._save

    def dying(*arguments: object) -> None:
        save(*arguments)  # type: ignore[arg-type]
        calls[0] += 1
        if calls[0] == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "_save", dying)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, short())
    monkeypatch.setattr(training, "_save", save)
    assert (tmp_path / f"{stage}.pt").is_file()
    assert same(whole, run(tmp_path, short()))
    assert same(whole, run(tmp_path, short()))  # from the finished checkpoints


def test_goes_on_after_a_kill(tmp_path: Path) -> None:
    """The process is killed at whatever moment it has come to; what is on disk is whole."""
    stages = "replace(s, steps=25, warmup=5) for s in (p.classify, p.words, p.strings)"
    code = (
        "import sys; from pathlib import Path; from dataclasses import replace\n"
        "sys.path.insert(0, sys.argv[2]); from test_warm_start import run, short, Recipe\n"
        f"p = short(1); run(Path(sys.argv[1]), Recipe(*({stages})))"
    )
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", code, str(tmp_path), here]
    process = subprocess.Popen(command, env=os.environ)
    while not (tmp_path / "words.pt").is_file() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    p = short(1)
    longer = Recipe(*(replace(s, steps=25, warmup=5) for s in (p.classify, p.words, p.strings) if s))
    assert same(run(tmp_path, longer), run(None, longer))


def test_augmentation_is_used_in_all_stages() -> None:
    seen = []

    def halve(features: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        seen.append(len(features))
        return torch.cat([features, features], 1)

    model = transducer(LSTMEncoder(2 * WIDTH, hidden=8, size=8, layers=1), size=8)
    plan = recipe(seed=0, strings=2, classify=2, words=2, batch_size=4)
    train_from_words(
        model,
        words=made(24, (1, 1), 1),
        strings=made(8, (2, 2), 2),
        recipe=plan,
        evaluate=None,
        augment=halve,
    )
    assert len(seen) == 1 + 2 * 6 + 2 * 8 + 2 * 4


def test_stages_have_the_stated_updates_and_rates() -> None:
    plan = recipe(seed=3, strings=1000)
    assert plan.updates == 600 + 150 + 1000
    assert plan.classify is not None
    assert plan.words is not None
    assert (plan.classify.batch_size, plan.words.batch_size, plan.strings.batch_size) == (24, 32, 16)
    assert (plan.classify.seed, plan.words.seed, plan.strings.seed) == (3, 3, 3)
    assert plan.strings.clip_norm == 5.0
    assert plan.cold().classify is None


def test_encoding_size_leaves_the_encoder_as_it_was() -> None:
    encoder = nn.Sequential()
    encoder = LSTMEncoder(4, hidden=3, size=5, layers=1, dropout=0.5).train()
    assert encoding_size(encoder, torch.zeros(7, 4)) == 5
    assert encoder.training


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no isolated words"),
        ([Example(torch.zeros(5, WIDTH), (1, 2), "u7")], "u7 has 2 labels; expected words"),
        ([Example(torch.zeros(5, WIDTH), ())], "an example has 0 labels"),
    ],
)
def test_refusals(words: list[Example], message: str) -> None:
    plan = recipe(seed=0, strings=1, classify=1, words=1)
    assert plan.classify is not None
    with pytest.raises(ValueError, match=message):
        warm_start(LSTMEncoder(WIDTH, hidden=4, size=4, layers=1), words, plan.classify)
    with pytest.raises(ValueError, match=message):
        train_from_words(
            transducer(), words=words, strings=made(2, (1, 1), 0), recipe=replace(plan, classify=None),
            evaluate=None,
        )  # fmt: skip


def test_without_evaluation_the_last_weights_stay() -> None:
    settings = short().strings
    model = transducer(size=12)
    history = train(model, made(12, (2, 3), 0), settings=settings, evaluate=None)
    assert history.scores == []
    assert len(history.losses) == settings.steps
    best = transducer(size=12)
    scores = iter(range(100))
    train(best, made(12, (2, 3), 0), settings=settings, evaluate=lambda _: -float(next(scores)))
    assert same(model, best)  # always better: the last weights are the best
