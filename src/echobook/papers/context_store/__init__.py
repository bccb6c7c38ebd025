"""Rooms of the context store: material (the generator of interactions) and experiment.

The method, two tables in which every write decides on the image it gets back, is `echobook.store.protocol`: a
kernel, because contextual speech recognition uses it too. Its rivals are in `echobook.store.designs`. Nothing
is trained, so there is no training and no evaluation apart from the experiments, each a file of its own,
because together they pass 300 lines by far:

- `faults.py`: every fault that a follow-up may meet; `nonsense.py`: a server that answers with anything.
- `timing.py`: is the vector there in time, in simulated time.
- `load.py`: measured throughput and latency; `shard.py`: what one process of a load does.
- `demonstration.py`: the live view of `make context-demo`.
"""
