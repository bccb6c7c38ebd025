"""Class probabilities of a fine-tuned classifier, in input order.

Letters: N examples, K classes. Examples are sorted by length, so that a batch holds little padding, and a
batch is padded to a multiple of two tokens only: without gradients the plans of many shapes take little
memory, and every token of padding takes time.
"""

import numpy as np
import torch
from jaxtyping import Float

from echobook.text.batches import Encoded, pad_batch
from echobook.text.heads import Classifier

MULTIPLE = 2


def predict(
    model: Classifier,
    encoded: Encoded,
    task: str,
    *,
    batch_size: int = 64,
    bf16: bool = False,
    multiple: int = MULTIPLE,
) -> Float[np.ndarray, "N K"]:
    """Class probabilities of each example, float64, rows sum to 1, dropout off.

    Args:
        multiple: the padded length of a batch is a multiple of it. A process that also trains may take the
            training batches' own and so add no shapes.
    """
    order = np.argsort(encoded.lengths, kind="stable").tolist()
    training = model.training
    model.eval()
    parts = []
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        for start in range(0, len(order), batch_size):
            batch = pad_batch(encoded, order[start : start + batch_size], multiple=multiple)
            logits = model(batch, task)
            parts.append(logits.double().softmax(dim=1))
    model.train(training)
    found = np.empty((len(order), parts[0].shape[1]))
    found[order] = torch.cat(parts).numpy()
    return found
