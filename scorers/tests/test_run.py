"""Both scorers through `curriculum run`, which decides as the operator does. `CURRICULUM_BIN` names the binary."""

import csv
import json
import os
import pathlib
import subprocess
import sys
import unittest

from support import PATHS, ROOT, ShardCase, save_gpt2

from perplexity.score import main

BINARY = pathlib.Path(os.environ.get("CURRICULUM_BIN", ROOT / "target/debug/curriculum")).resolve()
ROWS, SHARDS = 31, 2


def container(name, *arguments, **more):
    command = ["python", "-m", name, *arguments]
    return {"name": name, "container": {"image": f"registry.example.com/scorers-{name}:1", "command": command, **more}}


class Run(ShardCase):
    def test_a_run_is_scored_by_both(self):
        if not BINARY.exists():
            self.fail(f"{BINARY} is no program: build it with `cargo build`, or set CURRICULUM_BIN")
        _, tokenizer = save_gpt2(self.folder / "models/tiny")
        words = ("the quick brown fox", "to be or not to be", "easy words are easy")
        rows = [{"text": f"{words[at % 3]} {at}", "label": "ab"[at % 2], "x": at % 2 + at / 100} for at in range(ROWS)]
        rows[4]["text"] = ""
        # The rows of a shard are not in all files, and the fit needs all.
        parts = [self.put(f"data/part-{at}.csv", rows[begin:end]) for at, (begin, end) in enumerate(((0, 10), (10, 12), (12, ROWS)))]
        weights = [{"name": "weights", "mountPath": "/weights", "persistentVolumeClaim": {"claimName": "models"}}]
        trainer = {"name": "trainer", "image": "none", "command": ["python3", "/tests/fake_trainer.py"]}
        trainer["env"] = [{"name": "BATCH_SIZE", "value": "4"}]
        spec = {
            "seed": 7,
            "dataset": {"volume": {"persistentVolumeClaim": {"claimName": "data"}}, "path": "part-*.csv"},
            "scoring": {
                "scorers": [
                    container("perplexity", "--model=/weights/tiny", "--column=text", volumes=weights),
                    container("confidence", "--label-column=label", "--number-columns=x"),
                ],
                "combine": "MeanRank",
                "shards": SHARDS,
                "minCoverage": "0.9",
                "onFailure": "Fail",
            },
            "curriculum": {"batchSize": 4, "phases": [{"name": "all", "pool": {"fraction": "0.5"}, "duration": {"steps": 3}}]},
            "training": {
                "checkpoint": {"volume": {"persistentVolumeClaim": {"claimName": "checkpoints"}}, "path": "run"},
                "template": {"spec": {"containers": [trainer]}},
            },
        }
        job = {"apiVersion": "curriculum.dev/v1alpha1", "kind": "CurriculumJob", "metadata": {"name": "scored"}, "spec": spec}
        (self.folder / "job.yaml").write_text(json.dumps(job))
        command = [
            BINARY,
            "run",
            "-f",
            "job.yaml",
            "-d",
            "run",
            "-v",
            "data=data",
            "-v",
            "models=models",
            "-v",
            f"/tests={ROOT / 'e2e/programs'}",
        ]
        for name in ("perplexity", "confidence"):
            arguments = next(one for one in spec["scoring"]["scorers"] if one["name"] == name)["container"]["command"][1:]
            command += ["-c", f"{name}={sys.executable} {' '.join(arguments)}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CURRICULUM_")}
        environment.update(PYTHONPATH=os.pathsep.join(PATHS), PYTHONDONTWRITEBYTECODE="1")
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        logs = "".join(path.read_text() for path in self.folder.glob("run/logs/**/*.log"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + logs)
        self.assertNotIn("quick brown", logs)
        found = {"perplexity": {}, "confidence": {}}
        for name, scores in found.items():
            written = sorted(self.folder.glob(f"run/volumes/scored-store/scores/*/{name}/*.csv"))
            self.assertEqual(len(written), SHARDS, logs)
            for path in written:
                scores.update({int(row["row"]): float(row["score"]) for row in csv.DictReader(path.read_text().splitlines())})
        self.assertEqual(found["perplexity"].keys(), {*range(ROWS)} - {4})
        self.assertEqual(found["confidence"].keys(), {*range(ROWS)})
        alone = self.scores(main, [f"--model={self.folder}/models/tiny", "--column=text"], parts)
        for row, score in alone.items():
            self.assertAlmostEqual(score, found["perplexity"][row], delta=1e-5)


if __name__ == "__main__":
    unittest.main()
