"""Word search: against every text of the lexicon scored by the exact loss, fusion, batching, refusals."""

import itertools
from dataclasses import replace

import pytest
import torch

from echobook.speech.biasing.fusion import fusion_table, join_tables
from echobook.speech.biasing.lexicon import Lexicon
from echobook.speech.biasing.phonemes import CLASSES
from echobook.speech.biasing.recogniser import phoneme_transducer
from echobook.speech.biasing.search import SearchSettings, WordSearch
from echobook.speech.transducer import transducer_loss

LABELS = {"a": (2,), "ab": (2, 3), "b": (3,), "cab": (4, 2, 3)}
PRIORS = {"a": -1.0, "ab": -2.0, "b": -0.7, "cab": -3.0}
LEXICON = Lexicon(LABELS, PRIORS)
WIDE = SearchSettings(width=400, cap=7, lm_weight=0.6)  # the longest of the texts has seven labels


def setting(seed=0, batch=2, frames=3):
    torch.manual_seed(seed)
    model = phoneme_transducer(6, CLASSES, hidden=8, size=12, layers=1).eval()
    with torch.no_grad():
        model.joiner.output.weight.mul_(6)
        model.joiner.output.bias[[0, 1, 2, 3, 4]] += 6  # only these classes matter
    generator = torch.Generator().manual_seed(seed + 1)
    features = torch.randn(batch, frames, 6, generator=generator)
    lengths = torch.tensor([frames, frames - 1][:batch])
    with torch.no_grad():
        encodings, _ = model.encoder(features, lengths)

    def logits(one, history):
        return model.joiner(one[:, None], model.predictor.after(history))

    return model, logits, encodings, lengths


def acoustic(model, encodings, labels):
    """log p of one label string by the transducer's exact loss."""
    rows = torch.tensor([labels], dtype=torch.long).reshape(1, len(labels))
    z = model.joiner(encodings[None, :, None], model.predictor(rows)[:, None])
    sizes = torch.tensor([len(encodings)]), torch.tensor([len(labels)])
    return -float(transducer_loss(z, rows, *sizes))


def texts(most):
    return [" ".join(words) for n in range(1, most + 1) for words in itertools.product(LABELS, repeat=n)]


@torch.no_grad()
def expected(model, encodings, phrases=(), weight=0.0):
    """Score of every text of at most two words."""
    table = fusion_table(phrases, CLASSES)
    found = {}
    for text in texts(2):
        labels = LEXICON.labels(text)
        score = acoustic(model, encodings, labels)
        found[text] = score + 0.6 * LEXICON.log_prior(text) + weight * table.run(labels)
    return found


def test_a_wide_search_gives_the_exact_scores():
    model, logits, encodings, lengths = setting()
    found = WordSearch(LEXICON, WIDE)(logits, encodings, lengths)
    for row, encoding, length in zip(found, encodings, lengths.tolist(), strict=True):
        exact = expected(model, encoding[:length])
        got = {c.text: c.score for c in row if c.text in exact}
        assert len(got) > 15
        for text, score in got.items():
            assert score == pytest.approx(exact[text], abs=2e-3)
        assert max(got, key=got.get) == max(exact, key=exact.get)


def test_parts_add_up_and_the_order_is_by_score():
    _, logits, encodings, lengths = setting(3)
    table = fusion_table([LABELS["cab"]], CLASSES)
    settings = SearchSettings(width=50, cap=3, lm_weight=0.4, fusion_weight=0.5)
    for row in WordSearch(LEXICON, settings, fusion=table)(logits, encodings, lengths):
        assert [c.score for c in row] == sorted((c.score for c in row), reverse=True)
        for c in row:
            assert c.score == pytest.approx(c.acoustic + 0.4 * c.prior + 0.5 * c.bonus, abs=1e-4)
            assert c.prior == pytest.approx(LEXICON.log_prior(c.text), abs=1e-4)
            assert c.bonus == table.run(LEXICON.labels(c.text))


def test_fusion_changes_exact_scores_by_the_bonus():
    model, logits, encodings, lengths = setting(5)
    phrases = [LEXICON.labels("cab"), LEXICON.labels("ab b")]
    settings = replace(WIDE, fusion_weight=1.3)
    search = WordSearch(LEXICON, settings, fusion=fusion_table(phrases, CLASSES))
    row = search(logits, encodings, lengths)[0]
    exact = expected(model, encodings[0], phrases, 1.3)
    got = {c.text: c.score for c in row if c.text in exact}
    assert {"cab", "ab b"} <= set(got)
    for text, score in got.items():
        assert score == pytest.approx(exact[text], abs=2e-3)


def test_batching_padding_and_joined_tables_do_not_matter():
    _, logits, encodings, lengths = setting(7)
    tables = [fusion_table([LABELS["cab"]], CLASSES), fusion_table([LABELS["b"]], CLASSES)]
    joined, starts = join_tables(tables)
    settings = SearchSettings(width=6, cap=2, fusion_weight=0.8)
    together = WordSearch(LEXICON, settings, fusion=joined)(logits, encodings, lengths, starts=starts)
    for i, table in enumerate(tables):
        size = int(lengths[i])
        alone = WordSearch(LEXICON, settings, fusion=table)(
            logits, encodings[i : i + 1, :size], lengths[i : i + 1]
        )
        assert [c.text for c in alone[0]] == [c.text for c in together[i]]
        for one, two in zip(alone[0], together[i], strict=True):
            assert one.score == pytest.approx(two.score, abs=1e-4)


def test_a_narrow_beam_is_a_lower_bound_and_a_zero_weight_is_no_fusion():
    _, logits, encodings, lengths = setting(9)
    wide = WordSearch(LEXICON, WIDE)(logits, encodings, lengths)
    narrow = WordSearch(LEXICON, SearchSettings(width=2))(logits, encodings, lengths)
    for many, few in zip(wide, narrow, strict=True):
        assert few[0].score <= many[0].score + 1e-4
    table = fusion_table([LABELS["cab"]], CLASSES)
    plain = WordSearch(LEXICON, SearchSettings(), fusion=table)(logits, encodings, lengths)
    without = WordSearch(LEXICON, SearchSettings())(logits, encodings, lengths)
    assert [[c.text for c in row] for row in plain] == [[c.text for c in row] for row in without]


@torch.no_grad()
def test_without_priors_only_whole_words_are_found():
    model, logits, encodings, lengths = setting(11)
    found = WordSearch(LEXICON, replace(WIDE, lm_weight=0.0))(logits, encodings, lengths)
    for row, encoding, length in zip(found, encodings, lengths.tolist(), strict=True):
        scores = {c.text: c.score for c in row}
        assert set(LABELS) <= set(scores)
        for word, labels in LABELS.items():
            assert scores[word] == pytest.approx(acoustic(model, encoding[:length], labels), abs=2e-3)


def test_the_longest_label_string_is_held():
    _, logits, encodings, lengths = setting()
    for row in WordSearch(LEXICON, SearchSettings(width=20), most=3)(logits, encodings, lengths):
        assert row
        assert max(len(LEXICON.labels(c.text)) for c in row) <= 3


def test_nothing_in_nothing_out_and_refusals():
    _, logits, encodings, lengths = setting()
    assert WordSearch(LEXICON, SearchSettings())(logits, encodings[:0], lengths[:0]) == []
    with pytest.raises(ValueError, match=r"lengths are \[3, 9\]; expected 1\.\.3"):
        WordSearch(LEXICON, SearchSettings())(logits, encodings, torch.tensor([3, 9]))
    with pytest.raises(ValueError, match="expected width, cap >= 1 and weights >= 0"):
        SearchSettings(width=0)
