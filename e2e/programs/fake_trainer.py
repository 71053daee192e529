#!/usr/bin/env python3
"""A trainer for the end-to-end tests: it "trains" by writing down which rows it got at which step.

Its checkpoint is one JSON file: the next step, how often it was started, and the rows of every step so far. It prints
each step, and on its way out the checkpoint, so that a test can read from the last pod's log what was trained.

Environment, all optional:
  FAIL_STARTS=n      exit 1 at starts 1..n, one step before the phase's end, after a checkpoint half-way
  EXIT_EARLY=1       exit 0 with half of the phase done
  STEP_SECONDS=s     time that one step takes
  REPORTS=json       {"12": 0.5}: after 12 steps of the run, report that `val` is 0.5
  AWAIT=names        phase by phase, names with commas between: before the last step, wait until a file of the phase's name lies
                     beside the checkpoint
"""

import array
import json
import os
import signal
import sys
import time

BATCH_BYTES = 8 * int(os.environ["BATCH_SIZE"])


def batches_by_http(state):
    # Imported here, since a trainer that reads a file needs no client.
    from curriculum_client import BatchSampler

    # One batch at a time: what was asked for counts as used.
    yield from BatchSampler(start_step=state["step"], run=state.get("run"), prefetch=1)


def report(step, value):
    from curriculum_client import Sampler

    print(json.dumps(Sampler().report(step, {"val": value})), flush=True)


def mark(first, state):
    """How far the file was read, for the sampler: one line, by rename."""
    path = os.environ["CURRICULUM_ROWS_FILE"] + ".read.0-of-1"
    with open(path + ".tmp", "w", encoding="ascii") as file:
        print(first, state["step"], state["run"], file=file)
    os.replace(path + ".tmp", path)


def batches_by_file(state):
    begin = state["step"]
    mark(begin, state)
    first = int(os.environ["CURRICULUM_START_STEP"])
    with open(os.environ["CURRICULUM_ROWS_FILE"], "rb") as file:
        file.seek((state["step"] - first) * BATCH_BYTES)
        while batch := file.read(BATCH_BYTES):
            rows = array.array("Q", batch)
            if sys.byteorder == "big":
                rows.byteswap()
            yield rows.tolist()
            # The loop came back, with the step counted.
            mark(begin, state)


def read(path, first):
    if path and os.path.exists(path):
        with open(path, encoding="ascii") as file:
            return json.load(file)
    # The run makes it a checkpoint of this run, from which training may go on in the middle of a phase.
    return {"step": first, "starts": 0, "history": [], "run": os.environ.get("CURRICULUM_RUN")}


def write(path, state):
    if path:
        with open(path + ".partial", "w", encoding="ascii") as file:
            json.dump(state, file)
        os.replace(path + ".partial", path)


def await_file(path):
    for _ in range(1200):
        if os.path.exists(path):
            return
        time.sleep(0.1)
    sys.exit(f"{path} did not appear within two minutes")


def main():
    environment = os.environ
    first, end = int(environment["CURRICULUM_START_STEP"]), int(environment["CURRICULUM_END_STEP"])
    half = (first + end) // 2
    folder = environment.get("CURRICULUM_CHECKPOINT_DIR")
    path = os.path.join(folder, "fake.json") if folder else None
    state = read(path, first)
    state["starts"] += 1
    write(path, state)
    if state["step"] < first:
        sys.exit(f"the checkpoint is at step {state['step']}, before the phase's first step {first}")
    fails = state["starts"] <= int(environment.get("FAIL_STARTS", "0")) or not path and "FAIL_STARTS" in environment
    early = environment.get("EXIT_EARLY") == "1"
    reports = json.loads(environment.get("REPORTS", "{}"))
    pause = float(environment.get("STEP_SECONDS", "0"))
    names = environment.get("AWAIT", "").split(",")
    phase = int(environment["CURRICULUM_PHASE_INDEX"])
    awaited = names[phase] if phase < len(names) else ""
    # Process 1 of a container ignores the signal unless it asks for it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    batches = batches_by_file if "CURRICULUM_ROWS_FILE" in environment else batches_by_http
    print(f"starting at step {state['step']} of {first}..{end}", flush=True)
    for rows in batches(state):
        if fails and state["step"] == end - 1:
            sys.exit("cannot allocate memory for the optimizer")
        if early and state["step"] >= half:
            break
        time.sleep(pause)
        if state["step"] == end - 1 and awaited:
            await_file(os.path.join(folder, awaited))
        state["history"].append([state["step"], rows])
        state["step"] += 1
        # A failing start keeps its checkpoint from half-way, as a trainer that saves now and then would.
        if not fails or state["step"] <= half:
            write(path, state)
        if str(state["step"]) in reports:
            report(state["step"], reports[str(state["step"])])
        print(f"trained step {state['step'] - 1}", flush=True)
    print("checkpoint " + json.dumps(state), flush=True)


if __name__ == "__main__":
    main()
