"""Tests of the house rules: layers, safety, sizes and packaging. They start no Spark."""

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

from source_trees import LIB, ROOT, SOURCES, relative

# These files outside shell/ may pull rows to the driver; the value says what bounds the rows.
DRIVER_PULLS = {
    "datasets/file_reading.py": "names of input files",
    "datasets/events.py": "the first few lines, to tell the columns",
    "datasets/catalogue_tables.py": "how many values of each column cannot be read",
}
# These files may build SQL text, from names and contracts only.
STATEMENTS = {"shell/store/sql.py"}
# These files may touch the SparkContext or the JVM.
CLASSIC_ONLY = {"shell/spark/context.py"}
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
MODULES_OF_FUNCTIONS = {"F", "np", "pa", "pc", "T"}  # F.first and np.take are not actions


CORE = {file: tree for file, tree in SOURCES.items() if file.startswith("core/")}
OUTSIDE_SHELL = {file: tree for file, tree in SOURCES.items() if not file.startswith("shell/")}


def nodes_where(trees, wrong):
    """Return `file:line` of every node for which `wrong` is true."""
    return [f"{file}:{node.lineno}" for file, tree in trees.items() for node in ast.walk(tree) if wrong(node)]


def imports(node):
    """Return the dotted names that an import statement imports."""
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


def test_the_package_contains_code():
    assert {"tables.py", "config/__init__.py", "core/contracts/conform.py", "shell/store/store.py"} <= set(
        SOURCES
    )
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
    assert nodes_where(CORE, lambda node: imports_any(node, *foreign)) == []
    assert (
        nodes_where(
            CORE, lambda node: "SparkSession" in {getattr(node, "id", None), getattr(node, "attr", None)}
        )
        == []
    )


def test_core_uses_absolute_imports_only():
    assert nodes_where(SOURCES, lambda node: isinstance(node, ast.ImportFrom) and node.level > 0) == []


def of_functions(node):
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in MODULES_OF_FUNCTIONS
    )


def test_core_performs_no_action():
    def counts(node):  # a count of groups is a frame, but a count of a frame is a job
        return (
            call_of(node, "count")
            and not node.args
            and not of_functions(node.func)
            and not call_of(getattr(node.func, "value", None), "groupBy")
        )

    assert nodes_where(CORE, lambda node: attribute(node, ACTIONS) and not of_functions(node)) == []
    assert nodes_where(CORE, counts) == []


def pulls(node):
    return attribute(node, PULLS)


def test_nothing_is_pulled_to_the_driver_outside_the_shell():
    assert (
        nodes_where({file: tree for file, tree in OUTSIDE_SHELL.items() if file not in DRIVER_PULLS}, pulls)
        == []
    )
    assert [file for file in DRIVER_PULLS if not nodes_where({file: SOURCES[file]}, pulls)] == [], (
        "no longer needed"
    )


def test_nothing_touches_the_context_or_the_jvm():
    guarded = {file: tree for file, tree in SOURCES.items() if file not in CLASSIC_ONLY}
    assert (
        nodes_where(
            guarded,
            lambda node: (
                isinstance(node, ast.Attribute)
                and re.fullmatch(r"sparkContext|rdd|_j[a-z]\w*|_sc", node.attr)
            ),
        )
        == []
    )
    assert (
        nodes_where(
            guarded,
            lambda node: imports_any(
                node, "pyspark.SparkContext", "pyspark.rdd", "pyspark.RDD", "pyspark.core"
            ),
        )
        == []
    )


def test_one_module_asks_where_the_process_runs():
    variables = {"DATABRICKS_RUNTIME_VERSION", "SPARK_REMOTE", "PYSPARK_GATEWAY_PORT"}
    elsewhere = {file: tree for file, tree in SOURCES.items() if file != "shell/spark/runtime.py"}
    assert (
        nodes_where(elsewhere, lambda node: isinstance(node, ast.Constant) and node.value in variables) == []
    )
    assert nodes_where(SOURCES, lambda node: isinstance(node, ast.Constant) and node.value in variables) != []


def test_files_are_moved_into_their_place_by_one_helper():
    def moves(node):
        """Return whether a node calls `os.replace` or a similar function, or `Path.replace(target)`.

        The `replace` of a text has two arguments, and that of a Delta table has named ones.
        """
        named = isinstance(node, ast.Call) and ast.unparse(node.func)
        return named and (
            named in {"os.replace", "os.rename", "shutil.move"}
            or named.endswith(".rename")
            or (
                named.endswith(".replace")
                and named != "DeltaTable.replace"
                and len(node.args) == 1
                and not node.keywords
            )
        )

    assert (
        nodes_where(
            {file: tree for file, tree in SOURCES.items() if file != "shell/resilience/atomic_file.py"}, moves
        )
        == []
    )
    assert nodes_where(SOURCES, moves) != []


def is_false(node):
    return isinstance(node, ast.Constant) and node.value is False


def test_nothing_is_unpickled_or_evaluated():
    assert (
        nodes_where(
            SOURCES,
            lambda node: imports_any(
                node, "pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal", "pyspark.cloudpickle"
            ),
        )
        == []
    )
    assert (
        nodes_where(
            SOURCES,
            lambda node: isinstance(node, ast.Name) and node.id in {"eval", "exec", "compile", "__import__"},
        )
        == []
    )
    allowed = nodes_where(
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
    assert nodes_where(SOURCES, lambda node: loose(node) and id(node) not in strict) == []


def is_text(node):
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def built_text(node):
    """Return whether a node is an f-string, or text joined by +, % or format."""
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
        nodes_where(
            elsewhere,
            lambda node: (
                call_of(node, "sql", "expr", "selectExpr")
                and not all(isinstance(a, ast.Constant) for a in node.args)
            ),
        )
        == []
    )
    assert (
        nodes_where(
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


def test_there_are_no_python_udfs():
    assert (
        nodes_where(
            SOURCES, lambda node: call_of(node, "udf") or imports_any(node, "pyspark.sql.functions.udf")
        )
        == []
    )


def test_files_and_functions_stay_short():
    def too_long(node):
        return (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 90
        )

    lines = {relative(path): len(path.read_text().splitlines()) for path in LIB.rglob("*.py")}
    assert {file: count for file, count in lines.items() if count > 400 and file != "tables.py"} == {}
    # Commands are left out, because each of their parameters is an option.
    assert (
        nodes_where({file: tree for file, tree in SOURCES.items() if not file.startswith("cli/")}, too_long)
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
            nodes_where(
                {path.name: ast.parse(text)},
                lambda node: isinstance(
                    node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
                ),
            )
            == []
        )


def tracked():
    """Return the files of the repository; in a copy without git, the files of the known folders."""
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
        ".pre-commit-config.yaml",
        "jobs",
        "lib",
        "conf",
        "notebooks",
        "tests",
    }
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} - allowed == set()


@pytest.mark.parametrize(
    "module", ["trackpools", "trackpools.config", "trackpools.config.loading", "trackpools.cli"]
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
    """Return (requirement with version and markers, hashes) of each pin in the lock."""
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


def test_the_locked_versions_of_the_platform_fit_together():
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
        "trackpools/shell/spark/log4j2.properties",
        "trackpools/docs/index.md",
        "trackpools/docs/pictures/flow.svg",
    } <= names
    assert not [one for one in names if "tests/" in one or one.endswith(".pyc")]
