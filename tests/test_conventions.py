"""House rules as tests: seams, safety, sizes, packaging. Reads the code; starts no Spark."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LIB = ROOT / "lib" / "trackpools"
# files outside shell/ that may pull to the driver, each with what bounds it
DRIVER_PULLS = {
    "datasets/files.py": "names of input files",
    "datasets/events.py": "the first few lines, to tell the columns",
    "datasets/own_tables.py": "how many values of each column cannot be read",
}
# files that may put SQL together, of names and contracts only
STATEMENTS = {"shell/statements.py"}
# files that may touch the SparkContext or the JVM
CLASSIC_ONLY = {"shell/cluster.py"}
PULLS = {"collect", "toPandas", "toArrow", "toLocalIterator"}
ACTIONS = PULLS | {
    "first",
    "head",
    "tail",
    "take",
    "show",
    "isEmpty",
    "foreach",
    "foreachPartition",
    "write",
    "writeTo",
    "writeStream",
    "checkpoint",
    "localCheckpoint",
    "persist",
    "cache",
    "saveAsTable",
}
MODULES_OF_FUNCTIONS = {"F", "np", "pa", "pc", "T"}  # F.first and np.take are no actions


def name(path):
    return path.relative_to(LIB).as_posix()


SOURCES = {
    name(path): ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in sorted(LIB.rglob("*.py"))
}
CORE = {file: tree for file, tree in SOURCES.items() if file.startswith("core/")}
OUTSIDE_SHELL = {file: tree for file, tree in SOURCES.items() if not file.startswith("shell/")}


def found(trees, wrong):
    """`file:line` of every node of which `wrong` says so."""
    return [f"{file}:{node.lineno}" for file, tree in trees.items() for node in ast.walk(tree) if wrong(node)]


def imports(node):
    """The dotted names an import statement brings in."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return set()


def imports_any(node, *packages):
    return any(
        one == package or one.startswith(f"{package}.") for one in imports(node) for package in packages
    )


def attribute(node, names):
    return isinstance(node, ast.Attribute) and node.attr in names


def call_of(node, *names):
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", None)) in names


def test_there_is_code_to_judge():
    assert {"tables.py", "config.py", "core/contract.py", "shell/store.py"} <= set(SOURCES)
    assert len(CORE) > 5


def test_core_knows_neither_the_shell_nor_mlflow_nor_delta_nor_a_session():
    foreign = (
        "trackpools.shell",
        "trackpools.datasets",
        "trackpools.cli",
        "trackpools.stages",
        "mlflow",
        "delta",
        "pyspark.sql.SparkSession",
    )
    assert found(CORE, lambda node: imports_any(node, *foreign)) == []
    assert (
        found(CORE, lambda node: "SparkSession" in {getattr(node, "id", None), getattr(node, "attr", None)})
        == []
    )


def test_core_is_absolute_in_its_imports_so_that_the_seam_can_be_read():
    assert found(SOURCES, lambda node: isinstance(node, ast.ImportFrom) and node.level > 0) == []


def of_functions(node):
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in MODULES_OF_FUNCTIONS
    )


def test_core_performs_no_action():
    def counts(node):  # a count of groups is a frame, a count of a frame is a job
        return (
            call_of(node, "count")
            and not node.args
            and not of_functions(node.func)
            and not call_of(getattr(node.func, "value", None), "groupBy")
        )

    assert found(CORE, lambda node: attribute(node, ACTIONS) and not of_functions(node)) == []
    assert found(CORE, counts) == []


def pulls(node):
    return attribute(node, PULLS)


def test_nothing_is_pulled_to_the_driver_outside_the_shell():
    assert (
        found({file: tree for file, tree in OUTSIDE_SHELL.items() if file not in DRIVER_PULLS}, pulls) == []
    )
    assert [file for file in DRIVER_PULLS if not found({file: SOURCES[file]}, pulls)] == [], (
        "no longer needed"
    )


