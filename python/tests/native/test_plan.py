"""The engine in this process against the sampler's: the same rows, the same checks."""

import ast
import hashlib
import inspect
import json
import pathlib
import pickle
import signal
import sys
import tempfile
import threading
import time
import typing
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import support
from support import BATCH, END, FIRST, ROWS, SamplerCase

import curriculum
import curriculum_client

STEPS = END - FIRST
WORLDS = (1, 2, 5, BATCH)
PACING = {"function": "Linear", "from": "0.2", "to": "0.9"}
# What the second of two phases is, and whether there is an index with groups.
CURRICULA = {
    "uniform": ({}, {"pool": {"fraction": "1"}}, None),
    "one pool": ({}, {"pool": {"fraction": "0.6"}}, 1),
    "a pool that moves": ({}, {"pool": {"pacing": PACING, "window": "0.3"}}, 1),
    "a score that moves": ({}, {"pool": {"score": {"function": "Linear", "from": "0.2", "to": "0.8"}}}, 1),
    "several pools": (
        {"uniformFloor": "0.1"},
        {"pool": {"pacing": PACING}, "replay": "0.2", "hardNegatives": {"share": "0.1", "fraction": "0.1"}},
        1,
    ),
    "groups": ({"balance": "Group", "uniformFloor": "0.05"}, {"pool": {"pacing": PACING}, "replay": "0.1"}, 7),
    "mixed groups": ({"balance": "Group"}, {"pool": {"fraction": "0.5"}, "mixing": {"exponent": "1", "finalExponent": "0.3"}}, 5),
    "weighting": (
        {"order": "HardFirst"},
        {"pool": {"fraction": "1"}, "weighting": {"bins": 5, "temperature": "0.2", "finalTemperature": "10"}},
        3,
    ),
    "tokens": (
        {"batchTokens": {"budget": 700, "maxLength": 90, "lengthScorer": "tokens"}, "batchSize": 30, "uniformFloor": "0.1"},
        {"pool": {"pacing": PACING}},
        2,
    ),
    "random order": ({"order": "Random"}, {"pool": {"pacing": PACING}, "warmUpSteps": 5}, 3),
}


def request(name, seed=11):
    whole, phase, groups = CURRICULA[name]
    phases = [
        {"name": "half", "pool": {"fraction": "0.5"}, "duration": {"steps": FIRST}},
        {"name": "second", **phase, "duration": {"steps": STEPS}},
    ]
    asked = {"curriculum": {"batchSize": BATCH, **whole, "phases": phases}, "seed": seed, "rows": ROWS, "phase": 1}
    return asked if groups is None else {**asked, "groups": groups}


def index_of(folder):
    return folder / "store/index/example/index.arrow"


def damage(folder):
    """One bit of the last score index's bytes: its footer stays whole."""
    content = bytearray(index_of(folder).read_bytes())
    content[1000] ^= 1
    index_of(folder).write_bytes(content)


class Native(SamplerCase):
    def files(self, name="several pools"):
        folder = self.folder / name.replace(" ", "-")
        folder.mkdir()
        support.write_plan(folder, request(name))
        return folder

    def opened(self, name="several pools", **options):
        folder = self.files(name)
        return curriculum.Plan(folder / "plan.json", folder / "store", **options)


