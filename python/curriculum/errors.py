"""What can go wrong. A file that cannot be read is an ``OSError``, as everywhere in Python."""

from curriculum_client.errors import CurriculumError

__all__ = ["CurriculumError", "PlanError", "RankError", "ScoreIndexError", "StepError"]


class PlanError(CurriculumError, ValueError):
    """A plan or curriculum is damaged, contradicts itself, or does not fit the data. Names the field."""


class ScoreIndexError(CurriculumError):
    """A score index cannot be used: missing, damaged, not the plan's, or written over while in use."""


class StepError(CurriculumError, IndexError):
    """A step is not one of the plan's."""


class RankError(CurriculumError, ValueError):
    """A rank is not one of the processes that share a batch, or there are more of them than rows."""
