"""A grammar that speaks: utterances of 30 intents in 6 domains, from a seed and this file's own word lists.

An intent has a content word and four templates. Intents of one domain share verbs; all intents share fillers
(people, days, amounts, places), drawn from Zipf's law, that say nothing about the intent. Learning on some
intents that fillers do not matter may help on others: that is the phenomenon, and nothing here decides
whether a method profits from it.

    overlap    share of an intent's four templates replaced by a sibling's, its content word changed; from
               0.75 on a domain's intents differ in the content word alone (their first templates always do)
    grouping   "meaning": an intent's templates mean the same. "dealt": all templates are dealt to the
               intents at random, so that what goes together in one intent says nothing about another (the
               control setting: knowledge of labelled intents should bring nothing)

Labels come from the generating intent only. Domains, intents and all words are ours; nothing is taken from a
public data set.
"""

import hashlib
from typing import Literal

import numpy as np
import pandas as pd

from echobook.data.intents import IntentCorpus
from echobook.data.types import DatasetUse

VERSION = "1"
TEMPLATES = 4
# domain -> (shared verbs, intent -> (content word, four templates with [content], {verb} and fillers))
GRAMMAR: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, tuple[str, str, str, str]]]]] = {
    "garden": (
        ("sort out", "take care of", "see to"),
        {
            "watering": ("sprinkler", (
                "{verb} the [content] {day}", "is the [content] still running at {place}",
                "turn the [content] off after {amount} minutes", "the lawn is dry, start the [content]")),
            "mowing": ("mower", (
                "{verb} the [content] {day}", "cut the grass with the [content] near {place}",
                "how many metres does the [content] cut", "did {person} bring the [content] back")),
            "seeding": ("seeds", (
                "{verb} the [content] {day}", "when should i plant the [content] for {person}",
                "order {amount} bags of [content]", "will the [content] grow in the shade at {place}")),
            "pruning": ("hedge", (
                "{verb} the [content] {day}", "how far back may i trim the [content]",
                "{person} says the [content] is too tall", "the [content] by {place} blocks the view")),
            "composting": ("compost", (
                "{verb} the [content] {day}", "can i put peel into the [content]",
                "why does the [content] smell at {place}", "tell {person} to turn the [content]")),
        },
    ),
    "library": (
        ("deal with", "handle", "arrange"),
        {
            "lending": ("novel", (
                "{verb} the [content] for {person}", "may i borrow the [content] until {day}",
                "is the [content] on the shelf at {place}", "check out {amount} copies of the [content]")),
            "renewing": ("due date", (
                "{verb} the [content] for {person}", "push my [content] back to {day}",
                "i need {amount} more days before the [content]", "what is the [content] of my books")),
            "fines": ("late fee", (
                "{verb} the [content] for {person}", "why do i owe a [content] of {amount}",
                "can i pay the [content] at {place}", "please forgive my [content]")),
            "rooms": ("study room", (
                "{verb} the [content] for {person}", "book a [content] {day}",
                "how big is the [content] at {place}", "cancel the [content], we are only {amount}")),
            "cards": ("reader card", (
                "{verb} the [content] for {person}", "i lost my [content] near {place}",
                "when does the [content] expire", "print a new [content] {day}")),
        },
    ),
    "harbour": (
        ("look into", "organise", "settle"),
        {
            "mooring": ("berth", (
                "{verb} a [content] {day}", "is there a free [content] at {place}",
                "we need a [content] for {amount} nights", "move {person} to another [content]")),
            "tides": ("high tide", (
                "{verb} the [content] {day}", "when is the [content] at {place}",
                "how many metres will the [content] reach", "warn {person} before the [content]")),
            "fuel": ("diesel", (
                "{verb} the [content] {day}", "how much is the [content] at {place}",
                "fill up {amount} litres of [content]", "put the [content] on the bill of {person}")),
            "repairs": ("hull", (
                "{verb} the [content] {day}", "there is a crack in the [content]",
                "who can paint the [content] for {person}", "the [content] leaks {amount} litres")),
            "permits": ("sailing permit", (
                "{verb} the [content] {day}", "does {person} need a [content]",
                "where do i show the [content] at {place}", "my [content] has {amount} days left")),
        },
    ),
    "theatre": (
        ("fix", "plan", "prepare"),
        {
            "tickets": ("seats", (
                "{verb} the [content] with {person}", "reserve {amount} [content] for {day}",
                "are there [content] left on the balcony", "i want different [content], these face {place}")),
            "rehearsal": ("rehearsal", (
                "{verb} the [content] with {person}", "shift the [content] to {day}",
                "who missed the [content] at {place}", "the [content] took {amount} hours")),
            "costumes": ("costume", (
                "{verb} the [content] with {person}", "the [content] is too tight for {person}",
                "sew {amount} buttons on the [content]", "collect the [content] from {place}")),
            "lighting": ("spotlight", (
                "{verb} the [content] with {person}", "dim the [content] in act {amount}",
                "point the [content] at {place}", "the [content] flickers again")),
            "programme": ("leaflet", (
                "{verb} the [content] with {person}", "print {amount} copies of the [content]",
                "there is a spelling mistake in the [content]", "hand out the [content] at {place}")),
        },
    ),
    "bakery": (
        ("finish", "get going with", "check on"),
        {
            "bread": ("sourdough", (
                "{verb} the [content] for {person}", "how long must the [content] rise",
                "keep {amount} loaves of [content] until {day}", "is the [content] sold out at {place}")),
            "cakes": ("wedding cake", (
                "{verb} the [content] for {person}", "write a name on the [content]",
                "the [content] should have {amount} layers", "deliver the [content] to {place} {day}")),
            "ovens": ("oven", (
                "{verb} the [content] for {person}", "heat the [content] to {amount} degrees",
                "the [content] door does not close", "when was the [content] at {place} cleaned")),
            "flour": ("rye flour", (
                "{verb} the [content] for {person}", "we have only {amount} sacks of [content]",
                "who sells [content] near {place}", "weigh the [content] before {day}")),
            "allergies": ("hazelnuts", (
                "{verb} the [content] for {person}", "are there [content] in this roll",
                "{person} may not eat [content]", "leave the [content] out {day}")),
        },
    ),
    "cycling": (
        ("go over", "attend to", "work on"),
        {
            "tyres": ("tyre", (
                "{verb} the [content] {day}", "pump the [content] to {amount} bar",
                "my [content] went flat near {place}", "which [content] does {person} ride")),
            "routes": ("trail", (
                "{verb} the [content] {day}", "is the [content] to {place} steep",
                "find a [content] of {amount} kilometres", "share the [content] with {person}")),
            "locks": ("bike lock", (
                "{verb} the [content] {day}", "i forgot the code of my [content]",
                "{person} has the key to the [content]", "cut the [content] open at {place}")),
            "lamps": ("rear lamp", (
                "{verb} the [content] {day}", "charge the [content] for {amount} hours",
                "the [content] blinks instead of shining", "is a [content] required at {place}")),
            "races": ("race number", (
                "{verb} the [content] {day}", "where do i collect my [content]",
                "{person} wants [content] {amount}", "pin the [content] on before the start at {place}")),
        },
    ),
}  # fmt: skip
FILLERS: dict[str, tuple[str, ...]] = {
    "person": (
        "mum", "dad", "anna", "my boss", "ravi", "the neighbour", "lena", "tom", "grandma", "the kids",
        "omar", "my sister", "ines", "the team", "jonas", "yuki", "aunt may", "carlos", "the guests",
        "nina", "pavel", "zoe", "my cousin", "the twins", "amir", "bella", "uncle joe", "the coach",
        "fatima", "hugo",
    ),
    "day": (
        "today", "tomorrow", "on monday", "tonight", "on friday", "this weekend", "next week",
        "on sunday", "at noon", "before lunch", "on tuesday", "in the morning", "after work",
        "on thursday", "in may", "next month", "at six", "by evening", "on the third", "later",
        "on saturday", "in an hour", "before easter", "at dawn", "on wednesday", "this autumn",
        "at nine", "after dinner", "in june",
    ),
    "place": (
        "the corner", "home", "the market", "the station", "school", "the old mill", "the bridge",
        "main street", "the park", "the office", "the lake", "the town hall", "the church",
        "the airport", "the north gate", "the hospital", "the stadium", "the museum", "the square",
        "the beach", "the factory", "the pharmacy", "the hill", "the depot", "the campsite",
        "the tower", "the mall", "the ferry", "the zoo", "the cinema",
    ),
    "amount": (
        "two", "three", "ten", "five", "four", "twenty", "six", "twelve", "eight", "fifteen", "seven",
        "thirty", "nine", "fifty", "eleven", "forty", "sixteen", "eighty", "thirteen", "sixty",
        "fourteen", "ninety", "seventeen", "seventy", "eighteen", "hundred", "nineteen", "twenty one",
        "thirty five", "forty two",
    ),
}  # fmt: skip
SPLITS = ("train", "validation", "test")


