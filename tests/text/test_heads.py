"""Heads against loops over tokens, their gradients, and the traps of attention maps and hidden states."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from echobook.text.batches import Batch
from echobook.text.heads import Classifier, PairHead, PoolerHead, attention_and_hidden, segment_mean

WIDTH = 8


def encoder(attention="eager", *, dropout=0.1, pooler=True):
    config = BertConfig(
        vocab_size=20,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        attn_implementation=attention,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BertModel(config, add_pooling_layer=pooler)


def batch(rows=3, tokens=6):
    """Rows of 6, 5, 4... tokens; the second half of each is the candidate."""
    ids = torch.arange(rows * tokens).reshape(rows, tokens) % 15 + 5
    sizes = torch.arange(tokens, tokens - rows, -1)[:, None]
    place = torch.arange(tokens)[None, :]
    mask = (place < sizes).long()
    return Batch(ids * mask, mask, (place >= sizes // 2).long() * mask)


def loop_logits(head, hidden, given):
    """The pair head, token by token, in float64."""
    weight, bias = head.output.weight.double(), head.output.bias.double()
    rows = []
    for row in range(hidden.shape[0]):
        sides = []
        for side in (0, 1):
            own = [
                hidden[row, place].double()
                for place in range(hidden.shape[1])
                if given.mask[row, place] == 1 and given.types[row, place] == side
            ]
            mean = sum(own) / len(own)
            sides.append(mean / mean.square().sum().sqrt() * hidden.shape[2] ** 0.5)
        u, v = sides
        rows.append(weight @ torch.cat([u, v, (u - v).abs(), u * v]) + bias)
    return torch.stack(rows)


def hidden_states(rows=3, tokens=6, seed=0):
    return torch.randn(rows, tokens, WIDTH, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(3))
def test_pair_head_equals_a_loop(seed):
    head, hidden = PairHead(WIDTH, 2, seed=seed), hidden_states(seed=seed)
    found = head(SimpleNamespace(last_hidden_state=hidden), batch())
    # float32 sums of some tens of terms of size one
    torch.testing.assert_close(found.double(), loop_logits(head, hidden, batch()), atol=1e-5, rtol=1e-5)


def test_pair_head_does_not_see_padding_nor_scale():
    head, hidden, given = PairHead(WIDTH, 2), hidden_states(), batch()
    changed = torch.where(given.mask[..., None] == 0, hidden + 100, 3 * hidden)
    results = [head(SimpleNamespace(last_hidden_state=states), given) for states in (hidden, changed)]
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-5)


def test_pair_head_of_single_texts_has_no_second_side():
    head, hidden, given = PairHead(WIDTH, 3), hidden_states(), batch()
    alone = Batch(given.ids, given.mask, torch.zeros_like(given.types))
    found = head(SimpleNamespace(last_hidden_state=hidden), alone)
    assert found.shape == (3, 3)
    u = torch.nn.functional.normalize(segment_mean(hidden, given.mask), dim=1) * WIDTH**0.5
    zero = torch.zeros_like(u)
    torch.testing.assert_close(found, head.output(torch.cat([u, zero, u.abs(), zero], dim=1)))


def test_pair_head_gives_float32_from_bfloat16_states():
    head = PairHead(WIDTH, 2)
    found = head(SimpleNamespace(last_hidden_state=hidden_states().bfloat16()), batch())
    assert found.dtype == torch.float32


def test_heads_are_drawn_from_their_seed_alone():
    for kind in (PairHead, PoolerHead):
        with torch.random.fork_rng():
            torch.manual_seed(5)
            one = kind(WIDTH, 2, seed=1)
            torch.manual_seed(6)
            two, other = kind(WIDTH, 2, seed=1), kind(WIDTH, 2, seed=2)
        assert torch.equal(one.output.weight, two.output.weight)
        assert not torch.equal(one.output.weight, other.output.weight)
        assert not one.output.bias.any()
        assert one.output.weight.std().item() == pytest.approx(0.02, rel=0.5)


def test_pooler_head_is_linear_on_the_pooled_token():
    head = PoolerHead(WIDTH, 2).eval()
    pooled = torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(0))
    found = head(SimpleNamespace(pooler_output=pooled), batch(4))
    torch.testing.assert_close(found, pooled @ head.output.weight.T + head.output.bias)
    with pytest.raises(ValueError, match="PoolerHead needs an encoder with a pooler; use PairHead"):
        Classifier(encoder(pooler=False), {"qa": PoolerHead(WIDTH, 2)})(batch(), "qa")


def test_gradient_of_segment_mean():
    states = hidden_states().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda given: segment_mean(given, batch().mask), states)


def test_a_classifier_keeps_its_tasks_apart():
    model = Classifier(encoder(), {"a": PairHead(WIDTH, 2), "b": PairHead(WIDTH, 5, seed=1)}).eval()
    assert model(batch(), "a").shape == (3, 2)
    assert model(batch(), "b").shape == (3, 5)
    model(batch(), "a").sum().backward()
    assert model.heads["b"].output.weight.grad is None
    assert model.heads["a"].output.weight.grad is not None
    with pytest.raises(ValueError, match="heads: expected at least one task"):
        Classifier(encoder(), {})


def test_maps_are_those_of_evaluation_even_in_training():
    model = Classifier(encoder(dropout=0.5), {"qa": PairHead(WIDTH, 2)})
    found = [attention_and_hidden(model.train(training), batch()) for training in (True, False)]
    for a, b in zip(found[0][0] + found[0][1], found[1][0] + found[1][1], strict=True):
        assert torch.equal(a, b)
    raw = model.train().encode(batch(), output_attentions=True)
    # what the library returns in training carries dropout: rows no longer sum to one
    assert not torch.allclose(raw.attentions[0].sum(dim=-1), torch.ones(()), atol=1e-3)


def test_maps_give_padding_no_weight_and_states_are_the_encoders_own():
    model, given = Classifier(encoder(), {"qa": PairHead(WIDTH, 2)}).eval(), batch()
    maps, states = attention_and_hidden(model, given)
    assert [tuple(layer.shape) for layer in maps] == [(3, 2, 6, 6)] * 2
    assert [tuple(layer.shape) for layer in states] == [(3, 6, WIDTH)] * 3
    hidden = given.mask[:, None, None, :].expand_as(maps[0]) == 0
    assert all(layer[hidden].abs().max() < 1e-6 for layer in maps)
    torch.testing.assert_close(states[-1], model.encode(given).last_hidden_state)
    words = model.encoder.embeddings(input_ids=given.ids, token_type_ids=given.types)
    torch.testing.assert_close(states[0], words)


def test_gradients_flow_through_maps_and_states():
    model = Classifier(encoder(), {"qa": PairHead(WIDTH, 2)}).eval()
    maps, states = attention_and_hidden(model, batch())
    (maps[-1].square().sum() + states[1].square().sum()).backward()
    assert model.encoder.embeddings.word_embeddings.weight.grad.abs().sum() > 0


def test_mode_comes_back_when_the_encoder_fails(monkeypatch):
    model = Classifier(encoder(), {"qa": PairHead(WIDTH, 2)}).train()

    def failing(*_, **__):
        raise RuntimeError("no memory")

    monkeypatch.setattr(model, "encode", failing)
    with pytest.raises(RuntimeError, match="no memory"):
        attention_and_hidden(model, batch())
    assert model.training
    assert np.all([module.training for module in model.encoder.modules()])


@pytest.mark.parametrize("kind", ["sdpa"])
def test_other_kinds_of_attention_are_refused(kind):
    model = Classifier(encoder(kind), {"qa": PairHead(WIDTH, 2)})
    with pytest.raises(ValueError, match=f"loaded with attention='eager', this one has '{kind}'"):
        attention_and_hidden(model, batch())
