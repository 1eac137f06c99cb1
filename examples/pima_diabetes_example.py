"""A typed data set all the way: a CSV file becomes a table in Dolt, a model is trained on it, and says on what.

    $ python make_pima_csv.py pima.csv
    $ python pima_diabetes_example.py pima.csv
    Running pima_diabetes_example.py main...
    768 patients, right for 0.73 of them
    the model was trained on the commit of the patients: True
    $ cd pima && dolt log -n 1 | grep -o 'Flyte-Read: patients .*'
    Flyte-Read: patients 7rpirvmut4raqr8m9qd2eluv7uej5dgs .

Without an argument the file is fetched from the address that Flyte's own tutorial uses. The model is a logistic
regression in numpy, to need no further package. Its table names the commit of the rows it was trained on, and so does
the commit that it is written by.
"""

import os
import sys
from typing import Tuple, TypeVar

import numpy as np
import pandas as pd
from flytekit import task, workflow
from flytekit.types.file import FlyteFile

from flytekitplugins.dolt import DoltConfig, DoltTable, create_repository

doltdb_path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pima")
patients_conf = DoltConfig(db_path=doltdb_path, tablename="patients", primary_key=["patient"])
model_conf = DoltConfig(db_path=doltdb_path, tablename="model", primary_key=["feature"])

URL = "https://raw.githubusercontent.com/jbrownlee/Datasets/master/pima-indians-diabetes.data.csv"
FEATURES = ["pregnancies", "glucose", "pressure", "skin", "insulin", "bmi", "pedigree", "age"]


@task
def load(dataset: FlyteFile[TypeVar("csv")]) -> pd.DataFrame:
    """Read the file, which has no header."""
    return pd.read_csv(dataset, header=None, names=[*FEATURES, "diabetes"])


@task
def store(frame: pd.DataFrame) -> DoltTable:
    """Number the patients and commit them."""
    return DoltTable(patients_conf, frame.rename_axis("patient").reset_index())


def scaled(frame: pd.DataFrame) -> np.ndarray:
    """Return the features, centred and of unit spread, behind a column of ones."""
    values = frame[FEATURES].to_numpy(float)
    return np.column_stack([np.ones(len(values)), (values - values.mean(0)) / values.std(0)])


@task
def train(patients: DoltTable) -> DoltTable:
    """Fit a logistic regression by gradient descent; its row of weights names the commit it was fitted on."""
    inputs, found = scaled(patients.data), patients.data["diabetes"].to_numpy(float)
    weights = np.zeros(inputs.shape[1])
    for _ in range(300):
        guessed = 1 / (1 + np.exp(-inputs @ weights))
        weights += 0.5 * inputs.T @ (found - guessed) / len(found)
    model = pd.DataFrame({"feature": ["(none)", *FEATURES], "weight": weights.round(6)})
    return DoltTable(model_conf, model.assign(trained_on=patients.commit.hash))


@task
def judge(patients: DoltTable, model: DoltTable) -> Tuple[int, float, bool]:
    """Return the number of patients, for how many the model is right, and whether it was trained on these rows."""
    weights = model.data.set_index("feature")["weight"][["(none)", *FEATURES]].to_numpy()
    right = (scaled(patients.data) @ weights > 0) == patients.data["diabetes"].to_numpy(bool)
    return len(right), float(right.mean()), bool((model.data["trained_on"] == patients.commit.hash).all())


@workflow
def wf(dataset: FlyteFile[TypeVar("csv")] = URL) -> Tuple[int, float, bool]:
    """Load, store, train, judge."""
    patients = store(frame=load(dataset=dataset))
    return judge(patients=patients, model=train(patients=patients))


if __name__ == "__main__":
    print(f"Running {os.path.basename(__file__)} main...")
    if not os.path.isdir(os.path.join(doltdb_path, ".dolt")):
        print(f"Creating the Dolt repository {create_repository(doltdb_path)}", file=sys.stderr)
    count, share, same = wf(dataset=sys.argv[1]) if len(sys.argv) > 1 else wf()
    print(f"{count} patients, right for {share:.2f} of them")
    print(f"the model was trained on the commit of the patients: {same}")
