"""The deep ranker and its training: by hand, by loops, gradients, and a tiny set learnt by heart."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from echobook.metrics.open_set import auroc
from echobook.papers.joke_skill import deep_training as deep
from echobook.papers.joke_skill import experiment
from echobook.papers.joke_skill.features import DAY
from echobook.papers.joke_skill.material import generated_world
from echobook.papers.joke_skill.method import HOUR, Windows
from echobook.papers.joke_skill.model import (
    AttentionPooling,
    ConvolutionEncoder,
    HistoryAttention,
    JokeRanker,
    NoHistory,
    Recent,
    Rows,
    Tasks,
    TransformerEncoder,
    label_loss,
    ranker_loss,
)
from echobook.papers.joke_skill.training import make_study

GENERATOR = torch.Generator().manual_seed(0)
TOKENS = torch.tensor([[2, 3, 4, 0, 0], [5, 1, 2, 3, 6], [4, 4, 0, 0, 0]])
ENCODERS = {"transformer": TransformerEncoder, "convolution": ConvolutionEncoder}


def encoder(name: str):
    torch.manual_seed(1)
    return ENCODERS[name](7, features=8).eval()


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_filling_changes_nothing(name: str) -> None:
    model = encoder(name)
    longer = functional.pad(TOKENS, (0, 4))
    torch.testing.assert_close(model(TOKENS), model(longer), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_jokes_do_not_see_each_other(name: str) -> None:
    model = encoder(name)
    torch.testing.assert_close(model(TOKENS)[1:2], model(TOKENS[1:2]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_order_of_the_words_matters(name: str) -> None:
    model = encoder(name)
    one, other = torch.tensor([[2, 3, 4, 5, 6]]), torch.tensor([[6, 3, 4, 5, 2]])
    assert (model(one) - model(other)).abs().max() > 1e-4


def test_the_convolution_by_loops() -> None:
    """Windows that begin at a word, zeros behind the end, the largest of each filter."""
    model = encoder("convolution")
    words = model.words(TOKENS[1])  # five words, no filling
    padded = torch.cat([words, torch.zeros(3, 8)])
    found = []
    for convolution in model.filters:
        width = convolution.kernel_size[0]
        windows = [
            torch.einsum("fdw,wd->f", convolution.weight, padded[start : start + width]) + convolution.bias
            for start in range(5)
        ]
        found.append(torch.relu(torch.stack(windows)).amax(dim=0))
    torch.testing.assert_close(model(TOKENS)[1], model.out(torch.cat(found)), atol=1e-5, rtol=1e-5)


def test_pooling_is_a_weighted_mean() -> None:
    torch.manual_seed(0)
    pool = AttentionPooling(4)
    encoded, filled = normal(1, 3, 4), torch.tensor([[False, False, True]])
    weight = torch.stack([pool.outer(torch.tanh(pool.inner(encoded[0, n]))) for n in range(2)]).softmax(dim=0)
    torch.testing.assert_close(pool(encoded, filled)[0], (weight * encoded[0, :2]).sum(dim=0))
    same = encoded[:, :1].expand(-1, 3, -1)
    torch.testing.assert_close(pool(same, filled), same[:, 0])


def recent(there: list[list[bool]], features: int = 4) -> Recent:
    shape = (len(there), len(there[0]))
    outcome = torch.randint(0, 9, shape, generator=GENERATOR)
    age = torch.randint(0, 6, shape, generator=GENERATOR)
    return Recent(normal(*shape, features), outcome, age, torch.tensor(there))


def test_history_attention_by_loops() -> None:
    torch.manual_seed(0)
    part, past, candidate = HistoryAttention(4), recent([[True, True, False]]), normal(1, 4)
    steps = [part.nobody[0, 0]]
    for m in range(2):
        outcome, age = part.outcomes.weight[past.outcome[0, m]], part.ages.weight[past.age[0, m]]
        steps.append(past.vectors[0, m] + outcome + age)
    weight = torch.stack([part.query(candidate[0]) @ step / 2 for step in steps]).softmax(dim=0)
    expected = sum(w * step for w, step in zip(weight, steps, strict=True))
    torch.testing.assert_close(part(candidate, past)[0], expected)


def test_an_empty_history_is_nobody() -> None:
    torch.manual_seed(0)
    part, past = HistoryAttention(4), recent([[False, False]])
    torch.nn.init.normal_(part.nobody)
    torch.testing.assert_close(part(normal(1, 4), past), part.nobody[0])
    assert NoHistory()(normal(1, 4), past).abs().sum() == 0


def test_what_is_not_there_changes_nothing() -> None:
    torch.manual_seed(0)
    part, past, candidate = HistoryAttention(4), recent([[True, False]]), normal(1, 4)
    other = Recent(past.vectors.clone(), past.outcome.clone(), past.age.clone(), past.there)
    other.vectors[0, 1], other.outcome[0, 1] = 100.0, 8
    torch.testing.assert_close(part(candidate, past), part(candidate, other))


def ranker(name: str = "transformer") -> JokeRanker:
    model = encoder(name)
    return JokeRanker(model, HistoryAttention(8), context=3, categories=2, kinds=3).eval()


def rows(count: int) -> Rows:
    there = torch.rand(count, 2, generator=GENERATOR) < 0.7
    numbers = [torch.randint(0, top, (count, 2), generator=GENERATOR) for top in (3, 9, 6)]
    return Rows(numbers[0], numbers[1], numbers[2], there, normal(count, 3))


@pytest.mark.parametrize("name", list(ENCODERS))
def test_a_batch_is_its_rows(name: str) -> None:
    model, some, joke = ranker(name), rows(6), torch.tensor([0, 1, 2, 0, 1, 2])
    together = model(TOKENS, some, joke)
    for row in range(6):
        alone = model(TOKENS, some.take(torch.tensor([row])), joke[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-5)


def test_every_weight_gets_a_gradient() -> None:
    model, some, joke = ranker(), rows(12), torch.arange(12) % 3
    vectors = model.encoder(TOKENS)
    labels = (torch.rand(12, 2, generator=GENERATOR) < 0.5).float()
    groups = {"category": torch.tensor([0, 1, 0]), "kind": torch.tensor([0, 1, 2])}
    loss = ranker_loss(model, vectors, model.score(vectors, some, joke), labels, groups, Tasks(), (1.0, 4.0))
    loss.backward()
    unused = {"words.weight"}  # filling has none, and not every word occurs
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        if not any(name.endswith(part) for part in unused):
            assert weight.grad.abs().sum() > 0, name


# The loss


def test_losses_by_hand() -> None:
    """Log-odds of nothing: one half each way, whatever the weights; the focal factor halves it."""
    logits, labels = torch.zeros(3), torch.tensor([1.0, 0.0, 0.0])
    half = float(np.log(2))
    assert label_loss(logits, labels, positive=1.0, gamma=0.0).item() == pytest.approx(half)
    assert label_loss(logits, labels, positive=5.0, gamma=0.0).item() == pytest.approx(half)
    assert label_loss(logits, labels, positive=1.0, gamma=1.0).item() == pytest.approx(half / 2)
    sure = torch.tensor([2.0, -1.0, 1.0])
    terms = [np.log1p(np.exp(-2.0)), np.log1p(np.exp(-1.0)), np.log1p(np.exp(1.0))]
    expected = (3 * terms[0] + terms[1] + terms[2]) / 5
    assert label_loss(sure, labels, positive=3.0, gamma=0.0).item() == pytest.approx(expected)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_gradient_of_the_loss(gamma: float) -> None:
    logits = normal(6).double().requires_grad_()
    labels = torch.tensor([1.0, 0, 1, 0, 0, 1]).double()
    assert torch.autograd.gradcheck(lambda z: label_loss(z, labels, positive=2.5, gamma=gamma), (logits,))


def test_tasks_add_up() -> None:
    model, some, joke = ranker(), rows(8), torch.arange(8) % 3
    vectors = model.encoder(TOKENS).detach()
    logits = model.score(vectors, some, joke).detach()
    labels = (torch.rand(8, 2, generator=GENERATOR) < 0.5).float()
    groups = {"category": torch.tensor([0, 1, 0]), "kind": torch.tensor([0, 1, 2])}

    def loss(tasks: Tasks) -> float:
        return ranker_loss(model, vectors, logits, labels, groups, tasks, (1.0, 3.0)).item()

    alone = [Tasks((1.0, 0.0), 0.0, 0.0), Tasks((0.0, 1.0), 0.0, 0.0)]
    whole = loss(Tasks((2.0, 0.5), 0.3, 0.4))
    heads = functional.cross_entropy(model.category(vectors), groups["category"]) * 0.3
    heads = heads + functional.cross_entropy(model.kind(vectors), groups["kind"]) * 0.4
    assert whole == pytest.approx(2 * loss(alone[0]) + 0.5 * loss(alone[1]) + heads.item(), rel=1e-5)


@pytest.mark.parametrize("tasks", [((0.0, 0.0), 0.1, 0.1), ((1.0, 1.0), -0.1, 0.1)])
def test_tasks_refuse(tasks: tuple[tuple[float, float], float, float]) -> None:
    with pytest.raises(ValueError, match="weights >= 0, one of a label above 0"):
        Tasks(*tasks)


# Training


@pytest.fixture(scope="module")
def study():
    return make_study(generated_world(users=60, jokes=20, seed=0), seed=0)


def test_rows_by_hand(study) -> None:
    moments = study.log.moments
    row = int(np.flatnonzero(moments.count == 3)[0])
    found = deep.rows_of(moments.take(np.array([row])), 5)
    assert found.there[0].tolist() == [True, True, True, False, False]
    assert found.recent[0, :3].tolist() == moments.told[row, :3][::-1].tolist()
    ages = moments.time[row] - moments.told_at[row, :3][::-1]
    limits = [HOUR // 12, HOUR, DAY, 3 * DAY, 7 * DAY]
    assert found.age[0, :3].tolist() == [sum(age > limit for limit in limits) for age in ages]
    known = (moments.reuse[row, :3] + 1) * 3 + moments.back[row, :3] + 1
    assert found.outcome[0, :3].tolist() == known[::-1].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transformer", "convolution"])
def test_a_tiny_set_is_learnt_by_heart(study, name: str) -> None:
    """Forty rows whose label is whether the joke's number is even: only the text can tell."""
    chosen = study.train[:40]
    labels = np.zeros((len(study.log), 2))
    labels[:, 0] = labels[:, 1] = study.log.joke % 2
    settings = deep.Settings(epochs=60, batch=40, rate=1e-2)
    model = deep.build(experiment.ENCODERS[name], experiment.CUSTOMERS["history"], study.world.jokes, seed=0)
    trained = deep.train_ranker(
        model, study.world.jokes, study.log.moments, study.log.joke, labels,
        train=chosen, validation=chosen, tasks=Tasks(), settings=settings,
    )  # fmt: skip
    assert trained.curve[trained.epoch] > 0.99
    assert trained.epoch > 0


