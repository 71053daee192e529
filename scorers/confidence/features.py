"""Numbers out of records: columns of numbers, a column of embeddings, a column of text, side by side."""

from __future__ import annotations

import json
import math
from typing import Any, Optional, Sequence, Union

import numpy as np
from scipy import sparse
from shard import Fault, label_of, text_of
from sklearn.feature_extraction.text import HashingVectorizer

#: More names of classes than this are taken for a mistake, such as a column of ids.
MAX_CLASSES = 1000

Matrix = Union[np.ndarray, sparse.csr_matrix]


class Features:
    """What is known of each row, collected chunk by chunk. Texts are not kept: of each there are the counts of its hashed words.

    :param label: Column with the label.
    :param numbers: Columns of numbers; one that is missing is taken for the mean of the others.
    :param embedding: Column of lists of numbers, all of one length.
    :param text: Column of texts.
    :param hash_bits: Words and pairs of words are counted in 2^hash_bits places.
    """

    def __init__(
        self,
        label: str,
        numbers: Sequence[str] = (),
        embedding: Optional[str] = None,
        text: Optional[str] = None,
        hash_bits: int = 18,
    ) -> None:
        self._label, self._numbers, self._embedding, self._text = label, list(numbers), embedding, text
        self.columns = [label, *self._numbers, *(name for name in (embedding, text) if name is not None)]
        self._hashing = HashingVectorizer(n_features=1 << hash_bits, ngram_range=(1, 2), norm=None, alternate_sign=False, dtype=np.float64)
        #: Name of each class → its number, in the order in which they were met.
        self.classes: dict[str, int] = {}
        self._labels: list[np.ndarray] = []
        self._dense: list[np.ndarray] = []
        self._counts: list[sparse.csr_matrix] = []
        self._length: Optional[int] = None
        #: Rows without a label, and rows with one that have no embedding or no text.
        self.without_label = self.without_features = 0
        self._seen_number: set[str] = set()

    def add(self, records: Sequence[Optional[dict[str, Any]]]) -> None:
        """The next rows.

        :raises Fault: when the labels are too many to be classes.
        """
        labels = np.full(len(records), -1, np.int64)
        dense = np.full((len(records), len(self._numbers) + (self._length or 0)), np.nan)
        texts = [""] * len(records)
        for at, record in enumerate(records):
            label = None if record is None else label_of(record[self._label])
            if record is None or label is None:
                self.without_label += 1
                continue
            embedding = None
            if self._embedding is not None:
                embedding = self._embedded(record[self._embedding])
                if embedding is not None and dense.shape[1] < len(self._numbers) + len(embedding):
                    grown = np.full((len(records), len(self._numbers) + len(embedding)), np.nan)
                    grown[:, : dense.shape[1]] = dense
                    dense = grown
            text = text_of(record[self._text]) if self._text is not None else None
            if (self._embedding is not None and embedding is None) or (self._text is not None and not text):
                self.without_features += 1
                continue
            for place, name in enumerate(self._numbers):
                value = _number(record[name])
                if value is not None:
                    dense[at, place] = value
                    self._seen_number.add(name)
            if embedding is not None:
                dense[at, len(self._numbers) :] = embedding
            texts[at] = text or ""
            labels[at] = self.classes.setdefault(label, len(self.classes))
            if len(self.classes) > MAX_CLASSES:
                raise Fault(f"column `{self._label}` has more than {MAX_CLASSES} different values: is it a class?")
        self._labels.append(labels)
        self._dense.append(dense)
        if self._text is not None:
            self._counts.append(self._hashing.transform(texts))

    def labels(self) -> np.ndarray:
        """Number of each row's class, -1 for rows that are left out; shape (rows,), int64."""
        return np.concatenate(self._labels) if self._labels else np.zeros(0, np.int64)

    def dense(self) -> Optional[np.ndarray]:
        """Numbers and embeddings, NaN where one is missing; shape (rows, columns), float64. ``None`` when none were asked for.

        :raises Fault: when a column has no number at all.
        """
        if not self._numbers and self._embedding is None:
            return None
        for name in self._numbers:
            if self.classes and name not in self._seen_number:
                raise Fault(f"column `{name}` has no number in any row with a label")
        width = max((part.shape[1] for part in self._dense), default=0)
        parts = [np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=np.nan) for part in self._dense]
        return np.concatenate(parts) if parts else np.zeros((0, width))

    def counts(self) -> Optional[sparse.csr_matrix]:
        """How often each text has a word or a pair of words; shape (rows, 2^hash_bits). ``None`` without a column of texts."""
        return sparse.vstack(self._counts, format="csr") if self._counts else None

    def _embedded(self, value: Any) -> Optional[np.ndarray]:
        """A vector of the length that the first one had; ``None`` for what is none."""
        try:
            # In CSV a list is the text of one.
            vector = np.asarray(json.loads(value) if isinstance(value, str) else value, np.float64)
        except (TypeError, ValueError):
            return None
        if vector.ndim != 1 or len(vector) != (self._length or len(vector)) or not len(vector) or not np.isfinite(vector).all():
            return None
        self._length = len(vector)
        return vector


def _number(value: Any) -> Optional[float]:
    """A finite number, or a text that is one, as in CSV; a boolean is 1 or 0."""
    if isinstance(value, str):
        low = value.strip().lower()
        value = {"true": 1.0, "false": 0.0}.get(low, low)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
