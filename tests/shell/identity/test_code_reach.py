"""Tests of which code is reached from a function, and of which parts of it count for the hash.

They use a small package that is written again for every test.
"""

import zipfile

import pytest

from trackpools.shell.identity.code_reach import PackageCode

# A package built like ours: `flow.body` reaches helpers, a listed package, a class and configuration.
SHOP = {
    "__init__.py": '__version__ = "1"\n',
    "flow.py": """
import math
from dataclasses import replace
from shop import prices, unused
from shop.items import SOURCES
from shop.prices import Price as Cost

LIMIT = 3

def helper(x, y=2, *rest):
    return x + y

def other(x):
    return math.floor(x) * LIMIT

def body(read, config, cost: Cost = None):
    from shop.late import late

    if not read:
        raise ValueError(f"nothing to read for {config}")
    made = [helper(one) for one in read]
    return prices.total(made) + late(config.rate) + sum(s.weight for s in SOURCES) + Cost(1.0).rounded()
""",
    "prices.py": """
import functools
import math
from dataclasses import dataclass

@dataclass(frozen=True)
class Price:
    amount: float
    digits: int = 2

    def rounded(self):
        return round(self.amount, self.digits)

@functools.lru_cache(maxsize=8)
def total(values):
    return math.fsum(values)

def mean(values):
    return total(values) / len(values)
""",
    "late.py": "def late(x):\n    return -x\n",
    "unused.py": "def helper(x):\n    return 0\n",
    "config.py": """
class Config:
    base: float

    @property
    def rate(self):
        return self.base * 2
""",
    "items/__init__.py": """
from importlib import import_module
from pkgutil import iter_modules

_MODULES = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
SOURCES = tuple(m.SOURCE for m in _MODULES)
""",
    "items/first.py": "from shop.items.kind import Kind\nSOURCE = Kind(1)\nREST = 5\n",
    "items/second.py": "from shop.items.kind import Kind\nSOURCE = Kind(2)\n",
    "items/kind.py": "class Kind:\n    def __init__(self, weight):\n        self.weight = weight\n",
}


def shop_hash(folder, files, *entries):
    for name, text in files.items():
        path = folder / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return PackageCode(folder / "shop").hash_of(entries or [("shop.flow", "body")])


def edit_shop(file, before, after):
    assert SHOP[file].count(before) == 1, f"{before!r} must stand once in {file}"
    return SHOP | {file: SHOP[file].replace(before, after)}


