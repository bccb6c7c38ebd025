"""TANDA's recipes, rows, kept rows, controls and own-data call, with a tiny local checkpoint."""

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from echobook.data.text_files import MalformedRow
from echobook.papers.tanda.baselines import baseline_scores
from echobook.papers.tanda.evaluation import ranking, relative_loss, table
from echobook.papers.tanda.experiment import (
    Budget,
    Row,
    base_rows,
    control_rows,
    main_rows,
    noise_rows,
    rate_rows,
    shared_rows,
)
from echobook.papers.tanda.material import (
    derived_frames,
    flip_labels,
    generated_material,
    merge,
    permute_labels,
)
from echobook.papers.tanda.method import Bench, Recipe, Stage
from echobook.papers.tanda.own_data import rank_csv
from echobook.papers.tanda.starts import Starts, _masked_loss, mask_words, random_encoder, train_masked
from echobook.papers.tanda.training import read_outcome, row_key, run_rows
from echobook.text.batches import encode_texts, pad_batch

LETTERS = "abcdefghij"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return str(folder)


def frame(questions=20, seed=0):
    """A candidate is right when it holds the question's letter."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(questions):
        asked, other = random.permutation(list(LETTERS))[:2]
        rows.append((f"q{number}", asked, f"{asked} {asked}", 1))
        rows += [(f"q{number}", asked, f"{other} {other}", 0)] * 2
    return pd.DataFrame(rows, columns=["question_id", "question", "candidate", "label"])


def bench(checkpoint, seed=0, **frames):
    given = {
        "transfer": frame(60),
        "target": frame(30, 1),
        "target-dev": frame(10, 2),
        "target-test": frame(10, 3),
    }
    starts = Starts(checkpoint, fresh_layers=1, sentences=["a b c", "d e f"], small_steps=3, small_width=64)
    return Bench(given | frames, starts, seed=seed, max_tokens=16, bf16=False)


BUDGET = Budget(40, 10, 3e-3, 3e-3, 1e-3, batch_size=8)


def test_two_steps_learn_and_share_the_first(checkpoint, monkeypatch):
    made = bench(checkpoint)
    fitted = []
    original = made._fit
    monkeypatch.setattr(made, "_fit", lambda *a: (fitted.append(a[2].data), original(*a)))
    recipe = BUDGET.two_steps("transfer", "target")
    found = ranking(made.frames["target-test"], made.run(recipe, ("target-test",)).scores["target-test"])
    assert found.map > 0.9  # chance is .61
    made.run(recipe.first(), ("target-test",))
    made.run(BUDGET.two_steps("transfer", "target", rate=5e-4), ("target-test",))
    assert fitted == ["transfer", "target", "target"]


def test_shared_first_step_changes_nothing(checkpoint):
    recipe = BUDGET.two_steps("transfer", "target")
    shared, alone = bench(checkpoint), bench(checkpoint)
    shared.run(BUDGET.two_steps("transfer", "target", rate=5e-4), ("target-dev",))
    results = [made.run(recipe, ("target-test",)).scores["target-test"] for made in (shared, alone)]
    np.testing.assert_array_equal(*results)


def test_a_recipe_is_a_function_of_its_seed(checkpoint):
    recipe = BUDGET.one_step("target")
    scores = [
        bench(checkpoint, seed).run(recipe, ("target-test",)).scores["target-test"] for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_the_second_step_starts_where_the_first_ended(checkpoint):
    made = bench(checkpoint)
    still = Recipe((Stage("transfer", 5, 1e-3), Stage("target", 3, 0.0)), batch_size=8, head_rate=0.0)
    first, both = made.train(still.first()), made.train(still)
    for (name, a), b in zip(first.state_dict().items(), both.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_scores_are_log_odds_and_long_pairs_are_counted(checkpoint):
    long = frame(2).assign(candidate="a " * 40)
    made = bench(checkpoint, long=long)
    model = made.fresh(BUDGET.one_step("target"))
    scores = made.score(model, "long")
    assert np.isfinite(scores).all()
    assert made.truncated["long"] == len(long)
    with pytest.raises(ValueError, match="no frame 'other'; known: long, target, target-dev"):
        made.encoded("other")


def test_totals_of_compared_rows_are_equal():
    rows = main_rows(("a", "b"), BUDGET) | base_rows("a", BUDGET) | noise_rows("a", BUDGET, [20])
    rows |= control_rows("a", BUDGET, starts={"small": BUDGET}, pooler=True) | rate_rows(
        "a", BUDGET, {"1e-4": 1e-4}
    )
    totals = {name: sum(stage.steps for stage in row.recipe.stages) for name, row in rows.items()}
    assert totals.pop("transfer-only") == 40
    assert set(totals.values()) == {50}
    stages = {name: [stage.data for stage in row.recipe.stages] for name, row in rows.items()}
    assert stages["a/tanda"] == ["transfer", "a-all"]
    assert stages["b/ft"] == ["b-all"]
    assert stages["reversed"] == ["a", "transfer"]
    assert stages["merged"] == ["a-merged"]
    assert stages["shuffled"] == ["transfer-shuffled", "a"]
    assert stages["tanda-noise-20"] == ["transfer", "a-noise-20"]
    assert rows["tanda-rate-1e-4"].recipe.stages[1].rate == 1e-4
    assert rows["ft-pooler"].recipe.head == "pooler"


def test_starts(checkpoint):
    starts = bench(checkpoint).starts
    given, fresh, again = (
        starts.encoder(name, seed=1) for name in ("pretrained", "reinitialised", "reinitialised")
    )
    bottom, top = (encoder.encoder.layer for encoder in (given, fresh))
    assert torch.equal(bottom[0].output.dense.weight, top[0].output.dense.weight)
    assert not torch.equal(bottom[1].output.dense.weight, top[1].output.dense.weight)
    assert torch.equal(top[1].output.dense.weight, again.encoder.layer[1].output.dense.weight)
    small, random = (starts.encoder(name, seed=1) for name in ("small", "random"))
    assert not torch.equal(small.embeddings.word_embeddings.weight, random.embeddings.word_embeddings.weight)
    assert all(m.p == 0 for m in small.modules() if isinstance(m, torch.nn.Dropout))
    with pytest.raises(ValueError, match=r"start: expected pretrained, .* got 'other'"):
        starts.encoder("other", seed=0)


def test_fingerprint_holds_what_decides_a_start_and_no_more(checkpoint):
    base = {"fresh_layers": 1, "sentences": ["x"], "small_steps": 3, "small_width": 64}
    own = {
        "pretrained": set(),
        "reinitialised": {"fresh_layers"},
        "small": {"sentences", "small_steps", "small_width"},
        "random": {"small_width"},
    }
    other = {"fresh_layers": 2, "sentences": ["y"], "small_steps": 4, "small_width": 128}
    starts = Starts(checkpoint, **base)
    assert len({starts.fingerprint(name) for name in own}) == len(own)
    for name, deciding in own.items():
        for field in base:
            changed = Starts(checkpoint, **(base | {field: other[field]})).fingerprint(name)
            assert (changed != starts.fingerprint(name)) == (field in deciding), (name, field)


def test_masked_words_follow_their_shares():
    ids = torch.full((200, 100), 7)
    allowed = torch.ones_like(ids)
    allowed[:, :10] = 0
    hidden, chosen = mask_words(
        ids, allowed, mask=4, vocabulary=1000, generator=torch.Generator().manual_seed(0)
    )
    share = chosen[:, 10:].float().mean().item()
    assert share == pytest.approx(0.15, abs=0.012)  # over four standard errors of 18000 draws
    assert not chosen[:, :10].any()
    assert torch.equal(hidden[chosen == 0], ids[chosen == 0])
    picked = hidden[chosen == 1]
    assert (picked == 4).float().mean().item() == pytest.approx(0.8, abs=0.035)
    assert (picked == 7).float().mean().item() == pytest.approx(0.1, abs=0.025)


def test_masked_training_learns_and_refuses_nothing_to_read(checkpoint):
    starts = bench(checkpoint).starts
    encoder = random_encoder(len(WORDS), width=64, seed=0)
    losses = train_masked(
        encoder,
        starts.tokenizer,
        ["a b " * k for k in range(1, 9)] + ["c d " * k for k in range(1, 9)],
        steps=60,
        seed=0,
    )
    assert len(losses) == 60
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    with pytest.raises(ValueError, match="sentences: expected texts to read, got none"):
        train_masked(encoder, starts.tokenizer, [], steps=1, seed=0)


def test_an_update_without_a_hidden_word_changes_nothing_by_gradient(checkpoint):
    tokenizer = bench(checkpoint).starts.tokenizer
    encoder = random_encoder(len(WORDS), width=64, seed=0)
    losses = train_masked(encoder, tokenizer, ["a"], steps=40, seed=0)  # one word: mostly none is hidden
    assert 0.6 < np.mean(losses == 0) < 1
    assert np.isfinite(losses).all()
    assert all(torch.isfinite(p).all() for p in encoder.parameters())


def test_masked_loss_is_the_mean_over_hidden_words(checkpoint):
    tokenizer = bench(checkpoint).starts.tokenizer
    encoder, bias = random_encoder(len(WORDS), width=64, seed=0).eval(), torch.zeros(len(WORDS))
    batch = pad_batch(encode_texts(tokenizer, ["a b c d e f g h i j " * 2, "a b c"]), [0, 1])
    found = _masked_loss(encoder, batch, bias, tokenizer, torch.Generator().manual_seed(3))
    ids, chosen = mask_words(
        batch.ids,
        batch.mask * (batch.ids > 4),
        mask=4,
        vocabulary=len(WORDS),
        generator=torch.Generator().manual_seed(3),
    )
    states = encoder(input_ids=ids, attention_mask=batch.mask).last_hidden_state
    losses = []
    for row, place in chosen.nonzero().tolist():
        logits = encoder.embeddings.word_embeddings.weight @ states[row, place]
        losses.append(torch.logsumexp(logits, dim=0) - logits[batch.ids[row, place]])
    assert len(losses) > 1
    # the function computes in bfloat16, which has 8 bits
    torch.testing.assert_close(found, torch.stack(losses).mean(), atol=0.02, rtol=0.01)


def test_rows_are_kept_and_told(checkpoint, tmp_path):
    made, told = bench(checkpoint), []
    rows = {"ft": Row(BUDGET.one_step("target"), ("target-test",))}
    first = run_rows(made, rows, tmp_path, told=lambda name, _: told.append(name))["ft"]
    second = run_rows(made, rows, tmp_path, told=lambda name, _: told.append(name))["ft"]
    assert told == ["ft"]
    np.testing.assert_array_equal(first.scores["target-test"], second.scores["target-test"])
    assert first.seconds == second.seconds > 0
    (file,) = tmp_path.glob("*.npz")
    file.write_bytes(b"x")
    with pytest.raises(ValueError, match=r"not a kept row .*delete it"):
        read_outcome(file)
    assert run_rows(made, rows, None).keys() == rows.keys()
    assert len(list(tmp_path.glob("*"))) == 1


def test_equal_rows_are_trained_once(checkpoint, tmp_path):
    frames = {"facts": frame(30, 1), "facts-test": frame(6, 3), "facts-dev": frame(6, 2)}
    made, told = bench(checkpoint, **frames), []
    rows = shared_rows("facts", BUDGET)
    assert list(rows) == ["facts/tanda", "facts/ft", "tanda", "ft"]
    found = run_rows(made, rows, tmp_path, told=lambda name, _: told.append(name))
    assert told == ["facts/tanda", "facts/ft"]
    assert found["ft"].scores is found["facts/ft"].scores
    assert found["ft"].seconds == 0 < found["facts/ft"].seconds
    assert set(found["tanda"].scores) == {"facts-test", "facts-dev"}
    alone = run_rows(bench(checkpoint, **frames), base_rows("facts", BUDGET), None)
    for name, outcome in alone.items():
        np.testing.assert_array_equal(outcome.scores["facts-dev"], found[name].scores["facts-dev"])


def test_key_follows_everything_that_decides_a_row(checkpoint):
    made = bench(checkpoint)
    row = Row(BUDGET.one_step("target"), ("target-test",))
    flipped = frame(30, 1).assign(label=lambda rows: 1 - rows["label"])
    keys = [
        row_key(made, row),
        row_key(bench(checkpoint, seed=1), row),
        row_key(made, Row(row.recipe, ("target-dev",))),
        row_key(made, Row(BUDGET.one_step("target", rate=1e-5), row.scored)),
        row_key(bench(checkpoint, target=flipped), row),
        row_key(bench(checkpoint, **{"target-test": frame(10, 4)}), row),
    ]
    assert len(set(keys)) == len(keys)
    assert row_key(bench(checkpoint, transfer=frame(5)), row) == keys[0]  # a frame that it does not use


def test_flipped_labels():
    labels = np.array([1] * 10 + [0] * 90)
    flipped = flip_labels(labels, 0.2, seed=3)
    assert (flipped != labels).sum() == 20
    np.testing.assert_array_equal(flip_labels(labels, 1.0, seed=0), 1 - labels)
    np.testing.assert_array_equal(flip_labels(labels, 0.0, seed=0), labels)
    assert labels.sum() == 10
    with pytest.raises(ValueError, match=r"share: expected 0 to 1, got 1\.2"):
        flip_labels(labels, 1.2, seed=0)


def test_permuted_labels_and_merged_rows():
    rows = frame(50)
    mixed = permute_labels(rows, seed=0)
    assert mixed["label"].sum() == rows["label"].sum()
    assert (mixed["label"] != rows["label"]).any()
    joined = merge(
        frame(20).assign(split="transfer"), frame(20).assign(split="target"), pairs=(10, 1000), seed=0
    )
    assert joined["split"].value_counts().to_dict() == {"target": 60, "transfer": 10}
    made = derived_frames(rows, frame(20), "x", noise=[10], merged=(4, 4), seed=0)
    assert sorted(made) == ["transfer-shuffled", "x-merged", "x-noise-10"]


def test_generated_material_has_the_frames_of_the_rows():
    material = generated_material(seed=0, shared=0.5, noise=[20], merged=(8, 8))
    rows = main_rows(material.targets, BUDGET) | noise_rows("facts", BUDGET, [20])
    rows |= base_rows("facts", BUDGET) | control_rows("facts", BUDGET, starts={}, pooler=False)
    used = {stage.data for row in rows.values() for stage in row.recipe.stages}
    used |= {name for row in rows.values() for name in row.scored}
    assert used <= material.frames.keys()


def test_baselines_and_table():
    rows = frame(6)
    scores = baseline_scores(rows, lambda texts: np.array([[len(t), 1.0] for t in texts]))
    assert list(scores) == ["random", "idf-overlap", "bm25", "cosine"]
    assert ranking(rows, scores["random"]).map == pytest.approx(11 / 18)  # one of three: (1 + 1/2 + 1/3) / 3
    assert ranking(rows, scores["bm25"]).map == 1
    assert table({"x": ranking(rows, scores["bm25"])}).loc[0, ["row", "MAP", "P@1"]].tolist() == ["x", 1, 1]
    assert relative_loss(0.8, 0.6) == pytest.approx(0.25)


def test_own_csv_is_ranked(checkpoint, tmp_path):
    made = bench(checkpoint)
    model = made.train(BUDGET.one_step("transfer"))
    source, target = tmp_path / "mine.csv", tmp_path / "ranked.csv"
    source.write_text("question,candidate,label\na,c c,0\na,a a,1\nb,b b,1\nb,d d,0\n")
    mine = rank_csv(source, target, made, model)
    assert mine.result.map == 1
    assert pd.read_csv(target)["candidate"].tolist() == ["a a", "c c", "b b", "d d"]
    assert mine.frame["rank"].tolist() == [1, 2, 1, 2]
    assert mine.truncated == 0
    source.write_text("question,candidate,label\nc," + "c " * 50 + ",0\n")
    other = rank_csv(source, target, made, model)
    assert other.result is None
    assert other.truncated == 1
    assert len(other.frame) == 1
    source.write_text("question,candidate\na,b\n")
    with pytest.raises(MalformedRow, match=r"mine\.csv:1: expected a column 'label'"):
        rank_csv(source, target, made, model)
