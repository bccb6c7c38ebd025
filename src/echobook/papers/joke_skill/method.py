"""The two implicit labels of a told joke, and the logistic regression with crosses that went online.

A joke told at time t is labelled by the customer's later requests r for a joke:

    reuse  1 when some 0 < r - t <= 5 minutes           return  1 when some 1 hour <= r - t <= 25 hours

Requests in the gap between the windows count for neither. A label is known only once its window is over, so
the last 25 hours of a log are dropped (they are censored). One request can fall into the windows of several
earlier jokes; ``credit`` says whether all of them get it or only the last joke before the request. For reuse
both are the same: if any request falls within the window, the next one does.

The model is one linear score through a logistic function, fitted with an L2 penalty,

    p = sigma(w . phi(u, j, x) + b),    L = - sum_n c_n [y log p + (1 - y) log(1 - p)] + lambda/2 |w|^2,

with class weights c_n. What makes it personal are products of features of customer and joke; without them
everything about the customer adds the same to all jokes. Axes: N told jokes, J jokes, F features.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit

MINUTE, HOUR = 60, 3600
LABELS = ("reuse", "back")
RATES = {"reuse": 0.5, "back": 0.2}  # of the paper's sample
Credit = Literal["all", "last"]


@dataclass(frozen=True)
class Windows:
    """Windows of the two labels in seconds, ends included, and who is credited for a request.

    Raises:
        ValueError: windows that overlap or are empty.
    """

    reuse: int = 5 * MINUTE
    return_from: int = HOUR
    return_to: int = 25 * HOUR
    credit: Credit = "all"

    def __post_init__(self) -> None:
        if not 0 < self.reuse <= self.return_from < self.return_to:
            raise ValueError(
                "windows: expected 0 < reuse <= return_from < return_to, got "
                f"{self.reuse}, {self.return_from}, {self.return_to} seconds"
            )


PAPER_WINDOWS = Windows()


def implicit_labels(
    times: Int[np.ndarray, " N"], windows: Windows = PAPER_WINDOWS
) -> tuple[Bool[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Labels (reuse, return) of the jokes told to one customer at increasing seconds.

    Raises:
        ValueError: the clock stands still or goes backwards; the row is named.
    """
    gaps = np.diff(times)
    if (gaps <= 0).any():
        row = int(np.argmax(gaps <= 0)) + 1
        before, found = times[row - 1], times[row]
        raise ValueError(f"row {row}: expected a time after {before}, got {found}")
    reuse, back = np.zeros(len(times), dtype=bool), np.zeros(len(times), dtype=bool)
    reuse[:-1] = gaps <= windows.reuse
    if windows.credit == "last":
        back[:-1] = (gaps >= windows.return_from) & (gaps <= windows.return_to)
    else:
        first = np.searchsorted(times, times + windows.return_from, side="left")
        found = first < len(times)
        back[found] = times[first[found]] - times[found] <= windows.return_to
    return reuse, back


def censored(
    times: Int[np.ndarray, " N"], end: int, windows: Windows = PAPER_WINDOWS
) -> Bool[np.ndarray, " N"]:
    """Which jokes were told too late for their labels to be known at second ``end``."""
    return times > end - windows.return_to


@dataclass(frozen=True)
class Logistic:
    """A fitted logistic regression: weights of the features and the intercept."""

    weights: Float[np.ndarray, " F"]
    intercept: float

    def scores(self, features: sparse.csr_matrix) -> Float[np.ndarray, " N"]:
        """Log-odds of each row."""
        return features @ self.weights + self.intercept


def class_weights(labels: Bool[np.ndarray, " N"], *, balanced: bool) -> Float[np.ndarray, " N"]:
    """Ones, or weights that give the positives together as much as the negatives; mean 1.

    Raises ValueError when balanced weights are asked for a single class.
    """
    if not balanced:
        return np.ones(len(labels))
    share = labels.mean()
    if share in (0.0, 1.0):
        raise ValueError("labels: one class only; balanced weights need both")
    return np.where(labels, 0.5 / share, 0.5 / (1 - share))


def fit_logistic(
    features: sparse.csr_matrix,
    labels: Bool[np.ndarray, " N"],
    *,
    penalty: float,
    balanced: bool = False,
    steps: int = 200,
    tolerance: float = 1e-6,
) -> Logistic:
    """Minimise the penalised loss with L-BFGS; the intercept is not penalised.

    Args:
        penalty: lambda, > 0.
        steps: at most so many iterations.
        tolerance: on the largest entry of the mean loss's gradient.

    Raises:
        ValueError: no rows, labels of another length, a penalty that is not positive.
    """
    if features.shape[0] == 0 or features.shape[0] != len(labels) or not penalty > 0:
        raise ValueError(
            "expected as many labels as rows, and a penalty > 0; got "
            f"{features.shape[0]} rows, {len(labels)} labels, penalty {penalty}"
        )
    weight, sign = class_weights(labels, balanced=balanced), np.where(labels, 1.0, -1.0)
    transposed, count = features.T.tocsr(), len(labels)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (features @ theta[:-1] + theta[-1])
        pull = -weight * sign * expit(-margin)
        value = weight @ np.logaddexp(0, -margin)
        value += penalty / 2 * theta[:-1] @ theta[:-1]
        slope = np.append(transposed @ pull + penalty * theta[:-1], pull.sum())
        return float(value) / count, slope / count

    start = np.zeros(features.shape[1] + 1)
    options = {"maxiter": steps, "gtol": tolerance, "ftol": 1e-12}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    return Logistic(found.x[:-1], float(found.x[-1]))
