"""Per-example gradients formed one by one: the fallback for layers without a ghost norm, and the slow oracle.

Memory O(B P) for B examples and P parameters. Uses `torch.func`, so the model must be a pure function of its
parameters and inputs.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

Gradients = dict[str, Tensor]
Forward = Callable[..., Tensor]


def example_gradients(model: nn.Module, loss: Callable[..., Tensor], *inputs: Tensor) -> Gradients:
    """Gradient of each example's loss, by parameter: (B, ...) tensors.

    Args: model: its trainable parameters are differentiated. loss: ``loss(call, *example)`` for one
        example, inputs without the batch axis; ``call(*arguments)`` runs the model with the parameters
        being differentiated. inputs: tensors with B on the first axis."""
    trainable = {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}
    fixed = {name: weight.detach() for name, weight in model.named_parameters() if not weight.requires_grad}
    buffers = dict(model.named_buffers())

    def of_one(weights: dict[str, Tensor], *example: Tensor) -> Tensor:
        return loss(lambda *a: functional_call(model, weights | fixed | buffers, a), *example)

    return vmap(grad(of_one), in_dims=(None, *([0] * len(inputs))), randomness="different")(
        trainable, *inputs
    )


def flat_norms(gradients: Gradients) -> Float[Tensor, "B"]:
    """Norm of each example's whole gradient."""
    return torch.stack([part.flatten(1).pow(2).sum(1) for part in gradients.values()]).sum(0).sqrt()
