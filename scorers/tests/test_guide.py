"""The program of the guide that scores rows by teachers which have not seen them."""

import csv
import os
import re
import sys
import types
import unittest
from unittest import mock

from support import ROOT, ShardCase


class Guide(ShardCase):
    def test_no_teacher_has_seen_the_rows_that_it_judges(self):
        text = (ROOT / "docs/scorers.md").read_text().split("### Teacher scores out of sample\n")[1]
        program = re.search(r"^```python\n(.*?)^```", text, re.M | re.S).group(1)
        seen = []
        model = types.ModuleType("model")
        model.rows = [f"row {number}" for number in range(23)]
        model.train = lambda rows: seen.append(set(rows)) or len(seen) - 1
        model.loss = lambda teacher, row: self.assertNotIn(row, seen[teacher]) or teacher + 0.5
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        with mock.patch.dict(sys.modules, model=model):
            exec(program, {})
        with open("teacher.csv", newline="") as file:
            scores = {int(row["row"]): float(row["score"]) for row in csv.DictReader(file)}
        self.assertEqual(sorted(scores), [*range(23)])
        self.assertEqual([len(rows) for rows in seen], [18, 18, 18, 19, 19])


if __name__ == "__main__":
    unittest.main()
