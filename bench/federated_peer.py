"""FedAvg on a toy problem, ours and Flower's: python bench/federated_peer.py {echobook,flower} FILE.

The same softmax regression, the same devices in the same order, every device in every round, full-batch
local steps: nothing random is left. Each side writes its weights after every round to FILE (.npz); run
both, then

    python bench/federated_peer.py compare A.npz B.npz

prints the largest gap (bar 1e-6). Flower's side uses its strategy (FedAvg, with `configure_fit`,
`aggregate_fit` and a client manager) without its network: clients are called in this process.
"""

import json
import sys

import numpy as np

DEVICES, FEATURES, CLASSES, ROUNDS, EPOCHS, RATE = 7, 5, 4, 12, 3, 0.4


def toy() -> list[tuple[np.ndarray, np.ndarray]]:
    """Examples of each device: 3, 6, 9, ... of random features and classes."""
    rng = np.random.default_rng(0)
    sizes = 3 * np.arange(1, DEVICES + 1)
    return [
        (rng.standard_normal((n, FEATURES)).astype(np.float32), rng.integers(0, CLASSES, n)) for n in sizes
    ]


def ours() -> np.ndarray:
    """Weights (ROUNDS, P) of echobook's kernel."""
    from echobook.federated.aggregation import BySamples
    from echobook.federated.fleet import fleet_of_parts
    from echobook.federated.local import LocalTraining
    from echobook.federated.models import Softmax
    from echobook.federated.rounds import Federation, run_rounds
    from echobook.federated.selection import ByActivity

    data = toy()
    x, y = np.concatenate([x for x, _ in data]), np.concatenate([y for _, y in data])
    cuts = np.cumsum([len(y) for _, y in data])
    fleet = fleet_of_parts(x, y, np.split(np.arange(len(y)), cuts[:-1]))
    local = LocalTraining(rate=RATE, epochs=EPOCHS, batch=len(y))
    model = Softmax(FEATURES, CLASSES)
    federation = Federation(model, local, ByActivity(0.0), BySamples(), m=DEVICES)
    states = run_rounds(federation, fleet, model.start(0), rounds=ROUNDS, seed=0)
    return np.stack([state.theta for state in states])


def step(w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One full-batch gradient step of softmax regression, float32."""
    z = x @ w + b
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    p /= len(y)
    return w - RATE * (x.T @ p), b - RATE * p.sum(axis=0)


def theirs() -> np.ndarray:
    """Weights (ROUNDS, P) of Flower's FedAvg."""
    from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
    from flwr.server.client_manager import SimpleClientManager
    from flwr.server.client_proxy import ClientProxy
    from flwr.server.strategy import FedAvg

    data = toy()

    class Device(ClientProxy):
        """A device in this process."""

        def fit(self, ins, timeout, group_id):  # type: ignore[no-untyped-def]
            w, b = parameters_to_ndarrays(ins.parameters)
            x, y = data[int(self.cid)]
            for _ in range(EPOCHS):
                w, b = step(w, b, x, y)
            return FitRes(Status(Code.OK, ""), ndarrays_to_parameters([w, b]), len(y), {})

        def get_properties(self, ins, timeout, group_id):  # type: ignore[no-untyped-def]
            raise NotImplementedError

        get_parameters = evaluate = reconnect = get_properties

    manager = SimpleClientManager()
    for number in range(DEVICES):
        manager.register(Device(str(number)))
    zeros = [np.zeros((FEATURES, CLASSES), np.float32), np.zeros(CLASSES, np.float32)]
    strategy, found = FedAvg(fraction_fit=1.0, min_fit_clients=DEVICES, min_available_clients=DEVICES), []
    parameters = ndarrays_to_parameters(zeros)
    for number in range(1, ROUNDS + 1):
        asked = strategy.configure_fit(number, parameters, manager)
        asked = sorted(asked, key=lambda pair: int(pair[0].cid))  # the same order of sums
        answers = [(device, device.fit(ins, None, None)) for device, ins in asked]
        parameters, _ = strategy.aggregate_fit(number, answers, [])
        found.append(np.concatenate([part.ravel() for part in parameters_to_ndarrays(parameters)]))
    return np.stack(found)


if __name__ == "__main__":
    what, *files = sys.argv[1:]
    if what == "compare":
        one, other = (np.load(file)["weights"] for file in files)
        gap = float(np.abs(one - other).max())
        sys.stdout.write(
            json.dumps({"rounds": len(one), "largest_gap": gap, "largest_weight": float(np.abs(one).max())})
            + "\n"
        )
    else:
        np.savez(files[0], weights={"echobook": ours, "flower": theirs}[what]())
