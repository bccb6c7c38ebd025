"""The mask of the paper's figure, what it lets through, the losses, and baselines."""

import numpy as np
import pytest
import torch

from echobook.dialogue.threads import ancestor_steps
from echobook.papers.masked_hierarchical_transformer.baselines import (
    Everything,
    FeatureScorer,
    PairScorer,
    RandomEqual,
    Recent,
    address_rule,
    first_message,
    previous_message,
)
from echobook.papers.masked_hierarchical_transformer.batches import Batch, make_batch
from echobook.papers.masked_hierarchical_transformer.evaluation import (
    choose,
    choose_in_turn,
    hits,
)
from echobook.papers.masked_hierarchical_transformer.experiment import (
    READINGS,
    Sizes,
    StartOrParent,
    build,
    graph_accuracy,
    train_thread_arm,
)
from echobook.papers.masked_hierarchical_transformer.generator import (
    ThreadWorld,
    encode_words,
    generated_pools,
    vocabulary,
)
from echobook.papers.masked_hierarchical_transformer.material import (
    Conversation,
    Pool,
    thread_conversation,
)
from echobook.papers.masked_hierarchical_transformer.model import (
    Ancestors,
    MaskedLayer,
    Reading,
    Responder,
    link_loss,
    ranking_loss,
    reading_mask,
)
from echobook.papers.masked_hierarchical_transformer.training import (
    FixedMasks,
    Plan,
    Scorer,
    fit,
    rate_of,
)

FIGURE = [(), (0,), (1,), (1,), (2,)]  # 0 <- 1, 1 <- 2, 1 <- 3, 2 <- 4, then the target


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def small_pool(seed: int = 0, count: int = 3, messages: int = 6, features: int = 5) -> Pool:
    draw = np.random.default_rng(seed)
    threads = []
    for number in range(count):
        parents = [(0,)] + [(int(draw.integers(0, m)),) for m in range(1, messages + number)]
        threads.append(thread_conversation(f"t{number}", ["x"] * len(parents), parents))
    size = sum(len(one.texts) for one in threads)
    return Pool(tuple(threads), draw.standard_normal((size, features)).astype(np.float32))


def small_model(features: int = 5, pair: int = 0) -> Responder:
    torch.manual_seed(0)
    return Responder(features, pair_features=pair, width=8, heads=2, feed_forward=16, layers=4).eval()


def test_the_mask_is_the_papers_figure() -> None:
    mask = reading_mask(Ancestors(), ancestor_steps(FIGURE), rng)
    expected = [
        [1, 0, 0, 0, 0, 1],
        [1, 1, 0, 0, 0, 1],
        [1, 1, 1, 0, 0, 1],
        [1, 1, 0, 1, 0, 1],
        [1, 1, 1, 0, 1, 1],
        [0, 0, 0, 0, 0, 1],
    ]
    assert mask.astype(int).tolist() == expected


@pytest.mark.parametrize(
    ("reading", "row_of_4", "target"),
    [
        (Ancestors(0), [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 1]),
        (Ancestors(1), [0, 0, 1, 0, 1, 1], [0, 0, 0, 0, 0, 1]),
        (Ancestors(2), [0, 1, 1, 0, 1, 1], [0, 0, 0, 0, 0, 1]),
        (Ancestors(target_reads=True), [1, 1, 1, 0, 1, 1], [1, 1, 1, 1, 1, 1]),
        (Recent(2), [0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1]),
        (Everything(), [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]),
    ],
)
def test_other_masks_by_hand(reading: Reading, row_of_4: list[int], target: list[int]) -> None:
    mask = reading_mask(reading, ancestor_steps(FIGURE), rng)
    assert mask[4].astype(int).tolist() == row_of_4
    assert mask[5].astype(int).tolist() == target


