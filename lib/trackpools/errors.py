"""Every failure the product raises on purpose, and the exit code each one becomes."""

from collections.abc import Sequence


class TrackpoolsError(Exception):
    """A failure with a sentence for people and a list of problems for scripts.

    Args:
        message: what was wrong, what we got and what to do, in one or two sentences.
        problems: every single problem found, so that one run shows them all.
    """

    exit_code = 1
    code = "crash"

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        self.message = message
        self.problems = list(problems)
        super().__init__("\n".join([message, *(f"  - {problem}" for problem in self.problems)]))


class ConfigError(TrackpoolsError):
    """Arguments or configuration that cannot be meant."""

    exit_code = 2
    code = "config"


class InputError(TrackpoolsError):
    """Input data that cannot be read as what it is said to be."""

    exit_code = 2
    code = "input"


class QualityError(TrackpoolsError):
    """Input or output below a data-quality gate; nothing was published."""

    exit_code = 3
    code = "quality"


class ContractError(QualityError):
    """A table does not hold what `tables.py` promises of it."""

    code = "contract"


class ModelError(TrackpoolsError):
    """A model that must not replace the one in use."""

    exit_code = 4
    code = "model"


class StoppedError(TrackpoolsError):
    """Somebody has switched serving off; what is released stays as it is."""

    exit_code = 3
    code = "stopped"


class BusyError(TrackpoolsError):
    """Another run holds the lease, or published first."""

    exit_code = 75
    code = "busy"
