"""The user's part of the programs in docs/frameworks: a data set and a small model. It notes the rows that the model is trained on."""

import json
import os

import torch
import torch.distributed
from pages import ROWS


class Rows(torch.utils.data.Dataset):
    """Input r of row r."""

    def __len__(self):
        return ROWS

    def __getitem__(self, row):
        return torch.tensor([float(row)]), torch.tensor([row / ROWS])


class Model(torch.nn.Module):
    """Gives the loss. Each call in training is one line of the file of this rank."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(1, 1)
        self.calls = 0

    def forward(self, inputs, labels):
        if self.training:
            note(self, inputs)
        return torch.nn.functional.mse_loss(self.layer(inputs / ROWS), labels)


def note(model, inputs):
    """Tells the test the rows; ends the process when the test says so."""
    if str(model.calls) == os.environ.get("CRASH_AFTER"):
        os._exit(9)
    model.calls += 1
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    with open(os.path.join(os.environ["TRAINED"], f"rank-{rank}"), "a") as file:
        print(json.dumps([int(row) for row in inputs.flatten().tolist()]), file=file)


dataset = Rows()
