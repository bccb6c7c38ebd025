"""Who did they respond to? The masked hierarchical transformer (Zhu et al. 2020).

Beside the rooms that every paper has:

- `features.py`: the 77 pair features of Kummerfeld et al. (2019), with which IRC models start
- `generator.py`: the embedded world of threads in which only an ancestor tells two candidates apart
- `batches.py`: from conversations to padded tensors, shared by all models
- `checks.py`: what our own code must do, as one distance each, for the page and the tests
- `stages.py`: the two training stages, the second of which tunes the encoder's last layer
"""