def test_the_earliest_best_epoch_is_kept_and_runs_repeat(study) -> None:
    network, settings = experiment.NETWORKS["convolution"], deep.Settings(epochs=2, batch=256)
    one, two = (experiment.train_network(study, network, settings, seed=3) for _ in range(2))
    assert one.trained.curve == two.trained.curve
    np.testing.assert_array_equal(one.told, two.told)
    assert one.trained.epoch == int(np.argmax(one.trained.curve))
    rows_ = study.validation
    best = auroc(one.told[rows_, 0], study.labels["reuse"][rows_])
    assert best == pytest.approx(one.trained.curve[one.trained.epoch], abs=1e-6)
    untrained = experiment.train_network(study, network, deep.Settings(epochs=0), seed=3)
    assert untrained.trained.epoch == 0
    assert untrained.trained.curve[0] == one.trained.curve[0]


def test_scores_of_all_jokes_are_those_of_told_ones(study) -> None:
    fitted = experiment.train_network(
        study, experiment.NETWORKS["convolution"], deep.Settings(epochs=1), seed=0
    )
    rows_ = np.arange(30)
    for number, label in enumerate(("reuse", "back")):
        every = fitted.of(label).scorer(study.log.moments.take(rows_))
        np.testing.assert_allclose(every[rows_, study.log.joke[:30]], fitted.told[:30, number], atol=1e-5)


