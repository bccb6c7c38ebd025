"""TANDA's rooms: method, training, baselines, material, evaluation, experiment, own_data.

- `starts.py`: the encoders that a recipe may start from, part of the method, which would pass 300 lines with
  them. The key of a kept row (`training.row_key`) hashes the text of `method.py` and `starts.py`: a change of
  one letter in either trains every kept row anew.
"""
