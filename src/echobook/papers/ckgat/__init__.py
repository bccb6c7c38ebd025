"""C-KGAT (Ma et al. 2022): recipes recommended over a knowledge graph, with a contrastive loss.

Beside the rooms that every paper has:

- `worlds.py`: the generated kitchen, Allrecipes and Last.FM as worlds
- `knowledge.py`: the translation model of the graph's facts, a part of the method
- `checks.py`: what our own code must do, each as one distance, for the page and the tests
- `rates.py`: how each model's learning rate and strength of contrast are chosen, the same rule for all
- `trials.py`: the trials behind the rates, written by `bench/ckgat_rates.py`
"""
