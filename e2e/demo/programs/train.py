#!/usr/bin/env python3
"""The demo's trainer: trains the student on whatever rows the sampler hands out.

It knows nothing of curricula: it asks for the next batch from its checkpoint on, reports its accuracy, and stops when
the sampler has no more. Each report is also one JSON line on standard output.
"""

import argparse
import json
import os
import signal
import sys

import curriculum_client as curriculum
import numpy as np

from digits import read_csv
from models import Student


def load(path, student, sampler):
    if os.path.exists(path):
        with np.load(path) as state:
            student.restore(state)
            sampler.load_state_dict(json.loads(str(state["sampler"])))


def save(path, student, sampler):
    """By rename, so that a pod that is killed leaves the last whole checkpoint."""
    scratch = f"{path}.partial"
    with open(scratch, "wb") as file:
        np.savez(file, **student.state(), sampler=json.dumps(sampler.state_dict()))
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total-steps", type=int, required=True, help="steps of the whole run, for the learning rate")
    parser.add_argument("--checkpoint-every", type=int, default=250)
    parser.add_argument("--report-every", type=int, default=100)
    arguments = parser.parse_args()

    train = os.environ["CURRICULUM_DATASET"]
    features, labels = read_csv(train)
    test = read_csv(os.path.join(os.path.dirname(train), "test.csv"))
    sampler = curriculum.open_sampler()
    student = Student(int(os.environ["CURRICULUM_SEED"]), arguments.total_steps)
    checkpoint = os.path.join(os.environ["CURRICULUM_CHECKPOINT_DIR"], "student.npz")
    load(checkpoint, student, sampler)
    if student.step != sampler.step:
        sys.exit(f"{checkpoint} is at step {student.step}, but this phase begins at step {sampler.step}")

    # As process 1 of its container it must ask for the signal; it stops between two steps.
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    for rows in sampler:
        student.train(features[rows], labels[rows])
        if student.step % arguments.report_every == 0:
            accuracy = student.accuracy(*test)
            sampler.report(student.step, {"test_accuracy": accuracy})
            print(json.dumps({"step": student.step, "test_accuracy": round(accuracy, 4)}), flush=True)
        if stopping or student.step % arguments.checkpoint_every == 0:
            save(checkpoint, student, sampler)
        if stopping:
            sys.exit(128 + signal.SIGTERM)
    save(checkpoint, student, sampler)


if __name__ == "__main__":
    main()