def test_nothing_touches_the_context_or_the_jvm():
    guarded = {file: tree for file, tree in SOURCES.items() if file not in CLASSIC_ONLY}
    assert (
        found(
            guarded,
            lambda node: (
                isinstance(node, ast.Attribute)
                and re.fullmatch(r"sparkContext|rdd|_j[a-z]\w*|_sc", node.attr)
            ),
        )
        == []
    )
    assert (
        found(
            guarded,
            lambda node: imports_any(
                node, "pyspark.SparkContext", "pyspark.rdd", "pyspark.RDD", "pyspark.core"
            ),
        )
        == []
    )


def is_false(node):
    return isinstance(node, ast.Constant) and node.value is False


def test_nothing_is_unpickled_or_evaluated():
    assert (
        found(
            SOURCES,
            lambda node: imports_any(
                node, "pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal", "pyspark.cloudpickle"
            ),
        )
        == []
    )
    assert (
        found(
            SOURCES,
            lambda node: isinstance(node, ast.Name) and node.id in {"eval", "exec", "compile", "__import__"},
        )
        == []
    )
    allowed = found(
        SOURCES,
        lambda node: (
            isinstance(node, ast.Call)
            and any(k.arg == "allow_pickle" and not is_false(k.value) for k in node.keywords)
        ),
    )
    assert allowed == []


def test_yaml_is_read_by_the_strict_loader_only():
    def loose(node):
        if not (
            isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "yaml"
        ):
            return False
        return node.attr in {
            "load",
            "load_all",
            "full_load",
            "full_load_all",
            "unsafe_load",
            "unsafe_load_all",
            "Loader",
            "FullLoader",
            "UnsafeLoader",
        }

    calls = [
        node
        for tree in SOURCES.values()
        for node in ast.walk(tree)
        if call_of(node, "load") and loose(node.func)
    ]
    strict = {
        id(call.func)
        for call in calls
        if [getattr(k.value, "id", None) for k in call.keywords if k.arg == "Loader"] == ["_StrictLoader"]
    }
    assert strict, "the configuration is read by _StrictLoader"
    assert found(SOURCES, lambda node: loose(node) and id(node) not in strict) == []


def is_text(node):
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def built_text(node):
    """An f-string, or text put together by +, % or format."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add | ast.Mod) and (
            is_text(node.left) or is_text(node.right) or built_text(node.left)
        )
    return isinstance(node, ast.JoinedStr) or (
        call_of(node, "format", "join") and is_text(getattr(node.func, "value", None))
    )


def test_sql_text_is_constant():
    elsewhere = {file: tree for file, tree in SOURCES.items() if file not in STATEMENTS}
    assert (
        found(
            elsewhere,
            lambda node: (
                call_of(node, "sql", "expr", "selectExpr")
                and not all(isinstance(a, ast.Constant) for a in node.args)
            ),
        )
        == []
    )
    assert (
        found(
            SOURCES, lambda node: call_of(node, "where", "filter") and any(built_text(a) for a in node.args)
        )
        == []
    )


@pytest.mark.parametrize(
    "text",
    ["f'{x} > 1'", "'a = ' + x", "'a = %s' % x", "'a = {}'.format(x)", "'a' + x + 'b'", "' AND '.join(x)"],
)
def test_the_check_of_sql_text_sees_every_way_to_build_one(text):
    assert built_text(ast.parse(text, mode="eval").body)


def test_python_udfs_stay_out():
    assert (
        found(SOURCES, lambda node: call_of(node, "udf") or imports_any(node, "pyspark.sql.functions.udf"))
        == []
    )


def test_files_and_functions_stay_short():
    assert {
        name(path): lines for path in LIB.rglob("*.py") if (lines := len(path.read_text().splitlines())) > 250
    } == {}
    assert (
        found(
            SOURCES,
            lambda node: (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.end_lineno - node.lineno >= 60
            ),
        )
        == []
    )


def test_jobs_are_thin():
    assert {
        path.name: lines
        for path in (ROOT / "jobs").glob("*.py")
        if (lines := len(path.read_text().splitlines())) > 15
    } == {}


def test_notebooks_hold_calls_only():
    for path in (ROOT / "notebooks").glob("*.py"):
        text = path.read_text()
        assert text.startswith("# Databricks notebook source"), path.name
        assert len(text.splitlines()) <= 80, path.name
        assert (
            found(
                {path.name: ast.parse(text)},
                lambda node: isinstance(
                    node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
                ),
            )
            == []
        )


def tracked():
    """The files of the repository; in a copy without git, those of the folders that we know."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        return [ROOT / one for one in listed.stdout.split("\0") if one and (ROOT / one).is_file()]
    return [
        path
        for folder in (".ci", ".github", "conf", "jobs", "lib", "notebooks", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    ]


def test_no_file_names_a_package_registry():
    address = re.compile(
        r"https?://[^\s\"')]*(pypi|pythonhosted|maven|npmjs|crates\.io|conda|nexus|artifactory|jfrog)"
        r"|--(extra-)?(index-url)|--(find)-links|--(trusted)-host"
    )
    texts = {
        path.relative_to(ROOT).as_posix(): path.read_bytes().decode("utf-8", errors="ignore")
        for path in tracked()
    }
    assert "pyproject.toml" in texts or not (ROOT / ".git").exists()
    assert [file for file, text in texts.items() if address.search(text)] == []


def test_the_top_level_is_the_fixed_one():
    allowed = {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "requirements.lock",
        "databricks.yml",
        ".gitignore",
        ".gitattributes",
        ".ci",
        ".github",
        "jobs",
        "lib",
        "conf",
        "notebooks",
        "tests",
    }
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} - allowed == set()