def test_training_refuses(study) -> None:
    with pytest.raises(ValueError, match="expected past, batch >= 1"):
        deep.Settings(batch=0)
    model = deep.build(experiment.ENCODERS["convolution"], NoHistory_, study.world.jokes, seed=0)
    with pytest.raises(ValueError, match="train: expected at least one row"):
        deep.train_ranker(
            model, study.world.jokes, study.log.moments, study.log.joke, np.zeros((len(study.log), 2)),
            train=np.empty(0, dtype=np.int64), validation=study.validation, tasks=Tasks(),
            settings=deep.Settings(),
        )  # fmt: skip


def NoHistory_(features: int) -> NoHistory:
    return NoHistory()


# The chapter's rows


def test_relabelling_with_the_same_windows_changes_nothing(study) -> None:
    same = experiment.relabelled(study, Windows())
    assert len(same.log) == len(study.log)
    for name in ("reuse", "back"):
        np.testing.assert_array_equal(same.labels[name], study.labels[name])
    np.testing.assert_array_equal(same.log.joke, study.log.joke)


def test_a_wider_window_has_more_positives(study) -> None:
    rates = [
        experiment.relabelled(study, Windows(reuse=60 * minutes)).labels["reuse"].mean()
        for minutes in (1, 5, 60)
    ]
    assert rates[0] < rates[1] < rates[2]
    last = experiment.relabelled(study, Windows(credit="last")).labels["back"].mean()
    assert last < study.labels["back"].mean()


def test_no_confounders_leave_everybody_alike(study) -> None:
    plain = experiment.unconfounded(study.world, seed=0)
    behaviour = plain.behaviour
    assert (
        behaviour.reuse_talk == behaviour.reuse_tired == behaviour.reuse_evening == behaviour.back_talk == 0
    )


def test_rows_of_the_tables(study) -> None:
    scored = experiment.simple_scorers(study, "reuse", seed=0)
    assert set(scored) == {"random", "rotation", "popularity", "factors", "oracle"}
    rows_ = study.sample(50, seed=0)
    assert np.isin(rows_, study.test).all()
    best = experiment.choose(study, scored["oracle"].scorer, rows_)
    assert np.nanmin(best.auc) == 1.0
    by_count = experiment.history_rows(study, best, rows_)
    assert set(by_count.values()) == {1.0}
    with pytest.raises(ValueError, match="regression 'magic': expected one of who-and-when"):
        experiment.regressions(study, "reuse", ["magic"])


def test_a_rate_over_the_whole_log_leaks(study) -> None:
    row = experiment.split_row(study, "reuse", seed=0)
    assert set(row) == {"by-time", "random", "random-whole-log"}
    assert row["random-whole-log"] > row["random"]
