"""What can go wrong."""


class CurriculumError(Exception):
    """Base of all errors of this package."""


class SamplerUnavailable(CurriculumError):
    """The sampler did not answer within the time-out."""


class RequestRefused(CurriculumError):
    """The sampler understood the request and refused it; the message says what would be right."""


class SessionRefused(RequestRefused):
    """The sampler refuses this process: its checkpoint is of another run, or another process claims the same rank."""


class StateMismatch(CurriculumError):
    """A saved state belongs to another run, another phase or another plan."""


class SamplerNotUsed(CurriculumError):
    """A data loader gave batches that are not those of the sampler: it, or a framework around it, chose or divided the rows itself."""


class DatasetError(CurriculumError):
    """The data set cannot be read as asked; the message names the file and what to do."""


class BadRow(DatasetError):
    """A row of a text file is none: a line of CSV with another number of fields than the header, or a line that is no JSON object."""
