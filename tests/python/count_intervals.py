"""Intervals that SciPy gives for shares and counts, for `measures/tests/reference.rs`.

    python count_intervals.py > intervals.json
"""

import json

from scipy.stats import binomtest, chi2

COUNTS = [0, 1, 2, 3, 7, 10, 31, 100, 999, 12_345, 1_000_000]
LEVELS = [0.8, 0.95, 0.99]


def wilson(hits, trials, level):
    interval = binomtest(hits, trials).proportion_ci(level, method="wilson")
    return [float(interval.low), float(interval.high)]


def garwood(count, level):
    tail = (1 - level) / 2
    low = chi2.ppf(tail, 2 * count) / 2 if count else 0.0
    return [float(low), float(chi2.ppf(1 - tail, 2 * count + 2) / 2)]


print(
    json.dumps(
        {
            "wilson": [
                {"hits": hits, "trials": trials, "level": level, "interval": wilson(hits, trials, level)}
                for trials in COUNTS
                for hits in {0, 1, trials // 5, trials // 2, trials - 1, trials}
                for level in LEVELS
                if trials and 0 <= hits <= trials
            ],
            "poisson": [
                {"count": count, "level": level, "interval": garwood(count, level)}
                for count in COUNTS
                for level in LEVELS
            ],
        }
    )
)
