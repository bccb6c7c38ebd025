"""Train one architecture on strings of Arabic Speech Commands and score it on development speakers.

    python bench/speech_pilot.py FOLDER MODEL SEED [--rate 1e-3] [--strings 1800] [--count 5000]

FOLDER keeps the material of a seed, a checkpoint of each stage (a killed run goes on from it) and one JSON
file a run: dev curve, WER by condition and length, WER by speaker, CPU seconds. Seeds from 1000 on; no string
is made of test speakers. Sizes are matched within 3 %.
"""

import argparse
import json
import pickle
import time
from pathlib import Path
from typing import Any

from echobook.data.arabic_commands import load_arabic_commands, registered_words
from echobook.data.fetch import fetch
from echobook.metrics.cost import count_parameters
from echobook.metrics.wer import total, word_errors
from echobook.papers.convrnn_t.experiment import Sizes, build
from echobook.speech.corpora import WordLabels
from echobook.speech.decoding import greedy
from echobook.speech.features import FrontEnd, LogMel, Stripes, global_statistics, stack_frames
from echobook.speech.strings import TRAINING, Noise, StringSettings, compose, single_words, word_pool
from echobook.speech.training import Example, collate
from echobook.speech.warm_start import recipe, train_from_words

SIZES = Sizes(120, encoding=96, hidden=100, baseline_hidden=204, conformer=76, contextnet=(76, 120))
CONDITIONS = {
    "clean": Noise(),
    "white10": Noise("white", (10.0, 10.0)),
    "babble5": Noise("babble", (5.0, 5.0)),
}
LENGTHS = {"2-4": ((2, 4), 300), "12-20": ((12, 20), 60)}
SELECTED = 50  # strings of each condition by which weights are chosen


def material(folder: Path, seed: int, count: int) -> dict[str, Any]:
    """Examples of a seed, made once and kept; pickled by this program alone."""
    path = folder / f"material-{seed}-{count}.pkl"
    if path.is_file():
        return pickle.loads(path.read_bytes())
    corpus = load_arabic_commands(fetch("arabic_speech_commands"), words=registered_words())
    pools = {split: word_pool(corpus.splits[split], sample_rate=16000) for split in ("train", "dev")}
    labels, log_mel = WordLabels(corpus.words), LogMel(sample_rate=16000, mels=40, floor=1e-3)
    strings = compose(pools["train"], count, TRAINING, seed=seed, name="train")
    words = single_words(pools["train"], 2880, TRAINING, seed=seed, name="words")
    energies = [log_mel(u.audio) for u in strings]
    front_end = FrontEnd(log_mel, global_statistics(energies))
    normalise = front_end.statistics.normalise
    dev = {}
    for length, (span, size) in LENGTHS.items():
        for condition, noise in CONDITIONS.items():
            name, settings = f"dev-{length}-{condition}", StringSettings(span, noises=(noise,))
            rows = compose(pools["dev"], size, settings, seed=seed, name=name, babblers=pools["train"])
            dev[f"{length}/{condition}"] = [
                (Example(front_end(u.audio), labels.encode(u.text), u.text), u.speaker) for u in rows
            ]
    made = {
        "train": [
            Example(normalise(e), labels.encode(u.text)) for e, u in zip(energies, strings, strict=True)
        ],
        "words": [Example(normalise(log_mel(u.audio)), labels.encode(u.text)) for u in words],
        "dev": dev,
        "labels": labels,
    }
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(pickle.dumps(made))
    temporary.replace(path)
    return made


def errors(model: Any, rows: list[Example], labels: WordLabels) -> list[Any]:
    """Word errors of each string; a dev example's name is its text."""
    found = []
    for start in range(0, len(rows), 100):
        batch = collate(rows[start : start + 100])
        heard = [labels.decode(h.labels) for h in greedy(model, batch.frames, batch.lengths)]
        found += word_errors([e.name for e in rows[start : start + 100]], heard)
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model")
    parser.add_argument("seed", type=int)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--strings", type=int, default=1800)
    parser.add_argument("--count", type=int, default=5000)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    data, masks = material(options.folder, options.seed, options.count), Stripes()
    labels, name = data["labels"], f"{options.model}-{options.seed}-{options.rate:g}-{options.strings}"
    chosen = [e for c in CONDITIONS for e, _ in data["dev"][f"2-4/{c}"][:SELECTED]]
    model = build(options.model, sizes=SIZES, classes=labels.classes, seed=options.seed)

    def development(candidate: Any) -> float:
        rate = total(errors(candidate, chosen, labels)).rate
        print(f"{time.process_time():.0f} CPU-s  dev WER {rate:.4f}", flush=True)
        return rate

    start = time.process_time()
    course = train_from_words(
        model,
        words=data["words"],
        strings=data["train"],
        recipe=recipe(seed=options.seed, strings=options.strings, rate=options.rate),
        evaluate=development,
        augment=lambda features, generator: stack_frames(masks(features, generator)),
        folder=options.folder / name,
    )
    found: dict[str, Any] = {
        "model": options.model,
        "parameters": count_parameters(model),
        "cpu_seconds": time.process_time() - start,
        "curve": course.strings.scores,
        "wer": {},
        "speakers": {},
    }
    for key, rows in data["dev"].items():
        scores = errors(model, [e for e, _ in rows], labels)
        found["wer"][key] = total(scores).rate
        people = sorted({who for _, who in rows})
        pairs = list(zip(scores, rows, strict=True))
        found["speakers"][key] = {p: total([s for s, (_, w) in pairs if w == p]).rate for p in people}
    (options.folder / f"{name}.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
