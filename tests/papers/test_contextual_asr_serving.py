"""Context through the store: ready, late, damaged; the same as without the store up to float16."""

import pytest
import torch

from echobook.data.generators.spoken_names import spoken_names
from echobook.papers.contextual_asr.acts import Act
from echobook.papers.contextual_asr.context import ContextEncoder
from echobook.papers.contextual_asr.material import Turn
from echobook.papers.contextual_asr.model import ContextualTransducer
from echobook.papers.contextual_asr.parts import Adapter
from echobook.papers.contextual_asr.serving import (
    SetClock,
    context_of,
    embedder,
    events_of,
    listed_entries,
    play_turn,
    read_turns,
    recognise_all_stored,
    recognise_stored,
    stored_text,
)
from echobook.papers.contextual_asr.training import ALL_KINDS
from echobook.papers.contextual_asr.vocabulary import build_vocabulary
from echobook.speech.biasing.catalogues import Entry, catalogue
from echobook.speech.biasing.phonemes import CLASSES
from echobook.speech.biasing.recogniser import phoneme_transducer
from echobook.speech.biasing.search import SearchSettings
from echobook.store.errors import StoreError
from echobook.store.events import Code, Event
from echobook.store.memory import MemoryStore
from echobook.store.protocol import TwoTables, drive
from echobook.store.sealing import KeyRing
from echobook.store.vectors import read_within

LISTED = (Entry("bauer", "contact"), Entry("betsy", "device"), Entry("piper", "contact"))


@pytest.fixture(scope="module")
def vocabulary():
    own = spoken_names(composed=60)
    return build_vocabulary(own.pronunciations, own.common, own.surnames, own.first, seed=0)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    base = phoneme_transducer(6, CLASSES, hidden=8, size=12, layers=1)
    context = ContextEncoder(CLASSES, kinds=len(ALL_KINDS), embedding=6, hidden=5, size=7)
    made = ContextualTransducer(base, context, {"encoder": Adapter(12, context.size, inner=8)}).eval()
    torch.nn.init.normal_(made.parts["encoder"].output.weight)
    return made


def events(ready=True):
    found = [
        Event("i1", Code.HEARD, 1.0, "utterance", b"call someone"),
        Event("i1", Code.CONTEXT, 1.1, "contacts", stored_text(LISTED, "contact")),
        Event("i1", Code.CONTEXT, 1.2, "devices", stored_text(LISTED, "device")),
        Event("i1", Code.SPEAK, 1.3, "reply", b"bauer or piper"),
    ]
    return [*found, Event("i1", Code.EXPECT, 1.4)] if ready else found


def stored(model, vocabulary, *, ready):
    design = TwoTables(MemoryStore(), KeyRing({"k1": bytes(32)}), lambda: 100.0, embedder(model, vocabulary))
    for event in events(ready):
        drive(design.steps(event))
    return read_within(lambda: design.read("i1"), 0.0)


def encodings():
    return torch.randn(6, 12, generator=torch.Generator().manual_seed(4))


def test_lists_go_into_texts_and_come_back(vocabulary):
    assert stored_text(LISTED, "contact") == b"bauer, piper"
    texts = {"i1#contacts#0": b"bauer, piper, nobody", "i1#devices#0": b"betsy", "i1#reply#0": b"bauer"}
    assert set(listed_entries(texts, vocabulary)) == set(LISTED)
    assert listed_entries({"i1#contacts#0": b""}, vocabulary) == []


def test_a_context_survives_the_store_up_to_its_precision(model, vocabulary):
    context = context_of(stored(model, vocabulary, ready=True))
    labels = {entry.text: vocabulary.lexicon.labels(entry.text) for entry in LISTED}
    bauer, betsy, piper = LISTED  # the store gives texts in the order of their references
    direct = model.context(catalogue([[bauer, piper, betsy]], labels, ALL_KINDS))
    torch.testing.assert_close(context.states, direct.states, rtol=1e-3, atol=1e-3)
    assert context.listed.all()


