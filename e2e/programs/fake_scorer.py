#!/usr/bin/env python3
"""A container scorer for the end-to-end tests: the hardest row is the last one, and MODE says what goes wrong."""

import csv
import os
import signal
import sys
import time


def difficulties(start, end):
    """The column `difficulty` of the rows, from the files that hold them."""
    with open(os.environ["CURRICULUM_FILES"], newline="", encoding="utf-8") as files:
        for file in csv.DictReader(files):
            with open(file["path"], newline="", encoding="utf-8") as data:
                for row, record in enumerate(csv.DictReader(data), int(file["start"])):
                    if start <= row < end:
                        yield f"{row},{record['difficulty']}"


def rows_of(mode, start, end):
    """The lines to write, header first."""
    if mode == "wrong-column":
        return ["row,difficulty"] + [f"{row},{row}" for row in range(start, end)]
    lines = [f"{row},{row}" for row in range(start, end)]
    if mode == "nan":
        lines[0] = f"{start},NaN"
    elif mode == "half":
        lines = lines[: len(lines) // 2]
    elif mode == "duplicate":
        lines.append(lines[0])
    elif mode == "column":
        lines = list(difficulties(start, end))
    elif mode == "reverse":
        lines = [f"{row},{-row}" for row in range(start, end)]
    elif mode != "ok":
        sys.exit(f"fake_scorer.py: unknown MODE {mode}")
    return ["row,score"] + lines


def main():
    mode = os.environ.get("MODE", "ok")
    if mode == "exit1":
        sys.exit("the teacher's weights are missing")
    if mode == "slow":
        # Process 1 of a container ignores the signal unless it asks for it.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        time.sleep(5)
        mode = "ok"
    if mode == "nothing":
        return
    start, end = int(os.environ["CURRICULUM_ROW_START"]), int(os.environ["CURRICULUM_ROW_END"])
    with open(os.environ["CURRICULUM_OUTPUT"] + ".csv", "w", encoding="ascii") as file:
        file.write("\n".join(rows_of(mode, start, end)) + "\n")


if __name__ == "__main__":
    main()
