"""What one device does in a round: a few epochs of SGD from the server's weights.

    w <- w - rate * (gradient of the batch + proximal * (w - w_server))

With ``proximal`` = 0 this is FedAvg's local training (McMahan et al. 2017), else FedProx (Li et al. 2020).
The order of the examples in each epoch comes from the generator that is passed in; the last batch of an
epoch may be smaller. Time O(epochs * examples * parameters / batch) for small batches; memory
O(parameters).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int

from echobook.federated.models import Model


@dataclass(frozen=True)
class LocalTraining:
    """Settings of local training.

    Attributes:
        rate: learning rate, > 0.
        epochs: passes over the device's examples, >= 1.
        batch: examples of a step, >= 1.
        proximal: FedProx's mu, >= 0.

    Raises:
        ValueError: a setting outside its range.
    """

    rate: float
    epochs: int = 1
    batch: int = 16
    proximal: float = 0.0

    def __post_init__(self) -> None:
        if not self.rate > 0 or self.epochs < 1 or self.batch < 1 or not self.proximal >= 0:
            raise ValueError(
                "local training: expected rate > 0, epochs >= 1, batch >= 1, proximal >= 0; got "
                f"{self.rate}, {self.epochs}, {self.batch}, {self.proximal}"
            )

    def train(
        self,
        model: Model,
        server: Float32[np.ndarray, " P"],
        x: Float32[np.ndarray, "B D"],
        y: Int[np.ndarray, " B"],
        rng: np.random.Generator,
    ) -> Float32[np.ndarray, " P"]:
        """The device's weights after local training; ``server`` is left as it is.

        Raises ValueError for a device without an example.
        """
        if not len(y):
            raise ValueError("local training: the device has no example")
        theta, step = server.copy(), np.empty_like(server)
        for _ in range(self.epochs):
            order = rng.permutation(len(y))
            for first in range(0, len(y), self.batch):
                chosen = order[first : first + self.batch]
                model.gradient(theta, x[chosen], y[chosen], step)
                if self.proximal:
                    step += np.float32(self.proximal) * (theta - server)
                step *= np.float32(self.rate)
                theta -= step
        return theta
