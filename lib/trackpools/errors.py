"""The errors that a command reports without a stack trace, each with its exit code.

Any other exception, such as a `ValueError` for a wrong argument of a function, ends a command with exit
code 1, the error name `crash` and a stack trace on standard error. Two kinds become a `ConfigError`
instead: a `ValueError` of a check in `config`, and a missing package `pyspark` or `delta`.
"""

from collections.abc import Sequence


class TrackpoolsError(Exception):
    """An error with a message and a list of single problems.

    The class itself is used for failures that no other class describes: an interrupted command, a failed
    build of the wheel, a failed export to the key-value store, and any other exception that ends a command
    (its stack trace is printed first).

    Args:
        message: what was wrong, what was found and what to do, in one or two sentences.
        problems: every single problem, so that one run shows them all.

    Attributes:
        exit_code: the exit code of a command that fails with this error.
        code: the name of the error for scripts.
    """

    exit_code = 1
    code = "crash"

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        self.message = message
        self.problems = list(problems)
        super().__init__("\n".join([message, *(f"  - {problem}" for problem in self.problems)]))


class ConfigError(TrackpoolsError):
    """The arguments or the configuration are invalid, or something that they need is missing.

    For example, a package, Java, the jars, an environment variable or the key-value store is missing.
    """

    exit_code = 2
    code = "config"


class InputError(TrackpoolsError):
    """The input does not exist, cannot be read in its declared format, or is not enough for the command.

    The input is a file, a table or a release. For example, a log is too short, or there are no pools to
    publish.
    """

    exit_code = 2
    code = "input"


class QualityError(TrackpoolsError):
    """Data did not pass a check of quality.

    An import that raises this class itself has written no rows. A run that raises it because an input table
    breaks its contract has run no stage. `watch` raises it if the log or the pools of a release are not as
    usual; that release stays published.
    """

    exit_code = 3
    code = "quality"


class ContractError(QualityError):
    """The content of a table does not match `tables.py`, or what was recorded about the table.

    It is also raised in these cases:

    - Tables do not belong together, such as user factors and recording factors of different models.
    - No user is eligible for a pool.
    - The state of the switches is unknown.
    - An export is incomplete.
    - The leakage test of `evaluate` finds plays from after the cut.
    - The counts of an import do not add up. In this case, its rows were already written.
    """

    code = "contract"


class ModelError(TrackpoolsError):
    """A model cannot be used, or pools must not replace those of the release in force.

    There are five cases:

    - The training diverged, or factors are not finite.
    - A challenger did not pass the gates of a promotion.
    - The settings changed, and `promote.required` is true, so only `promote` may publish.
    - A refresh would mix pools of different settings.
    - A canary was rolled back.
    """

    exit_code = 4
    code = "model"


class StoppedError(TrackpoolsError):
    """Everything, the model or the market is switched off, so no pools are served.

    `trackpools switch` sets and lifts such a switch. Releases stay as they are.
    """

    exit_code = 3
    code = "stopped"


class BusyError(TrackpoolsError):
    """Another run holds the lock, has written the same table or has published first.

    The command can be run again, once the other run has ended.
    """

    exit_code = 75
    code = "busy"


class NumberTakenError(BusyError):
    """This run chose a number for a new id, but another run used it first; nothing was written."""
