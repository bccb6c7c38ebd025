"""What our own code must do, as one figure each: a distance that has to be zero, or nearly."""

import numpy as np

from echobook.dialogue.threads import ancestor_steps
from echobook.papers.masked_hierarchical_transformer.experiment import Sizes, build
from echobook.papers.masked_hierarchical_transformer.generator import ThreadWorld, generated_pools
from echobook.papers.masked_hierarchical_transformer.material import Pool
from echobook.papers.masked_hierarchical_transformer.model import Ancestors, reading_mask
from echobook.papers.masked_hierarchical_transformer.training import FixedMasks, Scorer

FIGURE_PARENTS = [(), (0,), (1,), (1,), (2,)]  # 0 <- 1, 1 <- 2, 1 <- 3, 2 <- 4; the target comes last
FIGURE_MASK = ["100001", "110001", "111001", "110101", "111011", "000001"]  # row reads column


def figure_mask() -> float:
    """Entries of the mask of the paper's figure that differ from the printed ones."""
    mask = reading_mask(Ancestors(), ancestor_steps(FIGURE_PARENTS), np.random.default_rng)
    printed = np.array([[int(entry) for entry in row] for row in FIGURE_MASK])
    return float((mask != printed).sum())


def leak(seed: int) -> float:
    """Largest change of a candidate's logit when all messages that it may not read are replaced, over a
    thread and four layers of random weights."""
    world = ThreadWorld(threads=4, messages=8)
    pools, _ = generated_pools(world, seed=seed)
    pool = Pool(pools["test"].conversations[:1], pools["test"].vectors[:8].copy())
    model = build("ours", pool.vectors.shape[1], Sizes(16, 32), seed=seed)
    scorer = Scorer(model, FixedMasks(Ancestors(), seed), (), 0.0, False)
    case, steps = (0, len(pool.conversations[0].targets) - 1), pool.conversations[0].steps
    before, worst = scorer.logits(pool, [case])[0], 0.0
    for row in range(len(before) - 1):
        read = (steps[row] > 0) | (np.arange(8) == row) | (np.arange(8) == 7)
        other = Pool(pool.conversations, np.where(read[:, None], pool.vectors, 3.0 - pool.vectors))
        worst = max(worst, float(abs(scorer.logits(other, [case])[0][row] - before[row])))
    return worst