def test_random_masks_are_as_dense_and_read_backwards_only() -> None:
    steps = ancestor_steps([(max(0, m // 2),) for m in range(12)])
    draw = np.random.default_rng(1)
    masks = [RandomEqual()(steps, lambda: draw) for _ in range(50)]
    for mask in masks:
        assert (mask.sum(1) == (steps > 0).sum(1)).all()
        assert not np.triu(mask).any()
    assert np.mean(masks, axis=0)[11, :11] == pytest.approx((steps[11] > 0).sum() / 11, abs=0.25)


def test_every_reading_has_a_name_and_is_one() -> None:
    assert all(isinstance(reading, Reading) for reading in READINGS.values())


def test_masked_attention_equals_a_loop() -> None:
    torch.manual_seed(1)
    layer = MaskedLayer(8, 2, 16)
    x, mask = torch.randn(1, 5, 8), torch.rand(1, 5, 5) < 0.4
    mask |= torch.eye(5, dtype=torch.bool)
    query, key, value = layer.query_key_value(x[0]).view(5, 3, 2, 4).unbind(1)
    rows = []
    for row in range(5):
        heads = []
        for head in range(2):
            read = [j for j in range(5) if mask[0, row, j]]
            scores = torch.stack([query[row, head] @ key[j, head] / 2.0 for j in read]).softmax(0)
            heads.append(sum(w * value[j, head] for w, j in zip(scores, read, strict=True)))
        rows.append(torch.cat(heads))
    expected = layer.out(torch.stack(rows))
    assert torch.allclose(layer.attend(x, mask)[0], expected, atol=1e-6)


def test_width_must_fit_the_heads() -> None:
    with pytest.raises(ValueError, match="multiple of 4 heads, got 10"):
        MaskedLayer(10, 4, 16)


def logits_of(pool: Pool, case: tuple[int, int], model: Responder, reading: Reading) -> np.ndarray:
    return Scorer(model, FixedMasks(reading, 0), (), 0.0, False).logits(pool, [case])[0]


def test_a_candidate_is_moved_by_its_ancestors_and_the_target_alone() -> None:
    one = thread_conversation("figure", ["x"] * 6, [(0,), (0,), (1,), (1,), (2,), (3,)])
    vectors = np.random.default_rng(2).standard_normal((6, 5)).astype(np.float32)
    model, case = small_model(), (0, 4)  # target 5, candidates 0 to 4
    before = logits_of(Pool((one,), vectors), case, model, Ancestors())
    for changed in range(6):
        moved = vectors.copy()
        moved[changed] += 1.0 + np.arange(5, dtype=np.float32)
        after = logits_of(Pool((one,), moved), case, model, Ancestors())
        differs = np.flatnonzero(np.abs(after - before) > 1e-6).tolist()
        if changed == 5:
            assert differs == [0, 1, 2, 3, 4, 5]
        else:
            steps = one.steps
            assert differs == [row for row in range(5) if row == changed or steps[row, changed] > 0]


def test_without_ancestors_no_candidate_moves_another_and_a_reading_target_leaks() -> None:
    pool, model = small_pool(), small_model()
    moved = Pool(pool.conversations, pool.vectors.copy())
    moved.vectors[0] += 1.0 + np.arange(5, dtype=np.float32)
    case = (0, 4)
    gaps = {
        name: np.abs(
            logits_of(pool, case, model, READINGS[name]) - logits_of(moved, case, model, READINGS[name])
        )
        for name in ("own-line", "target-reads")
    }
    assert gaps["own-line"][1:].max() == 0.0
    assert gaps["target-reads"].min() > 0.0


def test_padding_and_company_do_not_matter() -> None:
    pool, model = small_pool(), small_model()
    scorer = Scorer(model, FixedMasks(Ancestors(), 0), (), 0.0, False)
    together = scorer.logits(pool, pool.cases)
    for case, values in zip(pool.cases, together, strict=True):
        assert np.isfinite(values).all()
        assert scorer.logits(pool, [case])[0] == pytest.approx(values, abs=1e-5)  # float32, other shapes


def test_batches_hold_the_truth() -> None:
    pool = small_pool()
    batch = make_batch(pool, [(0, 0), (2, 6)], FixedMasks(Ancestors(), 0))
    assert batch.real[0].tolist() == [False] * 6 + [True] * 2
    assert batch.gold[0].tolist() == [False] * 6 + [True, False]
    one = pool.conversations[2]
    assert batch.gold[1].nonzero().flatten().tolist() == list(one.gold[6])
    assert batch.features.shape == (2, 8, 0)
    assert torch.equal(batch.vectors[1], torch.from_numpy(pool.vectors[pool.firsts[2] :][:8]))
    assert batch.mask[0, 0].nonzero().flatten().tolist() == [0, 7]  # padding reads itself and the target


def batch_of(logits: torch.Tensor, gold: list[list[int]], real: list[list[int]]) -> Batch:
    size, length = logits.shape
    eye = torch.eye(length, dtype=torch.bool).expand(size, -1, -1)
    return Batch(
        torch.zeros(size, length, 1),
        eye,
        torch.tensor(real).bool(),
        torch.zeros(size, length, 0),
        torch.tensor(gold).bool(),
    )


def test_losses_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0, np.log(3.0), 5.0]], dtype=torch.float32)
    batch = batch_of(logits, [[0, 0, 1, 0]], [[0, 1, 1, 1]])
    assert ranking_loss(logits, batch).item() == pytest.approx(-np.log(3 / 4), abs=1e-6)
    # two parents share the mass
    both = batch_of(logits, [[0, 1, 1, 0]], [[0, 1, 1, 1]])
    assert ranking_loss(logits, both).item() == pytest.approx(-(np.log(3 / 4) + np.log(1 / 4)) / 2, abs=1e-6)
    expected = np.log(2) + np.log(4 / 3) + np.log1p(np.exp(5.0))
    assert link_loss(logits, batch).item() == pytest.approx(expected, abs=1e-5)
    start = batch_of(logits, [[0, 0, 0, 1]], [[0, 1, 1, 1]])
    total = 1 + 3 + np.exp(5.0)
    assert StartOrParent()(logits, start).item() == pytest.approx(-np.log(np.exp(5.0) / total), abs=1e-5)


def test_gradients_of_the_losses() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    batch = batch_of(logits.detach(), [[0, 1, 0, 0], [1, 0, 1, 0]], [[0, 1, 1, 1], [1, 1, 1, 1]])
    for loss in (ranking_loss, link_loss):
        torch.autograd.gradcheck(
            lambda x, loss=loss: loss(x.float(), batch).double(), logits, eps=1e-2, atol=1e-2
        )


def test_rules_by_hand() -> None:
    speakers = ("ann", "bob", "cat_", "ann", "bob", "dan")
    texts = ("hello there", "anyone", "bob: yes", "cat, no", "thank you", "what is up")
    one = Conversation("c", texts, ((),) * 6, (1, 2, 3, 4, 5), (0,) * 5, tuple(range(6)), None, speakers)
    # 1: nothing; 2 mentions bob; 3 mentions cat; 4: the last by bob or mentioning bob is 2; 5: start
    assert address_rule(one) == [1, 1, 2, 2, 5]
    assert first_message(one) == [0] * 5
    assert previous_message(one) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="needs speakers"):
        address_rule(thread_conversation("t", ["x", "y"], [(0,), (0,)]))


