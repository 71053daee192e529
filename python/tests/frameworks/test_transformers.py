"""The Trainer of Transformers: docs/frameworks/transformers.md, and loaders that it divides."""

import unittest

from pages import PHASES, FrameworkCase, code, steps_of

PROJECT = """
import torch
import small_model

class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return len(small_model.dataset)

    def __getitem__(self, row):
        inputs, labels = small_model.dataset[row]
        return {"inputs": inputs, "labels": labels}

class Model(small_model.Model):
    def forward(self, inputs, labels):
        return {"loss": super().forward(inputs, labels)}

dataset = Rows()
"""

PREPARED = """
import curriculum_client
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments
from project import Model, dataset

class Own(Trainer):
    def get_train_dataloader(self):
        return self.accelerator.prepare(DataLoader(dataset, batch_sampler=curriculum_client.open_sampler()))

arguments = TrainingArguments("out", max_steps=6, report_to="none", use_cpu=True)
Own(model=Model(), args=arguments, train_dataset=dataset).train()
"""


class Named(FrameworkCase):
    """With a project whose items have names, as this framework wants them."""

    PROJECT = PROJECT


class Two(Named):
    def test_the_page_trains_the_curriculum_over_two_phases(self):
        self.assert_two_phases_with_a_crash(code("transformers.md"), micro=2)

    def test_evaluation_leaves_the_position_alone_and_is_reported(self):
        options = 'use_cpu=True, eval_strategy="steps", eval_steps=2, load_best_model_at_end=False'
        program = code("transformers.md").replace("use_cpu=True", options).replace("train_dataset", "eval_dataset=dataset, train_dataset")
        attempt = self.attempt(program)
        self.assertEqual((attempt.codes, attempt.result["servedStep"]), ([0, 0], steps_of(0)[1]), attempt.output)
        self.assert_trained(attempt, 0, 2 * steps_of(0)[1], micro=2)
        self.assertEqual(attempt.result["metrics"]["eval_loss"]["step"], 6)

    def test_a_loader_that_was_prepared_is_refused(self):
        self.assert_refused(PREPARED, "SamplerNotUsed: a framework is about to divide .* CurriculumLoader")

    def test_processes_that_accelerate_does_not_know_of_are_refused(self):
        program = code("transformers.md").replace("use_cpu=True", "use_cpu=False")
        self.assert_refused(program, r"WORLD_SIZE is 2, but Accelerate knows of 1 process\(es\).* TrainingArguments\(use_cpu=True\)")


class One(Named):
    PROCESSES = 1

    def test_a_checkpoint_at_the_end_of_a_phase_that_divides_the_run_is_complete(self):
        """The Trainer begins no epoch then, and asks for nothing."""
        for phase in (0, 0):
            attempt = self.attempt(code("transformers.md"), phase=phase)
            self.assertEqual((attempt.codes, attempt.result["servedStep"]), ([0], PHASES[0][1]), attempt.output)
        self.assertEqual((attempt.trained, attempt.result["resumedAt"]), ([], PHASES[0][1]))

    def test_a_checkpoint_that_was_cut_off_is_passed_over_and_one_of_others_refused(self):
        self.attempt(code("transformers.md"), crash_after=2 * 4)
        (self.checkpoints / "checkpoint-5").mkdir()
        attempt = self.attempt(code("transformers.md"))
        self.assertEqual((attempt.codes, attempt.result["resumedAt"]), ([0], 3), attempt.output)
        (self.checkpoints / "checkpoint-9").mkdir()
        (self.checkpoints / "checkpoint-9/trainer_state.json").write_text("{}")
        self.assert_refused(code("transformers.md"), "checkpoint-9 was not made by a CurriculumTrainer")

    def test_a_schedule_may_be_longer_than_the_phase_and_not_shorter(self):
        program = code("transformers.md").replace("learning_rate=0.1", "learning_rate=0.1, max_steps={}").replace("save_steps=3", "save_steps=4")
        attempt = self.attempt(program.format(steps_of(1)[1]))
        self.assertEqual((attempt.codes, attempt.result["servedStep"]), ([0], steps_of(0)[1]), attempt.output)
        self.assertTrue((self.checkpoints / f"checkpoint-{steps_of(0)[1]}").is_dir())
        self.assert_refused(program.format(4), "`max_steps` is 4, but the phase ends at step 6")


if __name__ == "__main__":
    unittest.main()
