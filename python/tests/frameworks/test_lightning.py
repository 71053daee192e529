"""Lightning: docs/frameworks/lightning.md, its own way to start processes, and loaders that it rebuilds."""

import unittest

from pages import FrameworkCase, code, steps_of

PROJECT = """
import lightning.pytorch as lightning
import torch
import small_model
from small_model import dataset

class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = small_model.Model()

    def training_step(self, batch, number):
        loss = self.model(*batch)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, number):
        self.log("val_loss", self.model(*batch), sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
"""

MODULE = """
class Data(lightning.LightningDataModule):
    def train_dataloader(self):
        return curriculum.loader

    def val_dataloader(self):
        import torch
        return torch.utils.data.DataLoader(dataset, batch_size=10)

"""

PLAIN = """
import curriculum_client
import lightning.pytorch as lightning
from torch.utils.data import DataLoader
from project import Model, dataset

loader = DataLoader(dataset, batch_sampler=curriculum_client.open_sampler())
options = dict(max_steps=6, accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False)
lightning.Trainer(use_distributed_sampler={distributed}, **options).fit(Model(), loader)
"""


class Lightning(FrameworkCase):
    PROJECT = PROJECT


class Torchrun(Lightning):
    def test_the_page_trains_the_curriculum_over_two_phases(self):
        self.assert_two_phases_with_a_crash(code("lightning.md"), micro=2)

    def test_the_next_phase_goes_on_from_a_checkpoint_of_the_last_batch(self):
        """The pod may end before the checkpoint after `fit`."""
        program = code("lightning.md").replace("trainer.save_checkpoint", "print")
        for phase in (0, 1):
            attempt = self.attempt(program, phase)
            first, end = steps_of(phase)
            self.assertEqual((attempt.codes, attempt.result["servedStep"]), ([0, 0], end), attempt.output)
            self.assert_trained(attempt, first, 2 * (end - first), micro=2)

    def test_a_data_module_with_validation_leaves_the_position_alone_and_is_reported(self):
        program = code("lightning.md").replace("curriculum.loader", "datamodule=Data()")
        program = program.replace("trainer = ", MODULE + "trainer = ").replace("max_epochs=-1,", "max_epochs=-1, val_check_interval=4,")
        for crash, served, first in ((9, None, 0), (None, steps_of(0)[1], 3)):
            attempt = self.attempt(program, crash_after=crash)
            self.assert_trained(attempt, first, crash or 2 * (served - first), micro=2)
        self.assertEqual((attempt.codes, attempt.result["servedStep"]), ([0, 0], served), attempt.output)
        self.assertEqual(attempt.result["metrics"]["val_loss"]["step"], 6)

    def test_a_validation_is_reported_once(self):
        program = code("lightning.md").replace("curriculum.loader", "datamodule=Data()")
        program = program.replace("trainer = ", MODULE + "trainer = ").replace("max_epochs=-1,", "max_epochs=-1, val_check_interval=8,")
        program = program.replace("log_every_n_steps=3", "log_every_n_steps=1")
        # It crashes a step and a half behind the validation after step 4.
        metrics = self.attempt(program, crash_after=11).result["metrics"]
        self.assertEqual((metrics["val_loss"]["step"], metrics["loss"]["step"]), (4, 5))

    def test_a_loader_that_is_rebuilt_is_refused(self):
        self.assert_refused(PLAIN.format(distributed=True), "SamplerNotUsed: a framework is about to divide .* CurriculumLoader")

    def test_epochs_of_the_phases_before_are_refused(self):
        program = code("lightning.md").replace("max_epochs=-1", "max_epochs=1")
        self.assert_refused(program, "`max_epochs` is 1, which counts the phases of before too; give Trainer\\(max_epochs=-1\\)")

    def test_another_loader_is_refused(self):
        program = code("lightning.md").replace("curriculum.loader", "torch.utils.data.DataLoader(dataset)")
        self.assert_refused("import torch\n" + program, "SamplerNotUsed: the Trainer was given another training loader")


class Own(Lightning):
    """What Lightning tells the processes that it starts itself: no RANK."""

    def place(self, rank):
        return {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(self.PROCESSES)}

    def test_a_sampler_without_a_rank_is_refused(self):
        self.assert_refused(PLAIN.format(distributed=False), "WORLD_SIZE is 2 but RANK is not set: .* torchrun")


class Launched(Lightning):
    def launched(self):
        return 1

    def test_processes_that_lightning_starts_are_its_ranks(self):
        attempt = self.attempt(code("lightning.md"))
        self.assertEqual((attempt.codes, attempt.result["servedStep"]), ([0], steps_of(0)[1]), attempt.output)
        self.assert_trained(attempt, 0, 2 * steps_of(0)[1], micro=2)


if __name__ == "__main__":
    unittest.main()
