"""Tests of every job under a real spark-submit, in the order of the flow, with the zip.

The import runs by itself, and the other jobs in turn in one application. The whole flow also runs with the
packed environment, and (-m soak) while executors are killed.

A master and two workers run on loopback. The jobs run on one executor and the flow whose executors are
killed on two: all must write the same tables.
"""

import contextlib
import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from flows import OFF
from standalone import clean_environment, spark_submit, standalone_cluster
from trackpools.shell.spark.jars import delta_jars

ROOT = Path(__file__).resolve().parents[2]
PLATFORMS = ROOT / "lib" / "trackpools" / "docs" / "platforms.md"
DAY = "2025-12-20"  # the day of all pools; `promote` measures by the twelve days of the log after it
SETTINGS = [
    f"--set={one}"
    for one in (
        *OFF,
        "pools.k=20",
        "pools.buckets=2",
        "sources.als.k=40",
        "sources.als.k_heard=20",
        "sources.popular.k=60",
        "rules.min_listeners=1",
        "train.rank=8",
        "train.iterations=3",
        "train.engine=blocked",
        "train.blocks=2",
        "holdout.days=7",
        "holdout.short_days=3",
        "promote.min_users=5",
        "report.enabled=false",
    )
]
UNTRACKED = "--set=mlflow.enabled=false"
AS_OF = f"--as-of={DAY}"
JVM = (
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
)
CHEAP = {  # these processes end before further compilation pays
    "spark.log.level": "WARN",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
}
CONFS = CHEAP | {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.executor.memory": "800m",
    "spark.executor.cores": "1",
    "spark.ui.enabled": "false",
    "spark.eventLog.enabled": "true",
    "spark.eventLog.compress": "false",
    "spark.eventLog.rolling.enabled": "false",
}
pytestmark = pytest.mark.timeout(1800)  # the first test waits for all jobs


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Return the folder that `trackpools package` writes from the checkout."""
    folder = tmp_path_factory.mktemp("package")
    made = subprocess.run(
        [sys.executable, "-m", "trackpools", "package", "--no-environment", "--out", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Return a Python with the packages but without the checkout; only the zip adds trackpools."""
    shim = tmp_path_factory.mktemp("python") / "python"
    packages = sysconfig.get_paths()["purelib"]
    shim.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{packages}" exec {sys.executable} -S "$@"\n')
    shim.chmod(0o755)
    blind = subprocess.run(
        [shim, "-c", "import pyspark, trackpools.cli"],
        capture_output=True,
        text=True,
        check=False,
        cwd=shim.parent,
        env=clean_environment(),
    )
    assert "No module named 'trackpools" in blind.stderr
    return shim


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Yield the address, the folder and the workers of a standalone cluster."""
    folder = tmp_path_factory.mktemp("cluster")
    with standalone_cluster(folder, cores=1, memory="1g", workers=2) as (url, workers):
        yield url, folder, workers


@pytest.fixture(scope="module")
def submit(cluster, package, python, tmp_path_factory):
    """Submit a job to the cluster; return its exit code, its JSON answer and its events."""
    classes = tmp_path_factory.mktemp("classes") / "spark.jsa"

    def run(job, *arguments, options=(), executors=1, during=None, script=None, **environment):
        events = tmp_path_factory.mktemp("events")
        # The archive holds the classes that the first driver had loaded at its end: loading is a fifth of
        # the work of each JVM.
        archive = f" -XX:SharedArchiveFile={classes}" if classes.exists() else ""
        jvm = {
            "spark.driver.extraJavaOptions": JVM
            + (archive or f" -XX:ArchiveClassesAtExit={classes} -Xlog:disable"),
            "spark.executor.extraJavaOptions": JVM + archive,
        }
        confs = CONFS | jvm | {"spark.eventLog.dir": events.as_uri(), "spark.cores.max": str(executors)}
        submitted = [
            "--master",
            cluster[0],
            "--properties-file",
            package / "conf" / "spark" / "standalone.conf",
            "--jars",
            ",".join(map(str, delta_jars())),
            "--py-files",
            package / "trackpools.zip",
            *(f"--conf={key}={value}" for key, value in confs.items()),
            *options,
            script or package / "jobs" / f"{job}.py",
            *arguments,
            "--json",
        ]
        if during is not None:
            threading.Thread(target=during, args=(events,), daemon=True).start()
        began = time.monotonic()
        done = spark_submit(submitted, **{"python": python, "timeout": 800} | environment)
        print(f"{job}: exit code {done.returncode} after {time.monotonic() - began:.1f} s")
        # spark-submit appends a job's standard error to its standard output; the answer is the last line.
        assert done.stdout.endswith("}\n"), done.stdout[-2000:] + done.stderr[-2000:]
        told = [json.loads(line) for log in events.iterdir() for line in log.read_text().splitlines()]
        return done.returncode, json.loads(done.stdout.splitlines()[-1]), told

    return run


@pytest.fixture(scope="module")
def in_turn(submit, package):
    """Run several jobs in one application, so that JVMs start once; return what `submit` does for each."""

    def run(jobs):
        listed = json.dumps(
            [
                [str(package / "jobs" / f"{job}.py"), list(map(str, arguments))]
                for job, arguments in jobs.items()
            ]
        )
        code, said, events = submit("jobs_in_turn", listed, script=Path(__file__).parent / "jobs_in_turn.py")
        assert code == 0
        done = {}
        for job, one in zip(jobs, said["jobs"], strict=True):
            began, ended = one["span"]
            mine = [
                event
                for event in events
                if event["Event"] != "SparkListenerTaskEnd"
                or began <= event["Task Info"]["Finish Time"] <= ended
            ]
            done[job] = (one["code"], one["said"], mine)
        return done

    return run


@pytest.fixture(scope="module")
def flow(submit, in_turn, tmp_path_factory):
    """Return {job: (exit code, answer, events)} in the order of the flow, the root, and its first state.

    The first state is a copy of the root as the import left it.
    """
    folder = tmp_path_factory.mktemp("flow")
    root, own = f"--root={folder / 'root'}", [*SETTINGS, UNTRACKED]
    world = [f"--set=synthetic.{one}" for one in ("users=60", "tracks=200", "days=40")]
    done = {"import_log": submit("import_log", "synthetic", root, *world)}
    shutil.copytree(folder / "root", folder / "imported")
    jobs = {job: [root, *own, AS_OF] for job in ("ids", "interactions", "features", "train", "pools")} | {
        "publish": [root, *own]
    }
    (folder / "train").write_text(
        "".join(f"{user} {user % 5} {user % 7 + 5} {user % 3 + 12}\n" for user in range(30))
    )
    (folder / "test").write_text("".join(f"{user} {(user + 1) % 5}\n" for user in range(30)))
    split = [
        "--train",
        folder / "train",
        "--test",
        folder / "test",
        "--format",
        "lightgcn",
        "--engine",
        "mllib",
        "--k",
        "5",
        "--set=train.rank=4",
        "--set=train.iterations=2",
    ]
    jobs |= {
        "evaluate": [*split, UNTRACKED, "--set=train.blocks=2"],
        "promote": [root, *own],
        "refresh": [root, *own, AS_OF],
    }
    jobs["watch"] = [
        root,
        *own,
        f"--now={DAY}",
        *(f"--set=watch.{one}" for one in ("psi=100", "fill=0", "short=1", "volume=0.01", "nulls=1")),
    ]
    return done | in_turn(jobs), folder / "root", folder / "imported"


def hashes(said):
    return {table["name"]: table["hash"] for table in said["tables"]}


def hashes_of_jobs(done):
    made = {
        name: value
        for job in ("ids", "interactions", "features", "train", "pools")
        for name, value in hashes(done[job][1]).items()
    }
    assert len(made) > 10
    return made


def assert_executors_ran(events, allowed):
    (environment,) = (event for event in events if event["Event"] == "SparkListenerEnvironmentUpdate")
    assert environment["Spark Properties"]["spark.master"].startswith("spark://127.0.0.1:")
    ran = [event["Task Info"]["Executor ID"] for event in events if event["Event"] == "SparkListenerTaskEnd"]
    assert len(ran) > 2
    assert set(ran) <= allowed, "the driver ran tasks"


@pytest.mark.parametrize(
    "job",
    [
        "import_log",
        "ids",
        "interactions",
        "features",
        "train",
        "pools",
        "publish",
        "evaluate",
        "promote",
        "refresh",
        "watch",
    ],
)
def test_a_job_does_its_work_on_the_executors_with_the_zip_alone(flow, job):
    code, said, events = flow[0][job]
    assert (code, said["ok"], said["error"]) == (0, True, None)
    assert_executors_ran(events, {"0"})


def test_the_jobs_publish_a_release(flow):
    done = flow[0]
    assert done["import_log"][1]["accepted"] > 1000
    said = done["publish"][1]
    assert {table["name"]: table["rows"] for table in said["tables"]}["pools"] == 60
    assert hashes(said).items() >= hashes(done["train"][1]).items()
    assert done["promote"][1]["release_id"] == said["release_id"]  # the release in force needs no promotion


@pytest.mark.soak
def test_a_refused_publish_ends_spark_submit_with_the_exit_code_of_the_gate(flow, submit, tmp_path):
    root = shutil.copytree(flow[1], tmp_path / "root")
    shutil.rmtree(root / "tables" / "releases")  # without this, the pools would be published already
    code, said, _ = submit("publish", f"--root={root}", *SETTINGS, UNTRACKED, "--set=pools.k=21")
    assert (code, said["error"]["code"], said["release_id"]) == (3, "contract", None)


@pytest.mark.soak
def test_a_search_does_its_work_on_the_executors_with_the_zip_alone(flow, submit):
    code, said, events = submit("tune", f"--root={flow[1]}", *SETTINGS, UNTRACKED, "--trials=1")
    assert (code, said["ok"], said["error"]) == (0, True, None)
    assert_executors_ran(events, {"0"})


@pytest.mark.soak
def test_a_refused_promotion_ends_spark_submit_with_the_exit_code_of_the_gate(flow, submit, tmp_path):
    root = f"--root={shutil.copytree(flow[1], tmp_path / 'root')}"
    assert submit("evaluate", root, *SETTINGS, UNTRACKED, "--engine=popularity")[0] == 0
    assert submit("pools", root, *SETTINGS, UNTRACKED, AS_OF, "--set=pools.mmr=0.3")[0] == 0
    code, said, events = submit(
        "promote", root, *SETTINGS, UNTRACKED, "--set=promote.min_effect=1"
    )  # a gain of 1 is the largest possible, and no challenger has it
    assert (code, said["error"]["code"]) == (4, "model")
    assert any(line.startswith("REFUSED  effect") for line in said["error"]["problems"])
    assert_executors_ran(events, {"0"})


def test_a_bad_configuration_ends_spark_submit_with_2(submit):
    code, said, events = submit("ids", "--set=train.rank=0")
    assert (code, said["error"]["code"], events) == (2, "config", [])


def training(job):
    """Return the ids of the stages that visit blocks of users."""
    return [
        stage["Stage ID"]
        for stage in job["Stage Infos"]
        if "engines/blocked.py" in stage["Stage Name"] and "MapInArrow" in json.dumps(stage)
    ]


def scoring(job):
    """Return the ids of the stages that score candidates and build pools of them."""
    return [
        stage["Stage ID"] for stage in job["Stage Infos"] if "FlatMapCoGroupsInArrow" in json.dumps(stage)
    ]


def job_starts(events):
    """Yield the start events of jobs from an event log while it is being written."""
    while not (logs := list(events.iterdir())):
        time.sleep(0.05)
    with logs[0].open() as log:
        line = ""
        while True:
            line += log.readline()
            if not line.endswith("\n"):
                time.sleep(0.05)
                continue
            if '"SparkListenerJobStart"' in line:
                yield json.loads(line)
            line = ""


def kill_executor(folder, workers, stage):
    """SIGKILL an executor with a task of that stage; return the time in ms.

    The kernel does the same to a process that takes too much memory.
    """
    app = max(path.name for path in folder.glob("worker-*/work/app-*"))

    def tasks(log):
        lines = [
            line for line in log.read_text(errors="replace").splitlines() if f" in stage {stage}.0 " in line
        ]
        return sum("Running task" in line for line in lines) - sum("Finished task" in line for line in lines)

    while True:
        for busy in [
            log.parent.name for log in folder.glob(f"worker-*/work/{app}/*/stderr") if tasks(log) > 0
        ]:
            for child in (child for worker in workers for child in psutil.Process(worker.pid).children()):
                with contextlib.suppress(psutil.Error):  # the process has ended, or is a zombie
                    words = child.cmdline()
                    if app in words and words[words.index("--executor-id") + 1] == busy:
                        os.kill(child.pid, signal.SIGKILL)
                        return 1000 * time.time()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Return the environment archive, and its unpacked Python as a driver on the cluster has it."""
    folder = tmp_path_factory.mktemp("environment")
    made = subprocess.run(
        [sys.executable, "-m", "trackpools", "package", "--json", "--out", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert {one["kind"] for one in json.loads(made.stdout)["files"]} == {
        "wheel",
        "zip",
        "jobs",
        "properties",
        "environment",
    }
    with tarfile.open(folder / "environment.tar.gz") as packed:
        packed.extractall(folder / "unpacked", filter="fully_trusted")
    return folder / "environment.tar.gz", folder / "unpacked" / "bin" / "python"


@pytest.fixture(scope="module")
def by_environment(flow, submit, environment, tmp_path_factory):
    """Run the whole flow with the environment on driver and executors; return its answer and its root."""

    def run(*settings, **options):
        archive, driver = environment
        root = shutil.copytree(flow[2], tmp_path_factory.mktemp("whole") / "root")
        done = submit(
            "run_all",
            f"--root={root}",
            "--config=cluster",
            *SETTINGS,
            AS_OF,
            *settings,
            options=["--archives", f"{archive}#environment"],
            python=driver,
            PYSPARK_PYTHON="./environment/bin/python",
            **options,
        )
        return done, root

    return run


@pytest.fixture(scope="module")
def hurt(cluster, by_environment):
    """Run the flow while executors are killed; return its answer, its root and {kind: time of the kill}."""
    killed = {}

    def kill(events):
        jobs = job_starts(events)
        for kind, nth in ((training, 5), (scoring, 1)):
            job = next(itertools.islice(filter(kind, jobs), nth - 1, None))
            killed[kind] = kill_executor(*cluster[1:], max(kind(job)))

    return *by_environment(executors=2, during=kill), killed


def test_the_flow_runs_by_the_packed_environment_and_makes_the_tables_of_the_jobs(flow, by_environment):
    (code, said, events), _ = by_environment(UNTRACKED)
    assert (code, said["ok"], said["error"]) == (0, True, None)
    assert [one["stage"] for one in said["stages"] if one["skipped"]] == []
    (environment,) = (event for event in events if event["Event"] == "SparkListenerEnvironmentUpdate")
    assert environment["Spark Properties"]["spark.archives"].endswith("environment.tar.gz#environment")
    assert hashes(said).items() >= hashes_of_jobs(flow[0]).items()


@pytest.mark.soak
def test_executors_killed_in_training_and_in_scoring_change_no_bit_and_cause_no_delay(flow, hurt):
    (_, said, events), _, killed = hurt
    calm = hashes_of_jobs(flow[0])
    assert {name: hashes(said)[name] for name in calm} == calm
    assert set(killed) == {training, scoring}
    removed = [event["Timestamp"] for event in events if event["Event"] == "SparkListenerExecutorRemoved"]
    tasks = [event for event in events if event["Event"] == "SparkListenerTaskEnd"]
    ends = {
        event["Job ID"]: event["Completion Time"]
        for event in events
        if event["Event"] == "SparkListenerJobEnd"
    }
    for kind, at in killed.items():
        noticed = min(moment for moment in removed if moment >= at - 1)
        jobs = [event for event in events if event["Event"] == "SparkListenerJobStart" and kind(event)]
        assert jobs[0]["Submission Time"] < noticed < max(ends[job["Job ID"]] for job in jobs), (
            f"not during {kind.__name__}"
        )
        late = (
            min(
                task["Task Info"]["Finish Time"]
                for task in tasks
                if task["Task Info"]["Finish Time"] > noticed and not task["Task Info"]["Failed"]
            )
            - at
        )
        print(
            f"killed in {kind.__name__}: noticed after {noticed - at:.0f} ms, the next task was done after {late:.0f} ms"
        )
        assert late < 60_000
    assert [task for task in tasks if task["Task End Reason"]["Reason"] == "ExecutorLostFailure"], (
        "no task was under way"
    )
    assert {task["Task Info"]["Executor ID"] for task in tasks} >= {"0", "1", "2"}, "nobody took its place"
    assert_executors_ran(events, {"0", "1", "2", "3"})


@pytest.mark.soak
def test_the_commands_of_the_docs_print_the_release_of_a_run(hurt, environment):
    (_, said, _), root, _ = hurt
    words = [
        shlex.split(line)
        for line in PLATFORMS.read_text().splitlines()
        if line.startswith("    python -c 'import sys")
    ]
    asked = {str(root): sys.executable, f"sqlite:///{root}/mlflow.db": environment[1]}
    told = [
        subprocess.run([python, *one[1:3], where], capture_output=True, text=True, check=False)
        for one, (where, python) in zip(words, asked.items(), strict=True)
    ]
    assert all(said["release_id"] in one.stdout for one in told), [one.stderr for one in told]
    assert "FINISHED" in told[1].stdout


@pytest.mark.soak
def test_the_local_properties_give_a_session_that_a_job_can_work_in(tmp_path):
    properties, job = ROOT / "conf" / "spark" / "local.conf", ROOT / "jobs" / "ids.py"
    jars = ",".join(map(str, delta_jars()))
    done = spark_submit(
        [
            "--master",
            "local[2,3]",
            "--properties-file",
            properties,
            "--jars",
            jars,
            "--driver-memory",
            "700m",
            job,
            "--root",
            tmp_path / "root",
            "--set=mlflow.enabled=false",
            "--json",
        ],
        SPARK_LOCAL_IP=None,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, said["error"]["code"]) == (2, "input")
    assert "no plays under" in said["error"]["message"]
