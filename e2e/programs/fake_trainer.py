#!/usr/bin/env python3
"""A trainer for the end-to-end tests: it "trains" by writing down which rows it got at which step.

Its checkpoint is one JSON file: the next step, how often it was started, and the rows of every step so far. It prints each step, and on its way out the checkpoint, so that a test can read from the last pod's log what was
trained.

Environment, all optional:
  FAIL_STARTS=n      exit 1 at starts 1..n, one step before the phase's end, after a checkpoint half-way
  EXIT_EARLY=1       exit 0 with half of the phase done
  STEP_SECONDS=s     time that one step takes
"""

import array
import json
import os
import signal
import sys
import time

BATCH_BYTES = 8 * int(os.environ["BATCH_SIZE"])


def batches_by_http(start):
    from curriculum_client import Sampler

    yield from (list(rows) for rows in Sampler().batches(start))


def batches_by_file(start):
    first = int(os.environ["CURRICULUM_START_STEP"])
    with open(os.environ["CURRICULUM_ROWS_FILE"], "rb") as file:
        file.seek((start - first) * BATCH_BYTES)
        while batch := file.read(BATCH_BYTES):
            rows = array.array("Q", batch)
            if sys.byteorder == "big":
                rows.byteswap()
            yield list(rows)


def main():
    environment = os.environ
    first, end = int(environment["CURRICULUM_START_STEP"]), int(environment["CURRICULUM_END_STEP"])
    folder = environment.get("CURRICULUM_CHECKPOINT_DIR")
    path = os.path.join(folder, "fake.json") if folder else None
    state = {"step": first, "starts": 0, "history": []}
    if path and os.path.exists(path):
        with open(path, encoding="ascii") as file:
            state = json.load(file)

    def save():
        if path:
            with open(path + ".partial", "w", encoding="ascii") as file:
                json.dump(state, file)
            os.replace(path + ".partial", path)

    state["starts"] += 1
    save()
    if state["step"] < first:
        sys.exit(f"the checkpoint is at step {state['step']}, before the phase's first step {first}")
    fails = state["starts"] <= int(environment.get("FAIL_STARTS", "0"))
    early = environment.get("EXIT_EARLY") == "1"
    pause = float(environment.get("STEP_SECONDS", "0"))
    # Process 1 of a container ignores the signal unless it asks for it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    source = batches_by_file if "CURRICULUM_ROWS_FILE" in environment else batches_by_http
    print(f"starting at step {state['step']} of {first}..{end}", flush=True)
    for batch in source(state["step"]):
        if fails and state["step"] == end - 1:
            sys.exit("cannot allocate memory for the optimizer")
        if early and state["step"] == (first + end) // 2:
            break
        time.sleep(pause)
        state["history"].append([state["step"], batch])
        state["step"] += 1
        # A failing start keeps its checkpoint from half-way, as a trainer that saves now and then would.
        if not fails or state["step"] <= (first + end) // 2:
            save()
        print(f"trained step {state['step'] - 1}", flush=True)
    print("checkpoint " + json.dumps(state), flush=True)


if __name__ == "__main__":
    main()
