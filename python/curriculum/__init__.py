"""The engine of the curriculum operator in this process: which rows make up the batch of a step.

The rows are those of the operator's sampler, byte for byte, without HTTP and without a cluster::

    plan = curriculum.Plan("plan.json", index="index.arrow")      # what the operator made
    plan = curriculum.Plan.compile("job.yaml", index="index.arrow")   # the same from the job itself
    rows = plan.batch(step)

    sampler = curriculum.BatchSampler(plan)                       # of a PyTorch DataLoader
    loader = DataLoader(dataset, batch_sampler=sampler)

Nobody is told what was drawn here. In a pod of the operator use :mod:`curriculum_client`: what it takes is
counted.
"""

from .errors import CurriculumError, PlanError, RankError, ScoreIndexError, StepError
from .plan import Phase, Plan, TokenBudget
from .samplers import BatchSampler

__all__ = [
    "BatchSampler",
    "CurriculumError",
    "Phase",
    "Plan",
    "PlanError",
    "RankError",
    "ScoreIndexError",
    "StepError",
    "TokenBudget",
]
__version__ = "0.1.0"
