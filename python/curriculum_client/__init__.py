"""The trainer's side of a CurriculumJob: which rows make up the next batch, and how training goes.

The operator puts everything that is needed into the environment of the trainer's container::

    sampler = curriculum_client.open_sampler()
    for rows in sampler:
        train(rows)
        sampler.report(sampler.step, {"loss": loss})
"""

from . import dataset
from .client import Sampler
from .errors import CurriculumError, RequestRefused, SamplerNotUsed, SamplerUnavailable, SessionRefused, StateMismatch
from .samplers import BatchSampler, FileSampler, open_sampler

__all__ = [
    "BatchSampler",
    "CurriculumError",
    "FileSampler",
    "RequestRefused",
    "Sampler",
    "SamplerNotUsed",
    "SamplerUnavailable",
    "SessionRefused",
    "StateMismatch",
    "dataset",
    "open_sampler",
]
__version__ = "0.1.0"
