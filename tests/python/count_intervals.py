"""Intervals that SciPy gives for shares, counts and means, and its comparison of groups, for `measures/tests/reference.rs`.

    python count_intervals.py > intervals.json
"""

import json
import random

from scipy.stats import binomtest, chi2, kruskal, t

COUNTS = [0, 1, 2, 3, 7, 10, 31, 100, 999, 12_345, 1_000_000]
LEVELS = [0.8, 0.95, 0.99]


def wilson(hits, trials, level):
    interval = binomtest(hits, trials).proportion_ci(level, method="wilson")
    return [float(interval.low), float(interval.high)]


def garwood(count, level):
    tail = (1 - level) / 2
    low = chi2.ppf(tail, 2 * count) / 2 if count else 0.0
    return [float(low), float(chi2.ppf(1 - tail, 2 * count + 2) / 2)]


def student(values, level):
    count = len(values)
    mean = sum(values) / count
    error = (sum((value - mean) ** 2 for value in values) / (count - 1) / count) ** 0.5
    return [float(end) for end in t.interval(level, count - 1, loc=mean, scale=error)]


def groups(chance, sizes, digits):
    # Few digits make ties.
    return [[round(chance.gauss(place, 2.0), digits) for _ in range(size)] for place, size in enumerate(sizes)]


def compared(values):
    found = kruskal(*values)
    return {"groups": values, "h": float(found.statistic), "p": float(found.pvalue)}


chance = random.Random(7)
samples = [[chance.gauss(1500.0, 400.0) for _ in range(count)] for count in (2, 3, 4, 10, 33, 400, 20_000)]
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
            "mean": [
                {"values": values, "level": level, "interval": student(values, level)}
                for values in samples
                for level in LEVELS
            ],
            "kruskal": [
                compared(groups(chance, sizes, digits))
                for sizes in ((3, 3), (5, 7, 9), (40, 30, 20, 10), (200, 300))
                for digits in (0, 6)
            ],
        }
    )
)
