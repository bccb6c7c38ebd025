"""Rooms of contextual speech recognition: model, training, baselines, material, evaluation, experiment.

The reader's own data come through the store's tables; there is no separate call for them yet.

- `context.py`: encodes lists of entries; `parts.py`: adapter, combiner and carry-over, which let context in;
  `acts.py`: what the assistant has just done, as a vector. All three belong to the model, which would pass
  300 lines with them.
- `guidance.py`: where attention should look while it is trained; training would pass 300 lines with it.
- `vocabulary.py`: the words and names of the dialogues; material would pass 300 lines with it.
- `serving.py`: an experiment of its own, which plays turns by way of the context store.
"""