def zipf(count: int) -> np.ndarray:
    """Return probabilities proportional to 1 / rank for `count` ranks."""
    weights = 1 / np.arange(1, count + 1)
    return weights / weights.sum()


def intent_templates(domain: str, intent: str, *, overlap: float) -> list[str]:
    """Return the four templates of an intent; the last `overlap` share of them is the next sibling's.

    The sibling's template keeps all its words but the content word, which becomes this intent's.
    """
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap: expected in [0, 1], found {overlap}")
    intents = list(GRAMMAR[domain][1])
    # All siblings copy from the first one, so that at 1 a domain's intents share every template.
    word, own = GRAMMAR[domain][1][intent]
    source = GRAMMAR[domain][1][intents[0]][1]
    copied = int(overlap * TEMPLATES + 0.5)
    templates = list(own[: TEMPLATES - copied]) + list(source[TEMPLATES - copied :])
    return [template.replace("[content]", word) for template in templates]


def _all_templates(overlap: float, grouping: str, rng: np.random.Generator) -> list[list[tuple[str, str]]]:
    """Return the (domain, template) pairs of every intent, in the order of the grammar."""
    templates = [
        [(domain, template) for template in intent_templates(domain, intent, overlap=overlap)]
        for domain, (_, intents) in GRAMMAR.items()
        for intent in intents
    ]
    if grouping == "dealt":
        flat = [entry for own in templates for entry in own]
        order = rng.permutation(len(flat))
        templates = [
            [flat[k] for k in order[start : start + TEMPLATES]] for start in range(0, len(flat), TEMPLATES)
        ]
    return templates


