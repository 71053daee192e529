"""Tables of data sets: ``python -m curriculum_client.dataset table SOURCE --out rows.csv``."""

from __future__ import annotations

import argparse
import sys

from ..errors import CurriculumError
from .opening import FORMATS, OPERATOR_FORMATS, open_rows
from .table import write


def main() -> int:
    """Runs the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m curriculum_client.dataset", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("table", help="write one line for each row, for the job's `dataset.path`")
    table.add_argument("source", help="a folder of images or MDS shards; a file, folder or pattern of WebDataset shards")
    table.add_argument("--out", required=True, help="a file that ends with .csv or .jsonl")
    table.add_argument(
        "--format", choices=[name for name in FORMATS if name not in OPERATOR_FORMATS], help="default: what the source shows"
    )
    table.add_argument("--class", dest="class_name", help="the file of a sample (default: cls) or the column that holds the class")
    table.add_argument("--columns", default="", help="other files or columns to copy, separated by commas")
    given = parser.parse_args()
    try:
        dataset = open_rows(given.source, given.format, sampler=False)
        rows = write(dataset, given.out, given.class_name, [name for name in given.columns.split(",") if name])
    except CurriculumError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{given.out}: {rows} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
