"""The command `trackpools doctor`: check the machine and report the result."""

from dataclasses import asdict
from pathlib import Path

from trackpools.config import Config
from trackpools.shell.command import CommandResult, TextTable, printable
from trackpools.shell.commands import doctor_checks as d
from trackpools.shell.store.root_lock import local_path


def doctor(config: Config) -> CommandResult:
    """Run every check; report the results, the failed checks, and the next command."""
    found = d.checks(config)
    failing = [check.name for check in found if not check.ok]
    root = local_path(config.store.root)
    after = (
        "trackpools demo"
        if root is None or not (Path(root) / "tables").is_dir()
        else f"trackpools releases --root {config.store.root}"
    )
    said = (
        f"failed checks ({len(failing)}): {', '.join(failing)}"
        if failing
        else f"all checks passed; next: {after}"
    )
    return CommandResult(lines=[_grid(found), said], more={"checks": [asdict(check) for check in found]})


def _grid(found: list[d.DoctorCheck]) -> TextTable:
    """Build a table of the checks; its last column says what to type for a failed check."""
    rows = [
        (
            "ok" if check.ok else "no",
            check.name,
            printable(check.found, 400),
            # this check always passes, but its hint about a faster BLAS is worth reading
            printable(check.fix, 400) if not check.ok or check.name == "BLAS of the JVM" else "",
        )
        for check in found
    ]
    styles = {"ok": "green", "no": "bold red"}
    return TextTable(("", "what", "found", "to do"), rows, border=False, styles=styles)