def hashes(folder, files):
    """Return the hash of the package as it is, and the hash of the package with `files`."""
    return shop_hash(folder / "now", SHOP), shop_hash(folder / "then", files)


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        pytest.param("flow.py", "LIMIT = 3", "LIMIT = 3  # of items", id="comment"),
        pytest.param("flow.py", "def helper", "\n\ndef helper", id="blank lines"),
        pytest.param("late.py", "    return -x", '    """The opposite."""\n    return -x', id="docstring"),
        pytest.param(
            "prices.py", "class Price:", 'class Price:\n    """What it costs."""', id="docstring of a class"
        ),
        pytest.param("prices.py", "    amount: float", "    amount: int", id="annotation of a field"),
        pytest.param(
            "flow.py",
            "read, config, cost: Cost = None)",
            "read: list[int], config: object, cost=None) -> float",
            id="annotations",
        ),
        pytest.param("flow.py", "    made = [", "    made: list[int] = [", id="annotation of a variable"),
        pytest.param(
            "flow.py", "    made = [", "    made: list[int]\n    made = [", id="annotation without a value"
        ),
        pytest.param(
            "flow.py", "nothing to read for {config}", "no rows; got {read!r}", id="text of an error"
        ),
        pytest.param(
            "flow.py",
            '(f"nothing to read for {config}")',
            " from None",
            id="error without text, with a cause",
        ),
        pytest.param("flow.py", "    made = [", '    log.info("begin %s", read)\n    made = [', id="log"),
        pytest.param("flow.py", "    made = [", '    warnings.warn("slow")\n    made = [', id="warning"),
        pytest.param(
            "flow.py",
            "import math\nfrom dataclasses import replace",
            "from dataclasses import replace\nimport math",
            id="order of imports",
        ),
        pytest.param(
            "flow.py",
            "from shop import prices, unused\n",
            "import typing\nfrom shop import prices\n",
            id="unused imports",
        ),
        pytest.param(
            "flow.py",
            "import math\n",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import json\n",
            id="imports for types",
        ),
        pytest.param(
            "flow.py",
            "made = [helper(one) for one in read]",
            "made = [helper(one) for one in read]; pass",
            id="pass",
        ),
        pytest.param(
            "flow.py",
            "def other(x):\n    return math.floor(x) * LIMIT\n",
            "",
            id="function that is not reached, gone",
        ),
        pytest.param(
            "flow.py",
            "math.floor(x) * LIMIT",
            "math.floor(x) + LIMIT",
            id="function that is not reached, changed",
        ),
        pytest.param(
            "prices.py",
            "total(values) / len(values)",
            "total(values)",
            id="the same in a module that is reached",
        ),
        pytest.param("unused.py", "return 0", "return 1", id="module that is not reached"),
        pytest.param(
            "items/first.py", "REST = 5", "REST = 6", id="what the package does not use of a listed module"
        ),
        pytest.param("__init__.py", '"1"', '"2"', id="version"),
    ],
)
def test_code_that_decides_nothing_leaves_the_hash_equal(tmp_path, file, before, after):
    now, then = hashes(tmp_path, edit_shop(file, before, after))
    assert now == then


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        pytest.param("flow.py", "x + y", "x - y", id="operator"),
        pytest.param("flow.py", "y=2", "y=3", id="default value"),
        pytest.param("flow.py", "*rest", "*, rest=()", id="parameters"),
        pytest.param("flow.py", "if not read:", "if read:", id="condition"),
        pytest.param("flow.py", "raise ValueError(", "raise TypeError(", id="class of an error"),
        pytest.param("flow.py", "Cost(1.0)", "Cost(1)", id="type of a constant"),
        pytest.param(
            "flow.py", "for one in read]", "for one in read if one]", id="condition of a comprehension"
        ),
        pytest.param(
            "flow.py", "prices.total(made)", "prices.mean(made)", id="another function of the module"
        ),
        pytest.param("prices.py", "maxsize=8", "maxsize=9", id="argument of a decorator"),
        pytest.param("prices.py", "frozen=True", "frozen=False", id="argument of the decorator of a class"),
        pytest.param(
            "prices.py",
            "    amount: float\n    digits: int = 2",
            "    digits: int = 2\n    amount: float = 0",
            id="order of fields",
        ),
        pytest.param("prices.py", "digits: int = 2", "digits = 2", id="a field that is none any more"),
        pytest.param("prices.py", "math.fsum(values)", "math.prod(values)", id="function of another package"),
        pytest.param(
            "prices.py", "import math", "import cmath as math", id="another package under the same name"
        ),
        pytest.param("late.py", "-x", "+x", id="module imported inside the function"),
        pytest.param("config.py", "self.base * 2", "self.base * 3", id="method of the configuration"),
        pytest.param("items/second.py", "Kind(2)", "Kind(3)", id="listed module"),
        pytest.param(
            "items/kind.py",
            "self.weight = weight",
            "self.weight = 2 * weight",
            id="class that a listed module names",
        ),
        pytest.param(
            "prices.py", "import math", "import math\nmath.tau = 6", id="statement that defines nothing"
        ),
    ],
)
def test_code_that_decides_a_result_changes_the_hash(tmp_path, file, before, after):
    now, then = hashes(tmp_path, edit_shop(file, before, after))
    assert now != then


def test_code_may_move_be_split_and_be_imported_under_another_name(tmp_path):
    price, total = SHOP["prices.py"].split("@functools", 1)
    files = {
        name.replace("items/", "goods/items/"): text.replace("shop.items", "shop.goods.items")
        for name, text in SHOP.items()
    }
    files = {name: text for name, text in files.items() if name not in {"prices.py", "flow.py", "late.py"}}
    files |= {
        "money/cost.py": price,
        "money/sums.py": f"import functools as f\nfrom math import fsum\nimport math\n@f{total}".replace(
            "math.fsum", "fsum"
        ),
        "money/__init__.py": "from shop.money.sums import total as total\n",
        "begin/afterwards.py": SHOP["late.py"],
        "begin/main.py": SHOP["flow.py"]
        .replace("from shop import prices, unused", "from shop.money import total")
        .replace("prices.total(", "total(")
        .replace("from shop.prices import Price as Cost", "from shop.money import cost as c")
        .replace("Cost(1.0)", "c.Price(1.0)")
        .replace(": Cost", "")
        .replace("shop.items", "shop.goods.items")
        .replace("from shop.late import late", "from shop.begin import afterwards")
        .replace("+ late(", "+ afterwards.late("),
    }
    moved = shop_hash(tmp_path / "then", files, ("shop.begin.main", "body"))
    assert moved == shop_hash(tmp_path / "now", SHOP)


