"""Make `fixtures/root_d3b650f.tar.xz`, a small root as the code of another commit leaves it; no test runs this.

    git worktree add /tmp/d3b650f d3b650f
    PYTHONPATH=/tmp/d3b650f/lib .venv/bin/python tests/snapshot/make_old_root.py tests/fixtures/root_d3b650f.tar.xz

Only the command line is used, so the code of any commit can be called. The root has three releases: of a full
run, of a refresh after a second import, and of another full run. Beside the tables lie the model that the last
training registered, and what that code answered.
"""

import datetime as dt
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

SETTINGS = (
    *("train.rank=8", "train.iterations=5", "pools.k=40", "sources.als.k=60", "sources.als.k_heard=20"),
    *("sources.popular.k=120", "rules.min_listeners=1", "report.enabled=false"),
    *("synthetic.users=30", "synthetic.tracks=200", "synthetic.days=40", "synthetic.seed=3"),
)
USER = "u00000003"
FIRST_AS_OF = "2025-12-25T00:00:00Z"
CAME = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)  # the synthetic log ends here
LISTENED = ("t00000000", "t00000004", "t00000008")  # what is heard after it
KNOWN = {"recording_ids": ["r00000000", "r00000004"], "k": 5}  # what the model is asked


def came(day, users):
    """Rows of a log: plays of these users so many days after the synthetic log."""
    return [
        {"event_id": f"{day}-{user}-{n}", "user_id": user, "track_id": track, "ms_played": 200_000}
        | {"played_at": (CAME + dt.timedelta(days=day, minutes=5 * n)).isoformat()}
        for user in users
        for n, track in enumerate(LISTENED)
    ]


def made(root, folder):
    """Three releases in a root, and answers in the folder `answers` beside its tables."""

    def call(*words):
        settings = [part for one in SETTINGS for part in ("--set", one)]
        command = [sys.executable, "-m", "trackpools", *words, "--root", str(root), *settings, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=folder)
        return done.stdout

    call("import", "synthetic")
    call("run", "--as-of", FIRST_AS_OF)
    (folder / "came.json").write_text("".join(f"{json.dumps(row)}\n" for row in came(0, (USER, "u00000007"))))
    call("import", "events", str(folder / "came.json"))
    call("refresh")
    call("run")
    (root / "answers").mkdir()
    for name, words in {"show": ("show", "pools", "--user", USER), "releases": ("releases",)}.items():
        (root / "answers" / f"{name}.json").write_text(call(*words), encoding="utf-8")


def asked(model):
    """What the model in a folder answers."""
    import mlflow
    import pandas as pd

    request = pd.DataFrame({"recording_ids": [KNOWN["recording_ids"]]})
    found = mlflow.pyfunc.load_model(str(model)).predict(request, params={"k": KNOWN["k"]})
    return {name: list(found[name][0]) for name in ("recording_ids", "scores")}


def packed(root, to):
    """Tables without checksums, the model last registered, and the answers, in one archive."""
    model = max(root.glob("mlartifacts/**/MLmodel"), key=lambda path: path.stat().st_mtime).parent
    (root / "answers" / "model.json").write_text(json.dumps(asked(model)), encoding="utf-8")
    files = {
        path.relative_to(root).as_posix(): path
        for part in ("tables", "answers")
        for path in (root / part).rglob("*")
    }
    files |= {f"model/{path.relative_to(model).as_posix()}": path for path in model.rglob("*")}
    with tarfile.open(to, "w:xz", preset=9) as archive:
        for name, path in sorted(files.items()):
            if path.is_file() and not name.endswith(".crc"):
                archive.add(path, name, filter=_plain)


def _plain(member):
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        made(Path(scratch, "root"), Path(scratch))
        packed(Path(scratch, "root"), sys.argv[1])
