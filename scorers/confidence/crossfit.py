"""Probabilities of classes for rows that the model was not fitted to.

Each row belongs to one of K folds. For each fold a model is fitted to all the others, and judges the rows of the fold, as confident learning
asks for (Northcutt, Jiang, Chuang 2021, arXiv 1911.00068, section 3: out-of-sample predicted probabilities by cross-validation). To sort rows by
what another, simpler model finds hard is transfer scoring (Weinshall, Cohen, Amir 2018, arXiv 1802.03796; Hacohen, Weinshall 2019,
arXiv 1904.03626).
"""

from __future__ import annotations

import warnings
from typing import Optional

import numpy as np
from joblib import Parallel, delayed
from scipy import sparse
from shard import Fault, say
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from .features import Matrix

SCORES = ("confidence", "margin", "entropy", "loss")


def folds_of(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each row: a function of labels and seed alone, so that every shard finds the same ones.

    Rows of a class are put in an order that the seed decides, and dealt to the folds in turn, one class where the one before ended.
    So folds have the same number of rows of each class, plus or minus one, and two rows of a class are never all in one fold.

    :param labels: Number of each row's class, -1 for rows that are left out.
    :returns: Shape (rows,), int64; -1 for rows that are left out.
    """
    # The bits of a generator stay the same in all versions of NumPy, those of its distributions need not.
    keys = np.random.PCG64(seed % (1 << 64)).random_raw(len(labels))
    found = np.full(len(labels), -1, np.int64)
    dealt = 0
    for number in range(labels.max(initial=-1) + 1):
        rows = np.flatnonzero(labels == number)
        rows = rows[np.argsort(keys[rows], kind="stable")]
        found[rows] = (dealt + np.arange(len(rows))) % folds
        dealt += len(rows)
    return found


def cross_fitted(
    labels: np.ndarray,
    dense: Optional[np.ndarray],
    counts: Optional[sparse.csr_matrix],
    *,
    kind: str = "confidence",
    folds: int = 5,
    seed: int = 0,
    strength: float = 1.0,
    balanced: bool = False,
    iterations: int = 1000,
    jobs: int = 1,
) -> np.ndarray:
    """The difficulty of each row, by the model that was fitted without the row's fold.

    :param labels: Number of each row's class from 0 on without gaps, -1 for rows that are left out; shape (rows,).
    :param dense: Numbers, NaN where one is missing; shape (rows, columns).
    :param counts: Counts of words; shape (rows, places).
    :param kind: As in :func:`difficulty`.
    :param strength: ``C`` of the logistic regression: the smaller, the simpler the model.
    :param balanced: Whether every class weighs the same, however many rows it has.
    :param iterations: Most iterations of a fit.
    :param jobs: Folds that are fitted at once, each by one thread.
    :returns: Shape (rows,), float64; NaN for rows that are left out, those of classes with one row among them.
    :raises Fault: when there are not two classes with at least two rows each.
    """
    usable = _usable(labels, folds)
    fold = folds_of(usable, folds, seed)

    def fit(number: int) -> tuple[np.ndarray, np.ndarray, bool]:
        inside, outside = np.flatnonzero((fold >= 0) & (fold != number)), np.flatnonzero(fold == number)
        train, test = _side_by_side(dense, counts, inside, outside)
        model = LogisticRegression(C=strength, max_iter=iterations, class_weight="balanced" if balanced else None)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", ConvergenceWarning)
            model.fit(train, usable[inside])
        late = any(issubclass(one.category, ConvergenceWarning) for one in told)
        # Every class has rows in every part that is fitted to: see `folds_of`.
        own = np.searchsorted(model.classes_, usable[outside])
        return outside, difficulty(model.predict_proba(test), own, kind), late

    found = np.full(len(labels), np.nan)
    used = [number for number in range(folds) if (fold == number).any()]
    # One thread for each fit: sums in another order, with another number of threads, would be other scores.
    with threadpool_limits(1):
        fits = Parallel(n_jobs=min(jobs, len(used)), prefer="threads")(delayed(fit)(number) for number in used)
    for outside, values, _ in fits:
        found[outside] = values
    if late := sum(late for _, _, late in fits):
        say(f"{late} of {len(used)} fits did not converge in {iterations} iterations; their scores are used all the same")
    return found


def _usable(labels: np.ndarray, folds: int) -> np.ndarray:
    """Labels without those of classes that have one row, and words for what is rare."""
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    if (sizes >= 2).sum() < 2:
        raise Fault(
            f"the rows have {(sizes > 0).sum()} classes, of which {(sizes >= 2).sum()} have two rows or more; two of those are needed, for a row "
            "is judged by a model that was fitted to others"
        )
    alone, few = int((sizes == 1).sum()), int(((sizes >= 2) & (sizes < folds)).sum())
    if alone:
        say(f"{alone} classes have one row only, which no model can know: these rows have no score")
    if few:
        say(f"{few} classes have fewer rows than the {folds} folds: their rows are judged by models that were fitted to few of them")
    return np.where(np.isin(labels, np.flatnonzero(sizes < 2)), -1, labels)


def difficulty(probabilities: np.ndarray, own: np.ndarray, kind: str) -> np.ndarray:
    """How hard rows are, by the probabilities of classes.

    :param probabilities: Shape (rows, classes).
    :param own: Column of each row's label; shape (rows,).
    :param kind: ``confidence``: 1 - p(label), from 0 to 1. ``loss``: -ln p(label), in nats. ``margin``: the greatest probability of another
        class - p(label), from -1 to 1. ``entropy``: that of the probabilities, in nats, which does not look at the row's own label.
    """
    rows = np.arange(len(own))
    mine = probabilities[rows, own]
    if kind == "confidence":
        return 1 - mine
    # The least that a double can tell from 0, so that the hardest rows keep a score.
    logarithms = np.log(np.maximum(probabilities, np.finfo(float).tiny))
    if kind == "loss":
        return -logarithms[rows, own]
    if kind == "entropy":
        return -(probabilities * logarithms).sum(axis=1)
    others = probabilities.copy()
    others[rows, own] = -np.inf
    return others.max(axis=1) - mine


def _side_by_side(
    dense: Optional[np.ndarray], counts: Optional[sparse.csr_matrix], inside: np.ndarray, outside: np.ndarray
) -> tuple[Matrix, Matrix]:
    """Features to fit and to judge; means, scales and frequencies are those of the rows to fit."""
    parts = []
    if dense is not None:
        steps: Pipeline = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
        parts.append((steps.fit_transform(dense[inside]), steps.transform(dense[outside])))
    if counts is not None:
        train, test = counts[inside], counts[outside]
        # Places that no row to fit has words in would get the weight 0, at the cost of the others.
        used = np.flatnonzero(train.getnnz(axis=0))
        weights = TfidfTransformer(sublinear_tf=True)
        parts.append((weights.fit_transform(train[:, used]), weights.transform(test[:, used])))
    if len(parts) == 1:
        return parts[0]
    return sparse.hstack([train for train, _ in parts], format="csr"), sparse.hstack([test for _, test in parts], format="csr")