BODIES = {
    "import inside a function": "def body():\n    from shop.late import late\n    return late(1)\n",
    "import inside a nested function": "def body():\n    def inside():\n        import shop.late as later\n        return later.late(1)\n    return inside\n",
    "a module as a value": "from shop import late\ndef body():\n    return vars(late)\n",
    "a name of the package": "import shop.late\ndef body():\n    return shop.late.late\n",
    "a method": "from shop.late import late\nclass Late:\n    def late(self):\n        return late(1)\ndef body():\n    return Late()\n",
    "a default value": "from shop.late import late\ndef body(way=late):\n    return way(1)\n",
    "a decorator": "from shop.late import late\n@late\ndef body():\n    return 1\n",
    "a base class": "from shop.late import late\nclass Base(late):\n    x = 1\nclass Late(Base):\n    y = 1\ndef body():\n    return Late\n",
    "the first iterable of a comprehension": "from shop.late import late\ndef body():\n    return [late for late in late(1)]\n",
    "a function beside a local name": "from shop.late import late\ndef body():\n    def inside(late):\n        return late\n    return late(inside)\n",
    "a method beside a class attribute": "from shop.late import late\nclass Late:\n    late = 1\n    def now(self):\n        return late(1)\ndef body():\n    return Late\n",
    "a global name set in a function": "from shop.late import late\nseen = 0\ndef body():\n    global seen\n    seen = late(1)\n    return seen\n",
    "a table of functions": "from shop.late import late\nBY_NAME = {'late': late}\ndef body(name):\n    return BY_NAME[name](1)\n",
    "a conditional definition": "from shop.late import late\nif bool(1):\n    way = late\nelse:\n    way = None\ndef body():\n    return way\n",
    "a re-export": "from shop.front import late\ndef body():\n    return late(1)\n",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_code_is_reached_through(tmp_path, body):
    files = {
        "__init__.py": "",
        "late.py": "def late(x):\n    return x\n",
        "front.py": "from shop.late import late\n",
        "flow.py": body,
    }
    now, then = (
        shop_hash(tmp_path / name, files | changed)
        for name, changed in (("now", {}), ("then", {"late.py": "def late(x):\n    return -x\n"}))
    )
    assert now != then


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("def body(late):\n    return late(1)\n", id="parameter"),
        pytest.param("def body(read):\n    late = min\n    return late(read)\n", id="variable"),
        pytest.param(
            "def body(read):\n    return [late for late in read]\n", id="variable of a comprehension"
        ),
        pytest.param("def body(read: late) -> late:\n    return read\n", id="annotation"),
        pytest.param("def body(read):\n    return read.late\n", id="attribute of something else"),
        pytest.param("def body(read):\n    raise ValueError(late(read))\n", id="argument of an error"),
    ],
)
def test_a_local_name_reaches_nothing(tmp_path, body):
    files = {"__init__.py": "", "flow.py": f"from shop.late import late\n{body}"}
    now, then = (
        shop_hash(tmp_path / sign, files | {"late.py": f"def late(x):\n    return {sign}x\n"})
        for sign in "+-"
    )
    assert now == then


def test_two_functions_of_one_name_are_distinguished(tmp_path):
    files = {
        "__init__.py": "",
        "a.py": "def rank(x):\n    return x\n",
        "b.py": "def rank(x):\n    return -x\n",
    }
    bodies = ("a.rank(read) + 2 * b.rank(read)", "b.rank(read) + 2 * a.rank(read)")
    now, then = (
        shop_hash(
            tmp_path / str(n),
            files | {"flow.py": f"from shop import a, b\ndef body(read):\n    return {one}\n"},
        )
        for n, one in enumerate(bodies)
    )
    assert now != then


def test_code_that_a_body_is_given_counts_as_a_further_entry(tmp_path):
    body, given = ("shop.flow", "body"), ("shop.unused", "helper")
    then = edit_shop("unused.py", "return 0", "return 1")
    assert shop_hash(tmp_path / "then", then, body) == shop_hash(tmp_path / "now", SHOP, body)
    assert shop_hash(tmp_path / "then", then, body, given) != shop_hash(tmp_path / "now", SHOP, body, given)
    assert shop_hash(tmp_path / "now", SHOP, given, body) == shop_hash(tmp_path / "now", SHOP, body, given)


def test_a_zip_gives_the_hash_of_the_folder(tmp_path):
    folder = shop_hash(tmp_path, SHOP)
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        for path in (tmp_path / "shop").rglob("*.py"):
            packed.write(path, path.relative_to(tmp_path).as_posix())
    assert (
        PackageCode(zipfile.Path(tmp_path / "packed.zip", "shop/")).hash_of([("shop.flow", "body")]) == folder
    )
