"""Make a file in the shape of the Pima Indians diabetes data, without its data: `python make_pima_csv.py pima.csv`.

768 rows without a header, eight whole or decimal measures and whether diabetes was found. The numbers are drawn with a
fixed seed, so that the file is the same everywhere; the outcome depends on glucose, weight and age, so that a model
finds something.
"""

import sys

import numpy as np
import pandas as pd

ROWS = 768


def patients() -> pd.DataFrame:
    """Return the rows."""
    draw = np.random.RandomState(20210507)  # its numbers are the same in every version of numpy
    glucose = np.clip(draw.normal(121, 31, ROWS), 44, 199).round().astype(int)
    bmi = np.clip(draw.normal(32, 7, ROWS), 18, 67).round(1)
    age = np.clip(21 + draw.exponential(12, ROWS), 21, 81).round().astype(int)
    risk = 0.04 * (glucose - 121) + 0.09 * (bmi - 32) + 0.03 * (age - 33) - 0.8
    columns = [
        draw.poisson(3.8, ROWS),
        glucose,
        np.clip(draw.normal(69, 19, ROWS), 0, 122).round().astype(int),
        np.clip(draw.normal(21, 16, ROWS), 0, 99).round().astype(int),
        np.clip(draw.exponential(80, ROWS), 0, 846).round().astype(int),
        bmi,
        np.clip(draw.gamma(2, 0.24, ROWS), 0.078, 2.42).round(3),
        age,
        (draw.uniform(size=ROWS) < 1 / (1 + np.exp(-risk))).astype(int),
    ]
    return pd.DataFrame(dict(enumerate(columns)))


if __name__ == "__main__":
    patients().to_csv(sys.argv[1], header=False, index=False)
