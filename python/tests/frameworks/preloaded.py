"""Imports modules once, and runs programs in forks of itself, for importing a framework takes longer than a test.

`preloaded.py MODULE…` reads requests, one JSON line each, and answers with the exit codes of the processes. A request has the folder of
`train.py` and the environment of each process; output goes to `output-N` in that folder.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import sys


def run(work, number, environment, limit):
    """In the fork: becomes a process that was started as `python train.py`."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(work)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output = os.open(f"output-{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    program = os.path.join(work, "train.py")
    sys.argv = [program]
    sys.path[0] = work
    signal.alarm(limit)
    code = 0
    try:
        runpy.run_path(program, run_name="__main__")
    except BaseException as error:
        code = 1
        sys.excepthook(type(error), error, error.__traceback__)
    # All that an interpreter does at its end, but for taking thousands of modules apart, which takes seconds.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


def main():
    answers = os.fdopen(os.dup(1), "w")
    # What a module prints when it is imported is no answer.
    os.dup2(2, 1)
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.freeze()
    while line := sys.stdin.readline():
        request = json.loads(line)
        processes = []
        for number, environment in enumerate(request["environments"]):
            process = os.fork()
            if process == 0:
                run(request["work"], number, environment, request["limit"])
            processes.append(process)
        codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
        print(json.dumps(codes), file=answers, flush=True)
    os._exit(0)


main()
