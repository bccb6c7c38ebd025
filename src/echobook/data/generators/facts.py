"""A world of facts: invented towns with attributes, written as sentences, asked about in other words.

An article holds one sentence for each attribute of a town. A question asks for one attribute; its candidates
are the sentence that states it and negatives of the kinds that a question-answering corpus offers: the same
town with another attribute, another town with the same attribute, the answer's string in another relation,
and sentences of no relation. To rank them, a model has to match the town's name and to know which wording of
a question goes with which wording of a statement.

Transfer set and target set have towns of their own. ``shared`` is the share of the target's attributes (with
their wordings) that the transfer set also has. At 0 no wording is shared: what can be transferred is at most
the matching of names, and a method that transfers is allowed to gain nothing. At 1 all are shared.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from echobook.data.qa import QACorpus, Row, to_frame
from echobook.data.types import DatasetUse, rows_digest

VERSION = "1"
T = TypeVar("T")
Attribute = tuple[str, tuple[str, str], tuple[str, str]]  # kind of value, questions, statements
GENERAL: tuple[Attribute, ...] = (
    ("person", ("who founded {e} ?", "{e} was started by whom ?"),
     ("{v} laid the first stone of {e} .", "the settlement {e} goes back to {v} .")),
    ("year", ("when was {e} founded ?", "how old is {e} ?"),
     ("records name {e} for the first time in {v} .", "{e} has existed since {v} .")),
    ("place", ("which river runs through {e} ?", "what water does {e} lie on ?"),
     ("boats reach {e} along the {v} .", "the {v} divides {e} in two halves .")),
    ("thing", ("what does {e} export ?", "which goods leave {e} ?"),
     ("traders buy {v} in {e} .", "most of the {v} in the country is shipped from {e} .")),
    ("person", ("who is the mayor of {e} ?", "who governs {e} ?"),
     ("{v} leads the council of {e} .", "voters of {e} elected {v} .")),
    ("place", ("where is {e} ?", "in which region can {e} be found ?"),
     ("{e} belongs to the province of {v} .", "the map shows {e} in the south of {v} .")),
    ("thing", ("what do people in {e} eat ?", "which dish is {e} known for ?"),
     ("cooks of {e} serve {v} .", "a plate of {v} is the pride of {e} .")),
    ("year", ("when did {e} burn down ?", "what year was the fire of {e} ?"),
     ("flames destroyed {e} in {v} .", "{e} was left in ashes in {v} .")),
    ("person", ("who wrote about {e} ?", "which author described {e} ?"),
     ("{v} set a novel in {e} .", "the diaries of {v} mention {e} .")),
    ("place", ("which mountain overlooks {e} ?", "what peak stands near {e} ?"),
     ("the slopes of {v} rise behind {e} .", "climbers start from {e} towards {v} .")),
    ("thing", ("what is made in {e} ?", "which product do factories of {e} turn out ?"),
     ("workshops in {e} manufacture {v} .", "{e} has an industry of {v} .")),
    ("person", ("who attacked {e} ?", "which general besieged {e} ?"),
     ("troops under {v} stormed {e} .", "{e} fell to the army of {v} .")),
)  # fmt: skip
SPECIAL: tuple[Attribute, ...] = (
    ("person", ("who designed the bridge at {e} ?", "name the engineer of the span in {e} ."),
     ("plans for the crossing of {e} were drawn by {v} .", "{v} built the arches at {e} .")),
    ("year", ("when did trains first stop at {e} ?", "what year did {e} get a station ?"),
     ("the railway came to {e} in {v} .", "{e} was connected to the line in {v} .")),
    ("thing", ("what is on display in the museum of {e} ?", "what can visitors look at in {e} ?"),
     ("a collection of {v} fills the halls of {e} .", "{e} keeps old {v} behind glass .")),
    ("place", ("which town is twinned with {e} ?", "who is the partner city of {e} ?"),
     ("{e} and {v} signed a treaty of friendship .", "pupils from {v} visit {e} .")),
    ("person", ("which singer was born in {e} ?", "what musician comes from {e} ?"),
     ("{v} spent a childhood in {e} and sang .", "the voice of {v} was first heard in {e} .")),
    ("thing", ("what grows around {e} ?", "which crop do farmers of {e} plant ?"),
     ("fields of {v} surround {e} .", "the soil of {e} suits {v} .")),
    ("year", ("when was the school of {e} opened ?", "since when are children taught in {e} ?"),
     ("lessons began at {e} in {v} .", "{e} has had classrooms from {v} on .")),
    ("place", ("where does the bus from {e} go ?", "what is the last stop of the coach from {e} ?"),
     ("passengers leave {e} for {v} .", "a daily service links {e} with {v} .")),
)  # fmt: skip
FIRST = (
    "anna",
    "boris",
    "clara",
    "david",
    "elena",
    "felix",
    "greta",
    "henry",
    "irene",
    "jakob",
    "karin",
    "louis",
)
LAST = (
    "miller",
    "stone",
    "fisher",
    "baker",
    "wood",
    "hill",
    "archer",
    "gardner",
    "potter",
    "mason",
    "carter",
)
THINGS = (
    "copper", "barley", "wool", "glass", "paper", "salmon", "honey", "lamps", "clocks", "boots", "cheese",
    "olives", "silk", "ropes", "apples", "salt", "bells", "violins", "plums", "tiles",
)  # fmt: skip
START = (
    "bar",
    "cor",
    "del",
    "fal",
    "gor",
    "hal",
    "kel",
    "lor",
    "mar",
    "nor",
    "pel",
    "ros",
    "sel",
    "tor",
    "var",
)
MIDDLE = ("a", "en", "i", "o", "un", "ar")
END = ("burg", "dale", "field", "ford", "ham", "mouth", "stad", "ton", "ville", "wick", "wood", "gate")


def fact_world(
    *, seed: int, shared: float = 0.5, transfer: int = 1500, target: int = 150, held_out: int = 150
) -> QACorpus:
    """Question-candidate rows, six candidates a question; deterministic for a seed.

    Args:
        shared: share of the target's attributes that the transfer set has too, 0 to 1.
        transfer, target, held_out: questions for transfer, for target training, for each of dev and test.

    Returns:
        splits ``transfer``, ``transfer-random`` (negatives of no relation only), ``train``, ``validation``,
        ``test``.

    Raises:
        ValueError: a number out of range.
    """
    if not 0 <= shared <= 1 or min(transfer, target, held_out) < 2:
        sizes = (transfer, target, held_out)
        raise ValueError(f"expected shared in [0, 1] and at least 2 questions, got {shared} and {sizes}")
    random = np.random.default_rng([seed, 7])
    count = round(shared * len(SPECIAL))
    asked = (*GENERAL[:count], *SPECIAL[count:])
    names = _towns(random, transfer // 4 + target // 3 + 2 * held_out // 3 + 60)
    cut = transfer // 4 + 20
    general, special = names[:cut], names[cut:]
    size = len(special) // 3
    parts = {
        "transfer": _questions("t", general, GENERAL, transfer, random),
        "transfer-random": _questions("r", general, GENERAL, transfer, random, hard=False),
        "train": _questions("a", special[:size], asked, target, random),
        "validation": _questions("b", special[size : 2 * size], asked, held_out, random),
        "test": _questions("c", special[2 * size :], asked, held_out, random),
    }
    frame = to_frame(parts)
    digest = rows_digest(frame.astype(str).itertuples(index=False, name=None))
    rows = {split: len(part) for split, part in parts.items()}
    version = f"{VERSION}, seed {seed}, shared {shared:g}"
    use = DatasetUse(f"generated facts {shared:g}", version, digest, "CC0-1.0 (generated)", rows, __name__)
    return QACorpus("generated facts", frame, use)


def _towns(random: np.random.Generator, count: int) -> list[str]:
    """Distinct invented names in random order."""
    names = [a + b + c for a in START for b in MIDDLE for c in END]
    if count > len(names):
        raise ValueError(f"{count} towns are needed and {len(names)} can be named; ask for fewer questions")
    return [names[i] for i in random.permutation(len(names))[:count]]


def _pick(things: Sequence[T], random: np.random.Generator) -> T:
    return things[int(random.integers(len(things)))]


def _value(kind: str, random: np.random.Generator) -> str:
    if kind == "person":
        return f"{_pick(FIRST, random)} {_pick(LAST, random)}"
    if kind == "year":
        return str(random.integers(1100, 2000))
    if kind == "thing":
        return _pick(THINGS, random)
    return _pick(START, random) + _pick(MIDDLE, random) + "land"


def _questions(
    prefix: str,
    towns: Sequence[str],
    attributes: Sequence[Attribute],
    count: int,
    random: np.random.Generator,
    *,
    hard: bool = True,
) -> list[Row]:
    """``count`` questions with a positive and five negatives each, candidates in random order."""
    rows: list[Row] = []
    for number in range(count):
        town, wanted = _pick(towns, random), int(random.integers(len(attributes)))
        kind, questions, statements = attributes[wanted]
        answer = _value(kind, random)
        positive = _pick(statements, random).format(e=town, v=answer)
        question = _pick(questions, random).format(e=town)
        draw = _hard_negatives if hard else _unrelated
        candidates = [
            (positive, 1),
            *((text, 0) for text in draw(town, wanted, answer, towns, attributes, random)),
        ]
        id_ = f"{prefix}{number}"
        rows += [(number, id_, question, *candidates[i]) for i in random.permutation(len(candidates))]
    return rows


def _hard_negatives(
    town: str,
    wanted: int,
    answer: str,
    towns: Sequence[str],
    attributes: Sequence[Attribute],
    random: np.random.Generator,
) -> list[str]:
    """Two other attributes of the town, the attribute of another, the answer elsewhere, one unrelated."""
    others = [i for i in range(len(attributes)) if i != wanted]
    first, second, third = random.permutation(others)[:3].tolist()
    away = [name for name in towns if name != town]
    alike = [i for i in others if attributes[i][0] == attributes[wanted][0]]
    return [
        _state(attributes[first], town, "", random),
        _state(attributes[second], town, "", random),
        _state(attributes[wanted], _pick(away, random), "", random),
        _state(_pick([attributes[i] for i in alike or others], random), _pick(away, random), answer, random),
        _state(attributes[third], _pick(away, random), "", random),
    ]


def _unrelated(
    town: str,
    wanted: int,
    answer: str,
    towns: Sequence[str],
    attributes: Sequence[Attribute],
    random: np.random.Generator,
) -> list[str]:
    """Five sentences about other towns' other attributes."""
    rest = [attribute for i, attribute in enumerate(attributes) if i != wanted]
    away = [name for name in towns if name != town]
    return [_state(_pick(rest, random), _pick(away, random), "", random) for _ in range(5)]


def _state(attribute: Attribute, town: str, value: str, random: np.random.Generator) -> str:
    kind, _, statements = attribute
    return _pick(statements, random).format(e=town, v=value or _value(kind, random))