def test_pairs_read_their_parents_only_when_asked() -> None:
    pool = small_pool()
    batch = make_batch(pool, [(2, 6)], FixedMasks(Ancestors(1), 0))
    torch.manual_seed(0)
    scorer = PairScorer(5, hidden=8, context=True)
    read = scorer.read(batch.vectors, batch.mask)[0]
    for message, parents in enumerate(pool.conversations[2].parents[:7]):
        above = [parent for parent in parents if parent != message]
        expected = batch.vectors[0, above].mean(0) if above else torch.zeros(5)
        assert torch.allclose(read[message], expected)
    linear = FeatureScorer(3)
    assert sum(p.numel() for p in linear.parameters()) == 4
    assert sum(p.numel() for p in FeatureScorer(3, (5,)).parameters()) == 3 * 5 + 5 + 5 + 1


def test_whole_conversations_are_alike_by_both_histories() -> None:
    pool, model = small_pool(3, count=40, messages=3), small_model()
    scorer = Scorer(model, FixedMasks(Ancestors(), 0), (), 0.0, False)
    true = hits(pool, choose(scorer, pool, self_link=False))
    turn = hits(pool, choose_in_turn(scorer, pool, self_link=False))
    assert true.whole.tolist() == turn.whole.tolist()
    assert 0 < true.whole.mean() < 1


