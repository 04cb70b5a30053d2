"""`trackpools doctor`: the machine, checked and told."""

from dataclasses import asdict
from pathlib import Path

from trackpools.config import Config
from trackpools.shell import doctor as d
from trackpools.shell.command import Answer
from trackpools.shell.lock import local_path


def doctor(config: Config) -> Answer:
    """Every check, what is to mend, and what to do next."""
    found = d.checks(config)
    failing = [check.name for check in found if not check.ok]
    root = local_path(config.store.root)
    after = (
        "trackpools demo"
        if root is None or not (Path(root) / "tables").is_dir()
        else f"trackpools releases --root {config.store.root}"
    )
    said = f"{len(failing)} to mend: {', '.join(failing)}" if failing else f"all fit; next: {after}"
    return Answer(lines=[d.render(found), said], more={"checks": [asdict(check) for check in found]})