@pytest.mark.parametrize(
    "module", ["trackpools", "trackpools.config", "trackpools.shell.settings", "trackpools.cli"]
)
def test_importing_is_light_and_starts_nothing(module):
    if not (LIB / Path(*module.split(".")[1:])).with_suffix(".py").exists() and module != "trackpools":
        pytest.skip(f"{module} is not there yet")
    heavy = ["pyspark", "delta", "mlflow", "numpy", "pandas", "pyarrow", "scipy", "matplotlib", "implicit"]
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules], end='')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("[]", "")


def pins():
    """Name → pinned versions with their markers, and the hashes of each pin."""
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text())
    return [
        (Requirement(block.partition("\\")[0].strip()), re.findall(r"--hash=sha256:[0-9a-f]{64}", block))
        for block in blocks
        if not block.startswith("#")
    ]


def test_the_lock_pins_everything_by_hash():
    assert len(pins()) > 50
    assert [
        str(pin)
        for pin, hashes in pins()
        if not hashes or [s.operator for s in pin.specifier] != ["=="] or pin.url
    ] == []


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_lock_holds_every_dependency_in_a_version_that_fits(python):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        Requirement(one)
        for one in (
            *project["dependencies"],
            *project["optional-dependencies"]["local"],
            *project["optional-dependencies"]["dev"],
        )
    ]
    here = {"python_version": python, "python_full_version": f"{python}.0"}
    locked = {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version
        for pin, _ in pins()
        if pin.marker is None or pin.marker.evaluate(here)
    }
    assert [one.name for one in wanted if canonicalize_name(one.name) not in locked] == []
    assert [
        str(one) for one in wanted if not one.specifier.contains(locked[canonicalize_name(one.name)])
    ] == []


def test_the_locked_platform_is_the_one_that_fits_together():
    locked = {pin.name: next(iter(pin.specifier)).version for pin, _ in pins()}
    assert (locked["pyspark"], locked["delta-spark"]) == ("4.2.0", "4.4.0")
    assert locked["pandas"].startswith("2.")
    assert locked["mlflow"].startswith("3.17.")


def test_the_wheel_holds_the_package_and_its_configuration(tmp_path):
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"trackpools/{file}" for file in SOURCES} <= names
    assert {
        f"trackpools/_conf/{path.relative_to(ROOT / 'conf').as_posix()}"
        for path in (ROOT / "conf").rglob("*.*")
    } <= names
    assert {f"trackpools/_jobs/{path.name}" for path in (ROOT / "jobs").glob("*.py")} <= names
    assert {
        "trackpools/py.typed",
        "trackpools/shell/log4j2.properties",
        "trackpools/docs/index.md",
        "trackpools/docs/pictures/flow.svg",
    } <= names
    assert not [one for one in names if "tests/" in one or one.endswith(".pyc")]
