"""ADVIN's rooms: method, training, baselines, material, evaluation, experiment, own_data.

- `losses.py`: the losses of stages II and III, part of the method, which would pass 300 lines with them.
"""