def test_decoding_in_turn_reads_what_was_chosen() -> None:
    """With a scorer that prefers deep candidates, the predicted history becomes a chain."""

    class Deepest:
        def logits(self, pool, cases, steps=None):  # type: ignore[no-untyped-def]
            found = []
            for number, place in cases:
                target = pool.conversations[number].targets[place]
                found.append(np.append((steps[number][:target, :target] > 0).sum(1), 0.0))
            return found

    pool = small_pool()
    chosen = choose_in_turn(Deepest(), pool, self_link=False)
    assert chosen[0] == list(range(5))


def test_training_overfits_a_tiny_set_and_keeps_the_best_epoch() -> None:
    pools, _ = generated_pools(ThreadWorld(threads=8, messages=6, ambiguity=0.0), seed=0)
    scorer = train_thread_arm(
        "ours", pools["train"], pools["train"], Sizes(32, 64), Plan(60, 3e-3, 8), seed=0
    )
    assert graph_accuracy(scorer, pools["train"]) == max(scorer.curve)
    assert max(scorer.curve) > 0.95
    assert len(scorer.curve) == 61


def test_training_twice_gives_the_same_bits() -> None:
    pools, _ = generated_pools(ThreadWorld(threads=8, messages=6), seed=0)
    runs = [
        train_thread_arm("random", pools["train"], pools["validation"], Sizes(8, 16), Plan(2, 1e-3), seed=3)
        for _ in range(2)
    ]
    assert runs[0].curve == runs[1].curve
    for one, other in zip(runs[0].model.parameters(), runs[1].model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_building_leaves_the_global_generator_alone_and_refuses_strangers() -> None:
    state = torch.random.get_rng_state()
    build("ours", 5, Sizes(8, 16), seed=7)
    assert torch.equal(torch.random.get_rng_state(), state)
    with pytest.raises(ValueError, match="got 'theirs'"):
        build("theirs", 5, Sizes(8, 16), seed=7)


def test_training_needs_a_target() -> None:
    one = thread_conversation("t", ["x", "y"], [(), ()])
    pool = Pool((one,), np.zeros((2, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="at least one to train on"):
        fit(
            small_model(3),
            pool,
            pool,
            reading=Ancestors(),
            loss=ranking_loss,
            plan=Plan(1, 1e-3),
            judge=graph_accuracy,
            seed=0,
        )


def test_the_rate_rises_and_falls() -> None:
    factor = rate_of(20, 0.1)
    assert [factor(done) for done in (0, 1, 2)] == [0.5, 1.0, 1.0]
    assert factor(11) == pytest.approx(0.5)
    assert factor(20) == 0.0


def test_generated_threads_are_what_they_say() -> None:
    world = ThreadWorld(ambiguity=1.0, threads=40, messages=12, words=48)
    pools, use = generated_pools(world, seed=1)
    again, _ = generated_pools(world, seed=1)
    assert pools["test"].conversations == again["test"].conversations
    assert use.rows == {"train": 480, "validation": 120, "test": 240}
    asked = 0
    for one in pools["train"].conversations:
        said = [set(text.split()) for text in one.texts]
        for target in one.targets:
            word = one.texts[target].split()[0]
            fitting = [m for m in range(target) if word in said[m] and one.texts[m].split()[0] != word]
            (parent,) = one.parents[target]
            assert parent in fitting or parent == 0
            asked += len(fitting) > 1 and parent != 0
    assert asked > 40
    level, _ = generated_pools(ThreadWorld(ambiguity=0.0, threads=40), seed=1)
    for one in level["train"].conversations:
        for target in one.targets:
            first = one.texts[target].split()[0]
            brought = [m for m in range(target) if first in one.texts[m].split()[1:3]]
            assert brought == ([] if one.parents[target] == (0,) else list(one.parents[target]))


def test_worlds_and_words_are_checked() -> None:
    with pytest.raises(ValueError, match="probabilities"):
        ThreadWorld(ambiguity=1.5)
    with pytest.raises(ValueError, match="branches"):
        ThreadWorld(branches=11, messages=12, words=60)
    with pytest.raises(ValueError, match="words: expected 16 to 256, got 15"):
        ThreadWorld(words=15)
    with pytest.raises(ValueError, match="'stranger' is not one of the 27 words"):
        encode_words(["hello stranger"], vocabulary(ThreadWorld()))
