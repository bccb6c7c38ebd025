"""What a model costs: parameters, multiply-accumulates counted by hooks during one forward pass, real-time
factor.

A multiply-accumulate (MAC) is one product added to a sum; biases, norms, activations, dropout and look-ups
count 0. Per output value: Linear: inputs; convolution: kernel size * input channels / groups; LSTM: 4 hidden
(inputs + hidden) per step and layer, GRU: 3. Matrix products written out in a module's own forward (attention
scores) are invisible to hooks: give a rule for that module. FLOPs are about twice the MACs.

Counts depend on shapes alone, so a model on the meta device is counted without memory or time.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Rule = Callable[[Any, tuple[Any, ...], Any], int]


def count_parameters(module: nn.Module, *, trainable_only: bool = False) -> int:
    """Number of parameters; a parameter shared by several modules counts once."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable_only)


def count_macs(
    module: nn.Module, *inputs: Any, rules: Mapping[type[nn.Module], Rule] | None = None
) -> dict[str, int]:
    """MACs of `module(*inputs)` per submodule that computes, by dotted name ("" is the module itself).

    rules: {type: rule(module, inputs, output) -> MACs} for further types, or in place of the built-in ones; a
    rule counts its module alone if it computes with parameters of its own: submodules are counted too.
    Raises ValueError naming a submodule that holds parameters and has no rule, before anything is run.
    """
    known = {**RULES, **(rules or {})}
    chosen = {name: _rule(part, known) for name, part in module.named_modules()}
    for name, part in module.named_modules():
        if chosen[name] is None and any(True for _ in part.parameters(recurse=False)):
            kind = type(part).__name__
            raise ValueError(f"no counting rule for {name or 'the module'} of type {kind}; pass one in rules")
    macs: dict[str, int] = {}
    handles = [
        part.register_forward_hook(_hook(macs, name, rule))
        for name, part in module.named_modules()
        if (rule := chosen[name]) is not None
    ]
    try:
        with torch.no_grad():
            module(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return {name: count for name, count in macs.items() if count}


def real_time_factor(cpu_seconds: float, audio_seconds: float) -> float:
    """Seconds of computing per second of audio: below 1 keeps up with speech."""
    if cpu_seconds < 0 or not audio_seconds > 0:
        raise ValueError(
            f"expected cpu_seconds >= 0 and audio_seconds > 0; got {cpu_seconds}, {audio_seconds}"
        )
    return cpu_seconds / audio_seconds


def _rule(part: nn.Module, known: Mapping[type[nn.Module], Rule]) -> Rule | None:
    """The rule of the nearest class among the part's bases."""
    return next((known[base] for base in type(part).__mro__ if base in known), None)


def _hook(macs: dict[str, int], name: str, rule: Rule) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    def add(part: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        macs[name] = macs.get(name, 0) + rule(part, inputs, output)

    return add


def _linear(part: nn.Linear, inputs: tuple[Any, ...], output: Tensor) -> int:
    return output.numel() * part.in_features


def _convolution(part: nn.Conv1d | nn.Conv2d, inputs: tuple[Any, ...], output: Tensor) -> int:
    window = 1
    for size in part.kernel_size:
        window *= size
    return output.numel() * window * part.in_channels // part.groups


def _recurrent(part: nn.RNNBase, inputs: tuple[Any, ...], output: Any) -> int:
    """Every step multiplies each weight matrix once, in all layers and directions."""
    features = inputs[0]
    steps = features.shape[:-1].numel()  # batch times time
    return steps * sum(w.numel() for name, w in part.named_parameters() if name.startswith("weight"))


def _nothing(part: nn.Module, inputs: tuple[Any, ...], output: Any) -> int:
    return 0


RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.LSTM: _recurrent,
    nn.GRU: _recurrent,
    nn.Embedding: _nothing,
    nn.LayerNorm: _nothing,
    nn.BatchNorm1d: _nothing,
    nn.BatchNorm2d: _nothing,
    nn.GroupNorm: _nothing,
}