def _utterance(templates: list[tuple[str, str]], rng: np.random.Generator) -> str:
    domain, text = templates[rng.integers(len(templates))]
    verbs = GRAMMAR[domain][0]
    text = text.replace("{verb}", verbs[rng.integers(len(verbs))])
    for kind, words in FILLERS.items():
        if "{" + kind + "}" in text:
            text = text.replace(
                "{" + kind + "}", words[rng.choice(len(words), p=zipf(len(words)))].replace("-", " ")
            )
    return text


def _draw(templates: list[tuple[str, str]], count: int, rng: np.random.Generator) -> list[str]:
    """Draw up to `count` different utterances; fewer where the grammar has fewer."""
    found: dict[str, None] = {}
    for _ in range(20 * count):
        found.setdefault(_utterance(templates, rng))
        if len(found) == count:
            break
    return list(found)


def _frame(per_intent: dict[str, int], overlap: float, grouping: str, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    names = [(domain, intent) for domain, (_, intents) in GRAMMAR.items() for intent in intents]
    rows: list[tuple[str, str, str, str]] = []
    total = sum(per_intent.values())
    for (domain, intent), templates in zip(names, _all_templates(overlap, grouping, rng), strict=True):
        texts = _draw(templates, total, rng)
        order = rng.permutation(len(texts))
        bounds = (np.cumsum(list(per_intent.values()))[:-1] * len(texts)) // total
        for split, positions in zip(per_intent, np.split(order, bounds), strict=True):
            rows += [(texts[position], intent, domain, split) for position in positions]
    return pd.DataFrame(rows, columns=["text", "intent", "domain", "split"])


def generate_intents(
    *,
    seed: int,
    overlap: float = 0.0,
    grouping: Literal["meaning", "dealt"] = "meaning",
    train: int = 30,
    validation: int = 10,
    test: int = 20,
) -> IntentCorpus:
    """Return a corpus with up to the given utterances of each intent in each split, all texts different.

    The same arguments give the same corpus. Raises ValueError for an overlap outside [0, 1], an unknown
    grouping and splits smaller than one.
    """
    if grouping not in ("meaning", "dealt"):
        raise ValueError(f"grouping: expected 'meaning' or 'dealt', found {grouping!r}")
    if min(train, validation, test) < 1:
        raise ValueError(
            f"train, validation, test: expected at least 1 each, found {train}, {validation}, {test}"
        )
    frame = _frame({"train": train, "validation": validation, "test": test}, overlap, grouping, seed)
    duplicated = frame["text"].duplicated()
    frame = frame[~duplicated].reset_index(drop=True)
    digest = hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()
    use = DatasetUse(
        name="generated intents",
        version=f"{VERSION}, seed {seed}, overlap {overlap:g}, grouped by {grouping}",
        sha256=digest,
        licence="CC0-1.0 (generated)",
        rows={split: int((frame["split"] == split).sum()) for split in SPLITS},
        source="echobook.data.generators.intents",
    )
    dropped = {"same text in two intents": int(duplicated.sum())}
    return IntentCorpus("generated", frame, use, dropped)
