"""Writes goldens/trend.json: lines through series with autocorrelated noise, computed with whole matrices, where
src/train/trend.ts uses recursions and an orthonormal basis. Needs numpy. Usage: python make_trend.py [OUT]"""

import json
import sys
from pathlib import Path

import numpy as np


def fit(times, values, columns):
    """The last column's coefficient with its error, and the noise, which is what all of `columns` leave."""
    full = np.stack(columns, 1)
    count, terms = full.shape
    residual_maker = np.eye(count) - full @ np.linalg.pinv(full)
    residuals = residual_maker @ values
    neighbors = [a * b for a, b, step in zip(residuals[1:], residuals[:-1], np.diff(times)) if step == 1]
    found = np.mean(neighbors) / np.mean(residuals**2)
    unbiased = np.clip((count * found + terms) / (count - terms - 2), 0, 1)
    rho = min(unbiased + np.sqrt((1 - unbiased**2) / count), 0.95)
    correlations = rho ** np.abs(times[:, None] - times[None])
    product = residual_maker @ correlations
    variance = residuals @ residuals / np.trace(product)

    def last_term(design):
        inverse = np.linalg.pinv(design)
        return (inverse @ values)[-1], np.sqrt(variance * (inverse @ correlations @ inverse.T)[-1, -1])

    slope, error = last_term(full[:, :2])
    bend, bend_error = last_term(full)
    return {
        "slope": slope,
        "error": error,
        "freedom": np.trace(product) ** 2 / np.trace(product @ product),
        "level": values[-1] - residuals[-1],
        "scatter": np.sqrt(variance),
        "autocorrelation": rho,
        "bend": bend,
        "bendError": bend_error,
    }


rng = np.random.default_rng(8)
cases = []
for count, rho, missing in [(10, 0.0, []), (12, 0.5, [3, 4]), (60, 0.4, [0, 20, 21, 22, 50]), (200, 0.8, [])]:
    noise = [rng.normal()]
    for _ in range(count - 1):
        noise.append(rho * noise[-1] + np.sqrt(1 - rho**2) * rng.normal())
    times = np.arange(count) + count + 1.0
    values = 0.8 + 0.05 * np.log2(times / times[-1]) + 0.01 * np.array(noise)
    kept = [i for i in range(count) if i not in missing]
    times, values = times[kept], np.round(values[kept], 6)
    regressor = np.log2(times)
    # Centered, which changes no coefficient that is compared but keeps the matrices well conditioned.
    centered = regressor - regressor.mean()
    found = fit(times, values, [np.ones(len(times)), centered, centered**2])
    cases.append({"times": times.tolist(), "values": values.tolist(), "line": {k: float(v) for k, v in found.items()}})

out = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
(out / "trend.json").write_text(json.dumps(cases) + "\n")
