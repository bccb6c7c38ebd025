"""The intent grammar: repeatable, disjoint, its knobs do what they say."""

import pytest

from echobook.data.generators.intents import (
    FILLERS,
    GRAMMAR,
    TEMPLATES,
    generate_intents,
    intent_templates,
    zipf,
)


def test_shape_and_repetition():
    corpus = generate_intents(seed=3)
    assert corpus.frame["domain"].nunique() == 6
    assert corpus.frame.groupby("domain")["intent"].nunique().tolist() == [5] * 6
    assert corpus.frame["text"].is_unique
    assert corpus.frame.equals(generate_intents(seed=3).frame)
    assert corpus.use.sha256 == generate_intents(seed=3).use.sha256 != generate_intents(seed=4).use.sha256
    assert corpus.use.licence == "CC0-1.0 (generated)"
    assert sum(corpus.use.rows.values()) == len(corpus.frame)


def test_no_slot_is_left_open():
    text = " ".join(generate_intents(seed=0).frame["text"])
    assert not set("{}[]") & set(text)


def test_every_template_holds_its_content_word():
    for domain, (verbs, intents) in GRAMMAR.items():
        assert len(verbs) == 3
        for intent, (word, templates) in intents.items():
            assert len(templates) == TEMPLATES, intent
            assert all("[content]" in template for template in templates), intent
            assert all(word in template for template in intent_templates(domain, intent, overlap=0.5))


@pytest.mark.parametrize(("overlap", "shared"), [(0.0, 0), (0.25, 1), (0.5, 2), (0.75, 3), (1.0, 4)])
def test_overlap_counts_copied_templates(overlap, shared):
    intents = GRAMMAR["garden"][1]
    frames = {
        intent: {t.replace(word, "*") for t in intent_templates("garden", intent, overlap=overlap)}
        for intent, (word, _) in intents.items()
    }
    first, *rest = frames.values()
    # The domain's common verb template is shared from the start where the copied part does not hold it.
    assert all(len(first & other) == shared + (overlap < 1) for other in rest)


def test_dealt_templates_mix_domains():
    meant, dealt = generate_intents(seed=0).frame, generate_intents(seed=0, grouping="dealt").frame
    garden = {word for word, _ in GRAMMAR["garden"][1].values()}
    share = lambda frame: (  # noqa: E731
        frame[frame["domain"] == "garden"]["text"].map(lambda t: any(word in t for word in garden)).mean()
    )
    assert share(meant) == 1
    assert share(dealt) < 0.6


def test_zipf():
    assert zipf(3).tolist() == pytest.approx([6 / 11, 3 / 11, 2 / 11])
    assert all(len(set(words)) == len(words) for words in FILLERS.values())


def test_refusals():
    with pytest.raises(ValueError, match="overlap"):
        generate_intents(seed=0, overlap=1.5)
    with pytest.raises(ValueError, match="at least 1 each"):
        generate_intents(seed=0, train=0)
    with pytest.raises((ValueError, TypeError), match=r"grouping|neither"):
        generate_intents(seed=0, grouping="other")
