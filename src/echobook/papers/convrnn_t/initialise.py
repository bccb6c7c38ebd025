"""Starting weights of the LSTM stacks.

With PyTorch's default, a layer of LSTM, projection and Swish passes on about a twentieth of the signal's
variation over time, so that three of them leave next to nothing and training does not leave the plateau on
which the encoder is ignored. These weights keep it at the same order. The paper does not state its own.
"""

import torch
from torch import nn

from echobook.speech.model import LSTMEncoder


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Set the LSTMs and the projections behind them anew, in place; other parts keep their weights.

    Input weights Xavier-uniform and recurrent weights orthogonal, gate by gate; biases 0, but 1 for the
    forget gate; projections Xavier-uniform with gain 2, which makes up for Swish halving small values.
    """
    for part in module.modules():
        if isinstance(part, nn.LSTM):
            _lstm(part)
        elif isinstance(part, LSTMEncoder):
            for projection in part.projections:
                assert isinstance(projection, nn.Linear)
                nn.init.xavier_uniform_(projection.weight, gain=2.0)
                nn.init.zeros_(projection.bias)


def _lstm(lstm: nn.LSTM) -> None:
    for name, weight in lstm.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(weight)
            if name.startswith("bias_ih"):
                weight[lstm.hidden_size : 2 * lstm.hidden_size] = 1
            continue
        for gate in weight.view(4, lstm.hidden_size, -1):
            (nn.init.orthogonal_ if "weight_hh" in name else nn.init.xavier_uniform_)(gate)
