"""What can go wrong."""


class CurriculumError(Exception):
    """Base of all errors of this package."""


class SamplerUnavailable(CurriculumError):
    """The sampler did not answer within the time-out."""


class RequestRefused(CurriculumError):
    """The sampler understood the request and refused it; the message says what would be right."""


class StateMismatch(CurriculumError):
    """A saved state belongs to another run, another phase or another plan."""
