"""Batches of a plan for PyTorch, drawn in this process. It needs PyTorch.

::

    sampler = curriculum.pytorch.BatchSampler(plan, dataset=dataset)
    loader = curriculum.pytorch.CurriculumLoader(dataset, sampler=sampler, num_workers=4)
    for inputs, labels in loader:
        ...

A ``DataLoader(dataset, batch_sampler=sampler)`` does as well.
"""

from curriculum_client.pytorch import CurriculumLoader

from .samplers import BatchSampler

__all__ = ["BatchSampler", "CurriculumLoader"]
