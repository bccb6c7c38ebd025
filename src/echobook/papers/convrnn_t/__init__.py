"""ConvRNN-T's rooms: model, training, baselines, material, evaluation, experiment, own_data.

- `layers.py`: causal blocks that the model and its baselines share; the model would pass 300 lines with them.
- `rates.py`: the search for a learning rate of each model, with the outcome of its trials. It is composed of
  `experiment` and `training`, and the experiment reads what it chose.
- `sizes.py`: models of the paper's own size, counted and never trained.
"""
