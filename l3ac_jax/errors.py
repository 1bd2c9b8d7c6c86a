"""What is wrong with what was given, as opposed to what is wrong with this program.

The message of each of these is all that the user needs, in one or a few lines that name the file,
the option or the argument: the commands print it without a traceback (cli/run.py).
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "AudioError",
    "BitstreamError",
    "ComparisonError",
    "ConfigError",
    "CurvesError",
    "DatasetError",
    "DownloadError",
    "ForkError",
    "LayoutError",
    "ListeningPageError",
    "LoaderError",
    "MissingPackageError",
    "ModelNotFoundError",
    "OutputError",
    "PlatformError",
    "PrepareError",
    "RecordError",
    "ReferenceCodecError",
    "ReportError",
    "ScoreError",
    "SourceError",
    "SpoolError",
    "StreamingError",
    "TokenDatasetError",
    "TrainingDivergedError",
    "TreeError",
    "UploadError",
    "UserError",
    "WeightsError",
    "WorkError",
    "WrongModelError",
]


class UserError(ValueError):
    """What was given cannot be used as it is. A command ends with exit code 2."""


class ArgumentError(UserError):
    """An argument of the public interface, or an option of a command, that makes no sense."""


class AudioError(UserError):
    """Audio that cannot be read or written; the message names the file and the reason."""


class BitstreamError(UserError):
    """An `.l3ac` file that cannot be written or read; the message names it and says why."""


class ComparisonError(UserError):
    """Evaluations that cannot be compared; the message names the file."""


class ConfigError(UserError):
    """A configuration that cannot be used; the message names the file and the key."""


class CurvesError(UserError):
    """A run without figures to draw; the message names the file."""


class DatasetError(UserError):
    """A prepared corpus that is missing, incomplete or damaged; the message names the file."""


class DownloadError(UserError):
    """What is neither here nor to be had, as published weights; the message says what to do."""


class ForkError(UserError):
    """A process in which JAX cannot compute, since its parent had computed before it was forked."""


class LayoutError(UserError):
    """A source folder that is not what the publisher ships; the message says what is missing."""


class ListeningPageError(UserError):
    """A report and audio that do not fit together; the message names the clip and the codec."""


class MissingPackageError(UserError, ImportError):
    """An optional package that is not installed; the message names the extra that has it."""


class ModelNotFoundError(UserError):
    """A name that is no model's, or a file or folder that holds none."""


class OutputError(UserError):
    """A path that cannot be written; the message names it and says why."""


class PlatformError(UserError):
    """What this operating system does not have; the message says what needs it."""


class PrepareError(UserError):
    """A target that cannot be used or finished; what is done stays, and the message says how on."""


class RecordError(UserError):
    """Bytes that are no record of a clip, or no longer what was written."""


class ReferenceCodecError(UserError):
    """A reference codec that is not known, not installed, or does not do what it should."""


class ReportError(UserError):
    """A report that cannot be read; the message names the file."""


class SourceError(UserError):
    """A recording that was there and cannot be read now: no reason to go on without it."""


class SpoolError(UserError):
    """Temporary files that cannot be written; the message says where and why."""


class StreamingError(UserError):
    """A model, or a part of it, that cannot work step by step; the message says why."""


class TokenDatasetError(UserError):
    """A dataset of tokens that cannot be written or read; the message names it and says why."""


class TreeError(UserError):
    """A folder that cannot be worked on; the message names it and says why."""


class UploadError(UserError):
    """A hub repository that cannot be written to; the message names it and says why."""


class WeightsError(UserError):
    """Weights that cannot be used; the message names the file or folder, and all reasons."""


class WrongModelError(UserError):
    """Tokens that a codec cannot decode; the message says which codec could."""


class WorkError(RuntimeError):
    """Work that failed although what was given could be used. A command ends with exit code 1."""


class LoaderError(WorkError):
    """Workers that ended, or for which there is no memory."""


class ScoreError(WorkError):
    """Workers that ended before their work was done."""


class TrainingDivergedError(WorkError):
    """Too many steps in a row whose loss or gradient was not finite."""
