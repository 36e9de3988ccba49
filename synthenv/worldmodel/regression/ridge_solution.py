"""Ridge regressions in closed form, each with the penalty of the least leave-one-out error, in NumPy only."""

import numpy as np

PENALTIES = tuple(10.0**power for power in range(-10, 2))  # per row, in units of the features' variance


def solve_ridge(features: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Regress centred targets [C, Y] on centred features [C, F], for all penalties at once.

    The singular value decomposition makes every hat matrix diagonal. A row's leave-one-out residual is its residual
    over 1 minus its leverage, which includes the constant's share of 1 / C.

    Returns:
        coefficients [F, Y] of the best penalty for every target, and mean squared leave-one-out errors [Y].
    """
    left, values, right = np.linalg.svd(features, full_matrices=False)
    projected = left.T @ targets
    betas, errors = [], []
    for penalty in PENALTIES:
        ridge = values**2 + penalty * len(features)
        fitted = left @ ((values**2 / ridge)[:, None] * projected)
        leverage = left**2 @ (values**2 / ridge) + 1.0 / len(features)
        left_out = (targets - fitted) / np.maximum(1.0 - leverage, 1e-9)[:, None]
        betas.append(right.T @ ((values / ridge)[:, None] * projected))
        errors.append(np.mean(left_out**2, axis=0))
    best = np.argmin(errors, axis=0)  # [Y]
    chosen = np.take_along_axis(np.array(betas), best[None, None, :], axis=0)[0]
    return chosen, np.min(errors, axis=0)