def test_ready_context_biases_and_late_context_is_the_plain_recogniser(model, vocabulary):
    settings = SearchSettings(width=300)  # wide enough that an untrained model ends words at all
    plain = ContextualTransducer(model.base, model.context, {})
    base = recognise_stored(plain, vocabulary, encodings(), settings, None)
    assert stored(model, vocabulary, ready=False) is None
    late = recognise_stored(model, vocabulary, encodings(), settings, stored(model, vocabulary, ready=False))
    ready = recognise_stored(model, vocabulary, encodings(), settings, stored(model, vocabulary, ready=True))
    assert late == base
    assert base
    assert [c.score for c in ready] != [c.score for c in base]


def test_damaged_bytes_are_refused():
    assert context_of(None) is None
    with pytest.raises(StoreError, match="not a context vector"):
        context_of(b"abc")


class TestLateness:
    TURN = Turn("bauer", LISTED[0], "bauer", "bauer or piper", Act("elicit", "contact"))

    def design(self, model, vocabulary, clock):
        return TwoTables(MemoryStore(), KeyRing({"k1": bytes(32)}), clock, embedder(model, vocabulary))

    @pytest.mark.parametrize(("embed_s", "there"), [(0.5, True), (2.0, True), (2.01, False), (9.0, False)])
    def test_what_comes_after_the_user_speaks_is_not_used_but_arrives(
        self, model, vocabulary, embed_s, there
    ):
        clock = SetClock()
        design = self.design(model, vocabulary, clock)
        told = events_of("i1", self.TURN, LISTED)
        answer = play_turn(design, clock, told, embed_s=embed_s, window_s=2.0)
        assert (answer is not None) == there
        clock.now = 20.0
        assert design.read("i1") is not None
        assert design.tally.embeddings == 1

    def test_the_store_gives_a_row_for_each_phoneme_of_the_lists(self, model, vocabulary):
        clock = SetClock()
        answer = play_turn(
            self.design(model, vocabulary, clock),
            clock,
            events_of("i1", self.TURN, LISTED),
            embed_s=1.0,
            window_s=2.0,
        )
        phonemes = sum(len(vocabulary.lexicon.labels(entry.text)) for entry in LISTED)
        assert context_of(answer).states.shape[1] == 1 + phonemes

    def test_slower_embedding_is_late_more_often_and_luck_is_the_same(self, model, vocabulary):
        turns, lists = [self.TURN] * 40, [LISTED] * 40
        late = {}
        for median in (0.01, 1.0, 2.0, 60.0):
            clock = SetClock()
            answers = read_turns(
                self.design(model, vocabulary, clock), clock, turns, lists, median_s=median, seed=3
            )
            late[median] = {i for i, answer in enumerate(answers) if answer is None}
        assert late[0.01] == set()
        assert late[1.0] < late[2.0]
        assert late[60.0] == set(range(40))
        with pytest.raises(ValueError, match="expected a positive number"):
            read_turns(
                self.design(model, vocabulary, SetClock()), SetClock(), turns, lists, median_s=0.0, seed=3
            )

    def test_a_batch_of_answers_is_each_turn_alone(self, model, vocabulary):
        clock = SetClock()
        design = self.design(model, vocabulary, clock)
        some = [LISTED, LISTED[:1], LISTED[1:]]
        answers = [
            play_turn(
                design, clock, events_of(f"i{i}", self.TURN, own), embed_s=1.0, window_s=2.0 - 2.0 * (i == 1)
            )
            for i, own in enumerate(some)
        ]
        assert [answer is None for answer in answers] == [False, True, False]
        settings = SearchSettings(width=300)
        generator = torch.Generator().manual_seed(5)
        heard = [torch.randn(n, 12, generator=generator) for n in (6, 4, 5)]
        whole = recognise_all_stored(model, vocabulary, [self.TURN] * 3, heard, settings, answers)
        for i, answer in enumerate(answers):
            alone = recognise_stored(model, vocabulary, heard[i], settings, answer)
            assert [c.text for c in alone] == [c.text for c in whole.candidates[i]]
            scores = torch.tensor([[c.score for c in found] for found in (alone, whole.candidates[i])])
            torch.testing.assert_close(scores[0], scores[1])
