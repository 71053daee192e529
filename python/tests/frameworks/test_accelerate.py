"""Accelerate: docs/frameworks/accelerate.md, and loaders that it divides or rebuilds."""

import re
import unittest

from pages import FrameworkCase, code, steps_of

PREPARED = """
import curriculum_client
from accelerate import Accelerator, DataLoaderConfiguration
from torch.utils.data import DataLoader
from project import Model, dataset

accelerator = Accelerator(dataloader_config=DataLoaderConfiguration({configuration}))
model = accelerator.prepare(Model())
sampler = curriculum_client.open_sampler({options})
loader = accelerator.prepare(DataLoader(dataset, {loader}))
for item in {loop}:
    pass
"""


# What `accelerate launch --cpu` tells processes beside their ranks.
CPU = {"ACCELERATE_USE_CPU": "true"}


class Two(FrameworkCase):
    ENVIRONMENT = CPU

    def test_the_page_trains_the_curriculum_over_two_phases(self):
        self.assert_two_phases_with_a_crash(code("accelerate.md"), micro=2)

    def test_a_loader_that_was_prepared_is_refused(self):
        for configuration in ("", "split_batches=True", "use_stateful_dataloader=True"):
            program = PREPARED.format(options="", configuration=configuration, loader="batch_sampler=sampler", loop="loader")
            self.assert_refused(program, "SamplerNotUsed: a framework is about to divide .* CurriculumLoader")

    def test_a_loader_whose_batches_one_process_sends_to_the_others_is_refused(self):
        configuration = "dispatch_batches=True"
        program = PREPARED.format(options="", configuration=configuration, loader="batch_sampler=sampler", loop="sampler.track(loader)")
        self.assert_refused(program, "SamplerNotUsed: .* step 0 that it did not ask .* CurriculumLoader")

    def test_the_loader_may_be_prepared_by_mistake(self):
        program = re.sub(r"CurriculumLoader\(accelerator, dataset, num_workers=1\)", r"accelerator.prepare(\g<0>)", code("accelerate.md"))
        self.assertIn("accelerator.prepare(CurriculumLoader", program)
        attempt = self.attempt(program)
        self.assertEqual((attempt.codes, attempt.result["servedStep"]), ([0, 0], steps_of(0)[1]), attempt.output)
        self.assert_trained(attempt, 0, 2 * steps_of(0)[1], micro=2)

    def test_processes_that_accelerate_does_not_know_of_are_refused(self):
        message = r"WORLD_SIZE is 2, but Accelerate knows of 1 process\(es\).* `accelerate launch --cpu`"
        attempt = self.assert_refused(code("accelerate.md"), message, ACCELERATE_USE_CPU="false")
        self.assertEqual(attempt.trained, [])


class One(FrameworkCase):
    PROCESSES = 1
    ENVIRONMENT = CPU

    def test_a_loader_that_was_prepared_for_whole_batches_is_refused(self):
        program = PREPARED.format(options="output='numpy'", configuration="", loader="sampler=sampler, batch_size=None", loop="sampler.track(loader)")
        attempt = self.assert_refused(program, "SamplerNotUsed: .* step 0 that it did not ask .* CurriculumLoader")
        self.assertEqual(attempt.result["servedStep"], 0)


if __name__ == "__main__":
    unittest.main()
