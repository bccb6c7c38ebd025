"""Fine-tuning with a tiny random BERT: overfit, exact resume, padding, schedule, sampling, refusals."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from echobook.text.batches import Batch, Encoded, encode_texts, epoch_batches, pad_batch
from echobook.text.checkpoint import CheckpointError, load_checkpoint, reinitialise_top, without_dropout
from echobook.text.finetuning import (
    Settings,
    Task,
    fine_tune,
    linear_schedule,
    parameter_groups,
    task_order,
)
from echobook.text.heads import Classifier, PairHead, PoolerHead, attention_and_hidden, segment_mean
from echobook.text.inference import predict

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]


def tiny_encoder(seed=0, attention="eager"):
    config = BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        attn_implementation=attention,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BertModel(config)


def tiny_model(seed=0, head=PairHead, tasks=("qa",)):
    return Classifier(tiny_encoder(seed), {name: head(16, 2, seed=seed) for name in tasks})


def examples(size=24, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, size)
    rows = [
        (2, 5 + int(y), 3, *random.integers(7, 13, int(random.integers(1, 25))).tolist(), 3) for y in labels
    ]
    types = tuple((0, 0, 0, *([1] * (len(row) - 3))) for row in rows)
    return Task(Encoded(tuple(rows), types, 0, 0), labels)


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    tiny_encoder().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("head", "steps"), [(PairHead, 60), (PoolerHead, 200)])
def test_overfits_a_tiny_set(head, steps):
    model, task = tiny_model(head=head), examples()
    run = fine_tune(
        model, {"qa": task}, Settings(steps=steps, batch_size=8, learning_rate=3e-3, head_learning_rate=1e-2)
    )
    found = predict(model, task.encoded, "qa")
    assert (found.argmax(axis=1) == task.labels).all()
    assert np.mean(run.losses[-5:]) < 0.2 < run.losses[0]
    np.testing.assert_allclose(found.sum(axis=1), 1)


class Killed(Exception):
    pass


def test_resume_after_a_kill_gives_the_same_bits(tmp_path):
    tasks = {"qa": examples(), "other": examples(10, seed=1)}
    settings = Settings(steps=9, batch_size=4, accumulate=2, learning_rate=1e-3, evaluate_every=2, seed=3)
    calls = []

    def score(model):
        calls.append(1)
        return float(predict(model, tasks["qa"].encoded, "qa")[np.arange(24), tasks["qa"].labels].mean())

    def failing(model):
        if len(calls) >= 3:
            raise Killed
        return score(model)

    whole = tiny_model(tasks=tuple(tasks))
    expected = fine_tune(whole, tasks, settings, evaluate=score)
    calls.clear()
    file = tmp_path / "state.pt"
    with pytest.raises(Killed):
        fine_tune(
            tiny_model(tasks=tuple(tasks)), tasks, settings, evaluate=failing, state_file=file, save_every=1
        )
    resumed = tiny_model(seed=5, tasks=tuple(tasks))
    with torch.random.fork_rng():
        torch.rand(7)
        found = fine_tune(resumed, tasks, settings, evaluate=score, state_file=file, save_every=1)
    assert found == expected
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    again = tiny_model(seed=6, tasks=tuple(tasks))
    assert fine_tune(again, tasks, settings, evaluate=score, state_file=file) == expected
    relabelled = tasks | {"other": Task(tasks["other"].encoded, 1 - tasks["other"].labels)}
    for changed in ((tasks, Settings(steps=10)), (relabelled, settings)):
        with pytest.raises(ValueError, match="use another state_file"):
            fine_tune(again, *changed, state_file=file)


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    fine_tune(tiny_model(), {"qa": examples()}, Settings(steps=2))
    assert torch.equal(before, torch.get_rng_state())


def test_accumulated_batches_equal_one_large_batch():
    task = examples(16)
    models = [tiny_model(), tiny_model()]
    for model, size, parts in ((models[0], 16, 1), (models[1], 4, 4)):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        settings = Settings(steps=1, batch_size=size, accumulate=parts, warmup=0.0)
        fine_tune(model, {"qa": task}, settings)
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        # the first AdamW step is the sign of the gradient where it is not tiny: float32 sums in another order
        assert (a - b).abs().mean() < 1e-5


def test_early_stopping_keeps_the_best_weights():
    scores, seen = iter([0.1, 0.5, 0.4, 0.3, 0.9]), []

    def score(model):
        seen.append(copy.deepcopy(model.state_dict()))
        return next(scores)

    model = tiny_model()
    run = fine_tune(
        model, {"qa": examples()}, Settings(steps=50, evaluate_every=2, patience=2), evaluate=score
    )
    assert run.stopped
    assert (run.best_step, run.best_score, len(run.losses)) == (4, 0.5, 8)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), seen[1].values(), strict=True))


@pytest.mark.parametrize("head", [PairHead, PoolerHead])
def test_padding_and_neighbours_do_not_matter(head):
    model, encoded = tiny_model(head=head).eval(), examples().encoded
    with torch.no_grad():
        for row in range(6):
            alone = model(pad_batch(encoded, [row], multiple=1), "qa")
            padded = model(pad_batch(encoded, [row, *range(6, 20)], multiple=48), "qa")[:1]
            torch.testing.assert_close(alone, padded, atol=1e-5, rtol=1e-4)  # float32, sums in another order


def test_predict_keeps_the_order_for_any_batch_size():
    model, encoded = tiny_model(), examples().encoded
    np.testing.assert_allclose(
        predict(model, encoded, "qa", batch_size=5), predict(model, encoded, "qa"), atol=1e-5
    )
    rough = predict(model, encoded, "qa", bf16=True)
    np.testing.assert_allclose(rough, predict(model, encoded, "qa"), atol=0.05)  # bf16 has 8 bits
    assert fine_tune(model, {"qa": examples()}, Settings(steps=2, bf16=True)).losses[0] > 0


def test_predict_pads_little(monkeypatch):
    model, encoded, widths = tiny_model(), examples().encoded, []
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda b, task: (widths.append(b.ids.shape[1]), forward(b, task))[1]
    )
    predict(model, encoded, "qa", batch_size=6)
    longest = np.sort(encoded.lengths)[5::6]
    assert widths == [size + size % 2 for size in longest]


def test_batches_hold_each_row_once_with_similar_lengths():
    lengths = examples(200).encoded.lengths
    batches = epoch_batches(lengths, 8, seed=0, epoch=0)
    assert sorted(row for batch in batches for row in batch) == list(range(200))
    assert batches == epoch_batches(lengths, 8, seed=0, epoch=0)
    assert batches != epoch_batches(lengths, 8, seed=0, epoch=1)
    assert np.mean([np.ptp(lengths[batch]) for batch in batches]) < np.ptp(lengths) / 4
    assert pad_batch(examples().encoded, [0, 1]).ids.shape[1] % 16 == 0


def test_schedule_by_hand():
    assert [linear_schedule(step, steps=6, warmup=0.4) for step in range(6)] == pytest.approx(
        [1 / 3, 2 / 3, 1, 3 / 4, 1 / 2, 1 / 4]
    )


def test_groups_hold_every_parameter_once():
    model = tiny_model()
    groups = parameter_groups(model, Settings(steps=1))
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    assert all((group["weight_decay"] == 0) == (p.ndim == 1) for group in groups for p in group["params"])
    heads = {id(p) for p in model.heads.parameters()}
    assert all((group["lr"] == 1e-3) == (id(p) in heads) for group in groups for p in group["params"])


def test_tasks_are_drawn_by_size_or_evenly():
    sizes = {"large": 900, "small": 100}
    share = [
        task_order(sizes, Settings(steps=4000, temperature=power)).count("small") / 4000
        for power in (1.0, 0.0)
    ]
    assert share == pytest.approx([0.1, 0.5], abs=0.03)  # four standard errors


def test_digest_of_a_task_follows_tokens_segments_and_labels():
    task = examples()
    other = Encoded(task.encoded.ids, ((0, 0, 0), *task.encoded.types[1:]), 0, 0)
    assert task.digest == examples().digest
    assert len({task.digest, examples(seed=1).digest, Task(task.encoded, 1 - task.labels).digest}) == 3
    assert Task(other, task.labels).digest != task.digest


def test_pair_head_by_hand():
    head = PairHead(2, 1)
    batch = Batch(
        torch.ones(1, 4, dtype=torch.long), torch.tensor([[1, 1, 1, 0]]), torch.tensor([[0, 0, 1, 0]])
    )
    hidden = torch.tensor([[[1.0, 0.0], [5.0, 0.0], [0.0, 2.0], [9.0, 9.0]]])
    with torch.no_grad():
        head.output.weight.copy_(torch.tensor([[1.0, 10, 100, 1000, 0.5, 0.25, 7, 7]]))
        found = head(SimpleNamespace(last_hidden_state=hidden), batch)
    # u = (1, 0), v = (0, 1), each times sqrt(2); |u - v| = (1, 1) sqrt(2), u * v = 0
    torch.testing.assert_close(found, torch.tensor([[2**0.5 * (1 + 1000 + 0.5 + 0.25)]]))


def test_gradient_of_the_pair_head():
    head = PairHead(3, 2).double()
    batch = Batch(
        torch.ones(2, 4, dtype=torch.long),
        torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]),
        torch.tensor([[0, 1, 1, 0], [0, 0, 1, 1]]),
    )
    hidden = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = head.output.weight.detach().clone()

    def logits(states, matrix):
        head.output.weight = torch.nn.Parameter(matrix, requires_grad=False)
        means = [segment_mean(states, batch.mask * (batch.types == side)) for side in (0, 1)]
        u, v = (torch.nn.functional.normalize(side, dim=1) * head.scale for side in means)
        return torch.cat([u, v, (u - v).abs(), u * v], dim=1) @ matrix.T + head.output.bias.detach()

    # the head itself computes in float32; the same formula in float64 is checked by differences, and the
    # head's own gradient against it
    states = hidden.clone().requires_grad_()
    matrix = weight.clone().requires_grad_()
    assert torch.autograd.gradcheck(logits, (states, matrix))
    exact = torch.autograd.grad(logits(states, matrix).square().sum(), states)[0]
    own, single = PairHead(3, 2), hidden.float().requires_grad_()
    with torch.no_grad():
        own.output.weight.copy_(weight)
    found = own(SimpleNamespace(last_hidden_state=single), batch).square().sum()
    torch.testing.assert_close(torch.autograd.grad(found, single)[0], exact.float(), atol=1e-5, rtol=1e-4)


def test_without_dropout_training_takes_no_draws():
    runs = []
    for seed in (0, 1):
        encoder = tiny_encoder()
        without_dropout(encoder)
        model = Classifier(encoder, {"qa": PairHead(16, 2)}).train()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            runs.append(model(pad_batch(examples().encoded, [0, 1, 2]), "qa"))
    assert torch.equal(*runs)


def test_segment_mean_by_hand():
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    assert segment_mean(hidden, torch.tensor([[1, 1, 0]])).tolist() == [[2, 3]]
    assert segment_mean(hidden, torch.tensor([[0, 0, 0]])).tolist() == [[0, 0]]


def test_attention_maps_sum_to_one_without_dropout():
    model = tiny_model().train()
    maps, hidden = attention_and_hidden(model, pad_batch(examples().encoded, [0, 1, 2]))
    assert (len(maps), len(hidden)) == (2, 3)
    for layer in maps:
        torch.testing.assert_close(layer.sum(dim=-1), torch.ones(layer.shape[:-1]))
    assert model.training
    other = Classifier(tiny_encoder(attention="sdpa"), {"qa": PairHead(16, 2)})
    with pytest.raises(ValueError, match="attention='eager', this one has 'sdpa'"):
        attention_and_hidden(other, pad_batch(examples().encoded, [0]))


def test_local_checkpoint_and_truncation(checkpoint):
    tokenizer, encoder = load_checkpoint(checkpoint, attention="eager")
    assert torch.equal(
        encoder.embeddings.word_embeddings.weight, tiny_encoder().embeddings.word_embeddings.weight
    )
    encoded = encode_texts(tokenizer, ["a b", "c"], ["d " * 40, "e"], max_tokens=16)
    assert encoded.lengths.tolist() == [16, 5]
    assert encoded.truncated == 1
    assert encoded.ids[1] == (2, 7, 3, 9, 3)
    assert encoded.types[1] == (0, 0, 0, 1, 1)
    assert encode_texts(tokenizer, ["a"]).lengths.tolist() == [3]
    for call, message in (
        (lambda: encode_texts(tokenizer, ["a", " "]), r"first\[1\]: expected a text that is not blank"),
        (lambda: encode_texts(tokenizer, ["a"], ["b", "c"]), "second: expected 1 texts"),
        (lambda: encode_texts(tokenizer, []), "expected texts"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def two_passes(tokenizer, first, second, limit):
    """Every text read whole and read cut: what encode_texts did before it read only the long ones again."""
    whole = tokenizer(first, second, truncation=False, verbose=False)["input_ids"]
    cut = tokenizer(first, second, truncation="longest_first", max_length=limit, return_token_type_ids=True)
    rows = zip(cut["input_ids"], cut["token_type_ids"], strict=True)
    return [(tuple(ids), tuple(types)) for ids, types in rows], sum(len(ids) > limit for ids in whole)


@pytest.mark.parametrize("limit", [5, 6, 9, 17, 64])
@pytest.mark.parametrize("pairs", [True, False])
def test_cut_texts_equal_those_of_two_passes(checkpoint, limit, pairs):
    tokenizer, random = load_checkpoint(checkpoint)[0], np.random.default_rng(limit)
    first, second = (
        [" ".join(random.choice(list("abcdefgh"), int(random.integers(1, most)))) for _ in range(40)]
        for most in (12, 30)
    )
    expected, truncated = two_passes(tokenizer, first, second if pairs else None, limit)
    found = encode_texts(tokenizer, first, second if pairs else None, max_tokens=limit)
    assert list(zip(found.ids, found.types, strict=True)) == expected
    assert found.truncated == truncated
    assert found.pad == tokenizer.pad_token_id


def test_only_long_texts_are_read_twice(checkpoint):
    tokenizer, read = load_checkpoint(checkpoint)[0], []

    def counting(*sides, **options):
        read.append(len(sides[0]))
        return tokenizer(*sides, **options)

    counting.pad_token_id = tokenizer.pad_token_id
    assert encode_texts(counting, ["a", "b"], ["c", "d"], max_tokens=16).truncated == 0
    assert read == [2]
    assert encode_texts(counting, ["a", "b", "c"], ["d", "e " * 30, "f"], max_tokens=16).truncated == 1
    assert read == [2, 3, 1]


def test_absent_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"no usable checkpoint .*nowhere.*try a folder"):
        load_checkpoint(tmp_path / "nowhere")


def test_top_layers_are_drawn_anew():
    encoder, before = tiny_encoder(), tiny_encoder()
    reinitialise_top(encoder, 1, seed=9)
    pairs = [(a, b) for a, b in zip(encoder.encoder.layer, before.encoder.layer, strict=True)]
    same = [torch.equal(a.output.dense.weight, b.output.dense.weight) for a, b in pairs]
    assert same == [True, False]
    with pytest.raises(ValueError, match="layers: expected 1 to 2, got 3"):
        reinitialise_top(encoder, 3, seed=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Settings(steps=0), "steps: expected at least 1, got 0"),
        (lambda: Settings(steps=1, warmup=1.0), "warmup in"),
        (lambda: Settings(steps=1, learning_rate=-1.0), "learning_rate: expected 0 or above"),
        (lambda: fine_tune(tiny_model(), {}, Settings(steps=1)), "tasks: expected at least one"),
        (lambda: fine_tune(tiny_model(), {"x": examples()}, Settings(steps=1)), "task 'x' has no head"),
        (
            lambda: fine_tune(tiny_model(), {"qa": examples()}, Settings(steps=1, patience=1)),
            "needs `evaluate`",
        ),
        (
            lambda: fine_tune(
                tiny_model(), {"qa": Task(examples(2).encoded, np.array([0, 2]))}, Settings(steps=1)
            ),
            r"expected labels 0\.\.1, got 0\.\.2",
        ),
        (lambda: Task(examples(2).encoded, np.array([0])), "labels: expected 2"),
        (lambda: epoch_batches(np.array([1]), 0, seed=0, epoch=0), "batch_size: expected at least 1"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_loss_that_is_not_finite_is_refused():
    model = tiny_model()
    with torch.no_grad():
        model.heads["qa"].output.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="step 1, task 'qa': loss nan"):
        fine_tune(model, {"qa": examples()}, Settings(steps=1))