class Rows(Native):
    def compare(self, plan, sampler):
        client = curriculum_client.Sampler(sampler.url)
        self.assertEqual((plan.start_step, plan.end_step), (FIRST, END))
        worlds = WORLDS if plan.tokens is None else (1, 2, plan.tokens.budget // plan.tokens.max_length)
        for world in worlds:
            for rank in range(world):
                here = b"".join(plan.batch(step, rank=rank, world_size=world) for step in range(FIRST, END))
                there = client.fetch(FIRST, STEPS, rank, world)[1]
                if plan.tokens is not None:
                    rows = memoryview(there).cast("Q")
                    there = b"".join(row.to_bytes(8, "little") for row in rows if row != 2**64 - 1)
                self.assertEqual(here, there, f"rank {rank} of {world}")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.assertEqual(list(curriculum.BatchSampler(plan)), list(curriculum_client.BatchSampler(client=client)))
        told = client.plan()
        mine = curriculum.BatchSampler(plan).plan()
        self.assertEqual(mine.get("sourceMessage") is None, told.get("sourceMessage") is None)
        mine.pop("sourceMessage", None)
        self.assertEqual(mine, {key: told[key] for key in mine})
        self.assertEqual(plan.sequence_digest(), sampler.result()["sequenceDigest"])

    def test_rows_plan_and_digest_are_those_of_the_sampler(self):
        for name in CURRICULA:
            with self.subTest(name):
                sampler = self.start(request(name))
                index = sampler.folder / "store" if "groups" in request(name) else None
                plan = curriculum.Plan(sampler.folder / "plan.json", index)
                self.assertEqual(plan.source, "Uniform" if index is None else "Index")
                self.compare(plan, sampler)

    def test_rows_that_are_held_out_are_in_no_batch_here_either(self):
        sampler = self.start({**request("uniform"), "heldOut": {"rows": 50, "seed": 3}})
        plan = curriculum.Plan(sampler.folder / "plan.json")
        held_out = curriculum_client.Sampler(sampler.url).held_out()
        self.assertEqual(plan.rows, ROWS)
        self.compare(plan, sampler)
        drawn = {row for step in range(plan.start_step, plan.end_step) for row in plan.batch(step)}
        self.assertEqual(len(held_out), 50)
        self.assertFalse(drawn & {*held_out})

    def test_rows_that_a_filter_leaves_out_are_in_no_batch_here_either(self):
        left = [row for row in range(ROWS) if row % 3]
        listed = b"".join(row.to_bytes(8, "little") for row in left)
        filtered = {"rows": ROWS - len(left), "key": "k", "digest": "sha256:" + hashlib.sha256(listed).hexdigest()}
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        # The plan of a run without scores, which needs the list that the inspection left on the store.
        sampler = self.start(request("uniform"))
        plan = json.loads((sampler.folder / "plan.json").read_text())
        plan |= {"rows": len(left), "groupRows": [len(left)], "filtered": filtered}
        path = folder / "plan.json"
        path.write_text(json.dumps(plan))
        for store in (None, folder):
            with self.assertRaisesRegex(curriculum.ScoreIndexError, "`scoring.overrides` leave cannot be known"):
                curriculum.Plan(path, store, on_index_failure="uniform")
        (folder / "scores/k").mkdir(parents=True)
        (folder / "scores/k/trained.u64").write_bytes(listed)
        plan = curriculum.Plan(path, folder)
        drawn = {row for step in range(plan.start_step, plan.end_step) for row in plan.batch(step)}
        self.assertEqual((plan.source, plan.rows), ("Uniform", ROWS))
        self.assertTrue(drawn and drawn <= {*left})

    def test_they_are_so_without_an_index_that_can_be_used(self):
        sampler = self.start(request("groups"), spoil=damage)
        for index in (sampler.folder / "store", index_of(sampler.folder)):
            plan = curriculum.Plan(sampler.folder / "plan.json", index, on_index_failure="uniform")
            self.assertEqual(plan.source, "UniformIndexUnusable")
            self.assertRegex(plan.source_message, "index.arrow: the score index has digest sha256:.*, expected sha256:")
            self.compare(plan, sampler)
            copy = pickle.loads(pickle.dumps(plan))
            self.assertEqual((copy.source, copy.digest), (plan.source, plan.digest))
            self.assertEqual(copy.batch(FIRST), plan.batch(FIRST))
            sampler = self.start(request("groups"), spoil=damage)

    def test_a_curriculum_compiles_to_the_plan_of_the_operator(self):
        for name in ("one pool", "groups", "a score that moves"):
            folder, asked = self.files(name), request(name)
            theirs = curriculum.Plan(folder / "plan.json", index_of(folder))
            job = {"kind": "CurriculumJob", "spec": {"seed": asked["seed"], "curriculum": asked["curriculum"]}}
            if asked["curriculum"].get("balance"):
                job["spec"]["dataset"] = {"groupColumn": "group"}
            (folder / "job.yaml").write_text(json.dumps(job))
            for source, options in (
                (folder / "job.yaml", {}),
                (job, {}),
                (asked["curriculum"], {"seed": asked["seed"]}),
            ):
                ours = curriculum.Plan.compile(source, index=index_of(folder), phase="second", **options)
                self.assertEqual((ours.digest, ours.phases), (theirs.digest, theirs.phases))
                self.assertEqual(ours.sequence_digest(), theirs.sequence_digest())
            whole = curriculum.Plan.compile(job, index=index_of(folder))
            self.assertEqual([phase.name for phase in whole.phases], ["half", "second"])
            self.assertEqual((whole.start_step, whole.end_step, whole.phase_at(FIRST).name), (0, END, "second"))
            second = whole.phases[1]
            self.assertEqual(whole.sequence_digest(second.start_step, second.end_step), theirs.sequence_digest())
            self.assertEqual(len(list(curriculum.BatchSampler(whole))), END)

    def test_rows_in_the_order_of_difficulty_need_no_index(self):
        phase = {"name": "easy", "pool": {"fraction": "0.1"}, "duration": {"steps": 20}}
        plan = curriculum.Plan.compile({"batchSize": 10, "phases": [phase]}, rows=1000)
        self.assertEqual((plan.source, plan.rows, plan.seed), ("FileOrder", 1000, 0))
        rows = [plan.batch(step).tolist() for step in range(20)]
        self.assertEqual(sorted(sum(rows[:10], [])), list(range(100)))
        self.assertEqual(pickle.loads(pickle.dumps(plan)).batch(3).tolist(), rows[3])
        schedule = {"total_curriculum_step": 10, "difficulty_step": 8}
        learning = {"enabled": True, "curriculum_type": "seqlen", "min_difficulty": 8, "max_difficulty": 64}
        learning.update(schedule_type="fixed_linear", schedule_config=schedule)
        with self.assertWarns(UserWarning) as warned:
            plan = curriculum.Plan.compile({"train_batch_size": 8, "curriculum_learning": learning}, rows=1000)
        self.assertTrue(warned.filename.endswith("test_plan.py"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.assertEqual(pickle.loads(pickle.dumps(plan)).sequence_digest(), plan.sequence_digest())

    def test_batches_lie_in_memory_of_their_own(self):
        plan = self.opened()
        batch, again = plan.batch(FIRST), plan.batch(FIRST)
        self.assertEqual((batch.format, batch.itemsize, batch.readonly, len(batch)), ("Q", 8, False, BATCH))
        batch[0] = 7_000_000_000
        self.assertNotEqual(batch, again)
        self.assertEqual(plan.batch(FIRST), again)

    def test_other_threads_run_while_rows_are_drawn(self):
        phase = {"name": "all", "pool": {"fraction": "1"}, "duration": {"steps": 3}}
        plan = curriculum.Plan.compile({"batchSize": 1 << 20, "uniformFloor": "0.5", "phases": [phase]}, rows=1 << 24)
        for draw in (lambda: plan.batch(1), plan.sequence_digest):
            began, turns = threading.Event(), 0
            thread = threading.Thread(target=lambda draw=draw: (began.set(), draw()))
            thread.start()
            began.wait()
            while thread.is_alive():
                time.sleep(0.001)
                turns += 1
            self.assertGreater(turns, 5)

    def test_a_long_digest_can_be_interrupted(self):
        class Enough(Exception):
            pass

        def enough(*_):
            raise Enough

        phase = {"name": "all", "pool": {"fraction": "1"}, "duration": {"steps": 1_000_000}}
        plan = curriculum.Plan.compile({"batchSize": 1 << 16, "phases": [phase]}, rows=1 << 24)
        before = signal.signal(signal.SIGALRM, enough)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with self.assertRaises(Enough):
            plan.sequence_digest()

    def test_threads_share_a_plan(self):
        plan = self.opened("groups")
        expected = [plan.batch(step).tolist() for step in range(FIRST, END)]
        found = [[] for _ in range(4)]

        def draw(mine):
            mine.extend(plan.batch(step).tolist() for step in range(FIRST, END))

        threads = [threading.Thread(target=draw, args=(mine,)) for mine in found]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, [expected] * 4)


class Errors(Native):
    def refused(self, kind, pattern, call, *arguments, **options):
        with self.assertRaisesRegex(kind, pattern) as caught:
            call(*arguments, **options)
        return caught.exception

    def test_a_plan_that_cannot_be_used_is_refused_with_words(self):
        folder = self.files()
        text = (folder / "plan.json").read_text()
        plan = json.loads(text)
        self.refused(FileNotFoundError, "nowhere.json", curriculum.Plan, folder / "nowhere.json")
        self.refused(IsADirectoryError, str(folder), curriculum.Plan, folder)
        for content, pattern in (
            (text[:-10], "does not parse: EOF"),
            (text.replace('"seed"', '"sed"'), "does not parse: unknown field `sed`"),
            (json.dumps({**plan, "batchSize": 0}), "batchSize"),
            (json.dumps({**plan, "rows": ROWS + 1}), "[gG]roup"),
            (json.dumps({**plan, "version": 99}), "version"),
            (json.dumps({**plan, "phases": []}), "phases"),
            (json.dumps({**plan, "phases": 2 * plan["phases"]}), "phases"),
            (" " * 2_000_000, "has 2000000 bytes"),
            ("\0\x80", "does not parse"),
        ):
            error = self.refused(curriculum.PlanError, pattern, curriculum.Plan, content.encode("latin-1"), folder / "store")
            self.assertIsInstance(error, ValueError)
            self.assertIsInstance(error, curriculum_client.CurriculumError)
        (folder / "cut.json").write_text(text[:100])
        self.refused(curriculum.PlanError, "plan .*cut.json does not parse", curriculum.Plan, folder / "cut.json")

    def test_an_index_that_is_not_the_plans_is_refused(self):
        folder, other = self.files(), self.files("groups")
        plan = folder / "plan.json"
        index = index_of(folder)
        self.refused(curriculum.ScoreIndexError, "`index` was not given", curriculum.Plan, plan)
        self.refused(curriculum.ScoreIndexError, "cannot open the score index", curriculum.Plan, plan, folder / "nowhere")
        self.refused(curriculum.ScoreIndexError, "has digest .* expected", curriculum.Plan, plan, index_of(other))
        damage(folder)
        self.refused(curriculum.ScoreIndexError, "has digest .* expected", curriculum.Plan, plan, index)
        index.write_bytes(b"")
        self.refused(curriculum.ScoreIndexError, "has digest .* expected", curriculum.Plan, plan, folder / "store")
        for content in (b"", b"ARROW1\0\0" + bytes(100)):
            index.write_bytes(content)
            curricula = request("one pool")["curriculum"]
            self.refused(curriculum.ScoreIndexError, "no score index", curriculum.Plan.compile, curricula, index=index)
        self.refused(curriculum_client.CurriculumError, "`on_index_failure` is 'no'", curriculum.Plan, plan, on_index_failure="no")

    def test_a_copy_of_a_plan_wants_the_same_index(self):
        folder = self.files()
        asked = request("several pools")["curriculum"]
        opened = curriculum.Plan(folder / "plan.json", folder / "store")
        compiled = curriculum.Plan.compile(asked, index=index_of(folder))
        texts = [pickle.dumps(plan) for plan in (opened, compiled)]
        for text, plan in zip(texts, (opened, compiled)):
            self.assertEqual(pickle.loads(text).sequence_digest(), plan.sequence_digest())
        other = self.files("groups")
        index_of(other).rename(index_of(folder))
        self.refused(curriculum.ScoreIndexError, "has digest .* expected", pickle.loads, texts[0])
        self.refused(curriculum.PlanError, "is another one than when", pickle.loads, texts[1])

    def test_steps_and_ranks_that_do_not_exist_are_named(self):
        plan = self.opened()
        for step in (FIRST - 1, END, -1, 2**62):
            error = self.refused(curriculum.StepError, f"step {step} is outside .* from {FIRST} to before {END}", plan.batch, step)
            self.assertIsInstance(error, IndexError)
            self.refused(curriculum.StepError, f"step {step} ", plan.phase_at, step)
        for rank, world, pattern in (
            (3, 3, "`rank` is 3; expected 0 to 2"),
            (-1, 1, "`rank` is -1; expected 0 to 0"),
            (0, 0, "`world_size` is 0; expected 1 to 12"),
            (0, 13, "`world_size` is 13; expected 1 to 12: a batch has 12 rows"),
            (0, 2**40, "`world_size` is 1099511627776; expected"),
        ):
            self.refused(curriculum.RankError, pattern, plan.batch, FIRST, rank=rank, world_size=world)
        self.refused(curriculum.StepError, "step 0", plan.sequence_digest, 0)
        self.refused(curriculum.StepError, f"step {END + 1}", plan.sequence_digest, FIRST, END + 1)
        self.refused(TypeError, "float", plan.batch, 100.0)
        self.refused(curriculum.CurriculumError, "`start_step` is 1;", curriculum.BatchSampler, plan, 1)
        self.refused(curriculum.CurriculumError, "has 7 rows", curriculum.BatchSampler, plan, dataset=range(7))

    def test_a_curriculum_that_cannot_be_compiled_names_the_field(self):
        index = index_of(self.files("groups"))
        asked = request("several pools")["curriculum"]
        compile = curriculum.Plan.compile
        self.refused(curriculum.PlanError, "one of `rows` and `index`", compile, asked)
        self.refused(curriculum.PlanError, "one of `rows` and `index`", compile, asked, rows=ROWS, index=index)
        self.refused(curriculum.PlanError, "`rows` is 0; expected 1 to", compile, asked, rows=0)
        self.refused(curriculum.PlanError, "`seed` is -1; expected 0 to", compile, asked, rows=ROWS, seed=-1)
        self.refused(curriculum.PlanError, "no phase 'third'; .* half, second", compile, asked, rows=ROWS, phase="third")
        self.refused(curriculum.PlanError, "batchSize: 0", compile, {**asked, "batchSize": 0}, rows=ROWS)
        self.refused(curriculum.PlanError, "unknown field `pools`", compile, {**asked, "pools": 1}, rows=ROWS)
        self.refused(curriculum.PlanError, "needs the groups of the rows", compile, {**asked, "balance": "Group"}, rows=ROWS)
        self.refused(FileNotFoundError, "no.yaml", compile, self.folder / "no.yaml", rows=ROWS)
        (self.folder / "bad.yaml").write_text("batchSize: [")
        self.refused(curriculum.PlanError, "bad.yaml: ", compile, self.folder / "bad.yaml", rows=ROWS)


class Position(Native):
    def test_training_goes_on_from_a_state_with_another_world(self):
        plan = self.opened("groups")
        whole = list(curriculum.BatchSampler(plan))
        sampler = curriculum.BatchSampler(plan)
        items = iter(sampler)
        begun = [next(items) for _ in range(7)]
        state = json.loads(json.dumps(sampler.state_dict()))
        ranks = [curriculum.BatchSampler(plan, rank=rank, world_size=3) for rank in range(3)]
        for rank in ranks:
            rank.load_state_dict(state)
        rest = [sum(parts, []) for parts in zip(*ranks)]
        self.assertEqual(begun + rest, whole)
        self.assertEqual(begun + list(pickle.loads(pickle.dumps(sampler))), whole)
        parts = list(curriculum.BatchSampler(plan, micro_batches=4))
        self.assertEqual([sum(parts[4 * i : 4 * i + 4], []) for i in range(STEPS)], whole)
        with self.assertRaises(curriculum_client.StateMismatch):
            curriculum.BatchSampler(self.opened("several pools")).load_state_dict(state)

    def test_nobody_is_told(self):
        with self.assertWarnsRegex(RuntimeWarning, "reports to nobody"):
            decision = curriculum.BatchSampler(self.opened()).report(FIRST, {"loss": 1})
        self.assertEqual(decision, {"decision": "continue"})


class Interface(Native):
    def test_what_is_public_is_explained_and_typed(self):
        for name in curriculum.__all__:
            thing = getattr(curriculum, name)
            self.assertTrue(thing.__doc__, name)
            members = vars(thing).items() if inspect.isclass(thing) else ()
            for member, value in members:
                if member.startswith("_") or isinstance(value, str):
                    continue
                function = getattr(value, "fget", None) or getattr(value, "__func__", value)
                if inspect.isfunction(function):
                    self.assertTrue(function.__doc__, f"{name}.{member}")
                    self.assertIn("return", typing.get_type_hints(function), f"{name}.{member}")

    def test_the_stub_tells_what_the_extension_module_has(self):
        from curriculum import _native

        tree = ast.parse((pathlib.Path(curriculum.__file__).parent / "_native.pyi").read_text())
        told = {node.name: node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
        self.assertEqual(sorted(told), sorted(_native.__all__))
        stub = told["Plan"].body
        members = {node.target.id if isinstance(node, ast.AnnAssign) else node.name: node for node in stub}
        found = [name for name in vars(_native.Plan) if not name.startswith("_")]
        self.assertEqual(sorted(members), sorted(found))
        functions = {name: (node, getattr(_native, name)) for name, node in told.items() if name != "Plan"}
        methods = {name: (node, getattr(_native.Plan, name)) for name, node in members.items() if isinstance(node, ast.FunctionDef)}
        for name, (node, function) in {**functions, **methods}.items():
            names = [argument.arg for argument in node.args.args]
            self.assertEqual(names, list(inspect.signature(function).parameters), name)
