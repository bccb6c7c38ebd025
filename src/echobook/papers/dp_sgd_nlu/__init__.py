"""eDP-SGD's rooms: method, model, training, baselines, material, evaluation, experiment, own_data.

- `keeping.py`: rows that were trained once, for runs that were killed.
- `top_layer.py`: MiniLM of which the top layer is trained; part of the model, on a frozen
  checkpoint of its own.
"""
