"""Tests of loading the configuration: good files mean what they say, and bad ones are refused.

A refusal names the key, the given value and what would fit.
"""

import datetime as dt
import re

import pytest
import yaml

from trackpools.config import Config
from trackpools.config.loading import _keys, conf_dir, load_config
from trackpools.errors import ConfigError

SQL = "x'; DROP TABLE plays; --"
LOOKALIKE = "tr\u0430in"  # a Cyrillic a

# The text of --set, then what the message must contain: the key, the given value, and what fits.
BAD_SETTINGS = {
    "unknown key": ("train.rnak=8", "train.rnak: unknown key; did you mean train.rank?"),
    "unknown section": ("trian.rank=8", "trian: unknown key; did you mean train?"),
    "unknown nested key": (
        "sources.als.wieght=1",
        "sources.als.wieght: unknown key; did you mean sources.als.weight?",
    ),
    "unknown source": (
        "sources.magic.k=1",
        "sources: there is no candidate source magic; the sources are als, als_neighbours,",
    ),
    "source that is a path": (
        "sources.a/b.k=1",
        "sources: there is no candidate source a/b; the sources are",
    ),
    "key of another section": (
        "train.k=500",
        "train.k: unknown key; did you mean sources.als.k or sources.als_neighbours.k or sources.cooccurrence.k?",
    ),
    "look-alike letters": (f"{LOOKALIKE}.rank=8", r"tr\u0430in: unknown key; did you mean train?"),
    "no section": ("rank=8", "section.key=value", "'rank=8'"),
    "no value sign": ("train.rank", "section.key=value", "'train.rank'"),
    "empty key": ("train..rank=8", "section.key=value"),
    "key as deep as a stack": (".".join("a" * 5000) + "=1", "section.key=value"),
    "text for a number": ("train.rank=many", "train.rank", "integer", "'many'"),
    "quoted number": ("train.rank='64'", "train.rank", "integer", "'64'"),
    "fraction for a count": ("train.rank=1.5", "train.rank", "integer", "1.5"),
    "bool for a number": ("train.alpha=true", "train.alpha", "number", "True"),
    "number for a bool": ("mlflow.enabled=1", "mlflow.enabled", "boolean", "1"),
    "list for a number": ("train.rank=[1, 2]", "train.rank", "integer", "[1, 2]"),
    "mapping for a number": ("train.rank.a=1", "train.rank", "integer", "{'a': 1}"),
    "null for a number": ("train.rank=", "train.rank", "integer", "None"),
    "section from a scalar": ("sources.als=true", "sources.als", "section with keys", "True"),
    "zero rank": ("train.rank=0", "train.rank", "greater than or equal to 1", "0"),
    "huge rank": ("train.rank=99999999999999999999", "train.rank", "less than or equal to 2048"),
    "integer too long to read": (f"train.rank={'9' * 5000}", "train.rank", "YAML"),
    "negative iterations": ("train.iterations=-1", "train.iterations", "-1"),
    "NaN": ("train.alpha=.nan", "train.alpha", "finite", "nan"),
    "infinity": ("train.alpha=.inf", "train.alpha", "finite", "inf"),
    "beyond float32": ("train.alpha=1.0e+300", "train.alpha", "less than or equal to 1000000000", "1e+300"),
    "λ zero": ("train.reg=0", "train.reg", "greater than or equal to 0.000000001", "got 0"),
    "λ negative": ("train.reg=-0.1", "train.reg", "-0.1"),
    "λ NaN": ("train.reg=.nan", "train.reg", "finite"),
    "saturation zero": ("weights.saturation=0.0", "weights.saturation", "0.0"),
    "half-life zero": ("weights.half_life_days=0", "weights.half_life_days", "0"),
    "share above one": (
        "ingest.max_rejected_fraction=5",
        "ingest.max_rejected_fraction",
        "less than or equal to 1",
        "5",
    ),
    "rating threshold NaN": ("ingest.min_rating=.nan", "ingest.min_rating", "finite"),
    "engine unknown": ("train.engine=als", "train.engine", "'implicit', 'mllib' or 'blocked'", "'als'"),
    "ν of another engine": (
        "train.nu=1",
        "train.nu",
        "implicit supports only nu=0.0",
        "supports nu=1.0: mllib",
    ),
    "ν between the engines": ("train.nu=0.5", "train.nu", "supports nu=0.5: blocked"),
    "ν out of range": ("train.nu=2", "train.nu", "less than or equal to 1", "2"),
    "α₀ of another engine": ("train.alpha0=0.1", "train.alpha0", "supports only alpha0=0"),
    "no recordings to train": ("train.play_coverage=0", "train.play_coverage", "greater than 0"),
    "recordings nobody heard": ("train.min_listeners=0", "train.min_listeners", "greater than or equal to 1"),
    "empty training": ("train.user_fraction=0", "train.user_fraction", "greater than 0"),
    "seed negative": ("train.seed=-1", "train.seed", "-1"),
    "heard policy unknown": (
        "pools.heard=never",
        "pools.heard",
        "'mark', 'exclude', 'only' or 'not_within'",
        "'never'",
    ),
    "pool of nothing": ("pools.k=0", "pools.k", "0"),
    "time unit unknown": ("ingest.time_unit=ns", "ingest.time_unit", "'us'", "'ns'"),
    "memory without unit": ("session.memory='4096'", "session.memory", "such as 900m or 4g", "'4096'"),
    "memory below Spark's floor": ("session.memory=100m", "session.memory", "at least 500m"),
    "jars without a version": (
        "session.packages=[org.apache.hadoop:hadoop-aws]",
        "session.packages.0",
        "Maven coordinates",
    ),
    "jars from an address": (
        "session.packages=['https://host/a.jar']",
        "session.packages.0",
        "Maven coordinates",
    ),
    "a conf that is none of Spark's": (
        "session.conf={fs.s3a.endpoint: x}",
        "session.conf",
        "'fs.s3a.endpoint' cannot be a setting of Spark",
    ),
    "a key in a conf": (
        "session.conf={spark.hadoop.fs.s3a.access.key: AKIA}",
        "session.conf",
        "must not hold the secret",
        "credential provider",
    ),
    "a secret in a conf": (
        "session.conf={spark.hadoop.fs.azure.account.oauth2.client.secret: x}",
        "session.conf",
        "must not hold the secret",
    ),
    "a key of an account in a conf": (
        "session.conf={spark.hadoop.fs.azure.account.key.me.dfs.core.windows.net: x}",
        "session.conf",
        "must not hold the secret",
    ),
    "a token in a conf": (
        "session.conf={spark.hadoop.fs.s3a.session.token: x}",
        "session.conf",
        "must not hold the secret",
    ),
    "a password in the address of a conf": (
        "session.conf={spark.hadoop.fs.s3a.endpoint: 'http://me:pw@host'}",
        "session.conf",
        "must not hold the secret",
    ),
    "a conf with quotes": ('session.conf={spark.app.name: "a\'b"}', "session.conf", "without quotes"),
    "cores by the thousand": ("session.cores=100000", "session.cores", "1024"),
    "day that is none": (
        "weights.landmark='2020-13-01'",
        "weights.landmark",
        "a day such as",
        "'2020-13-01'",
    ),
    "day that YAML cannot read": ("weights.landmark=2020-13-01", "weights.landmark", "YAML"),
    "day as a number": ("weights.landmark=0", "weights.landmark", "a day such as", "0"),
    "day before all logs": ("synthetic.until=0001-01-01", "synthetic.until", "from 1970"),
    "separator of two": ("ingest.separator='::'", "ingest.separator", "one character", "'::'"),
    "separator that ends lines": (r'ingest.separator="\n"', "ingest.separator", "one character"),
    "a colon without its space": (
        "ingest.columns={user_id:uid}",
        "ingest.columns",
        "YAML needs a space after the colon in user_id:uid; write for example {user_id: uid}",
    ),
    "column of ours unknown": (
        "ingest.columns.usr=uid",
        "ingest.columns",
        "'usr' cannot be mapped",
        "user_id",
    ),
    "column with a backquote": (
        "ingest.columns.user_id='a`b'",
        "ingest.columns.user_id",
        "backquotes",
        "'a`b'",
    ),
    "column empty": ("ingest.columns.user_id=''", "ingest.columns.user_id", "1 to 200"),
    "rating column with a backquote": (
        "ingest.rating_column='a`; DROP'",
        "ingest.rating_column",
        "backquotes",
    ),
    "columns as a list": ("ingest.columns=[a]", "ingest.columns", "dictionary", "['a']"),
    "contexts as text": ("daily.lean_back=radio", "daily.lean_back", "list", "'radio'"),
    "context with SQL": (f'daily.lean_back=["{SQL}"]', "daily.lean_back.0", "a context of"),
    "market of three letters": (
        "cards.market_groups.SWE=north",
        "cards.market_groups.SWE",
        "two letters such as SE",
    ),
    "market that YAML reads as false": (
        "cards.market_groups={NO: north}",
        "cards.market_groups",
        "string",
        "False",
    ),
    "market group with SQL": (f'cards.market_groups.SE="{SQL}"', "cards.market_groups.SE", "a group name"),
    "market group of look-alikes": (
        "cards.market_groups.SE=n\u043erth",
        "cards.market_groups.SE",
        r"n\u043erth",
    ),
    "catalog alone": ("store.catalog=main", "store.schema", "go together", "catalog is main"),
    "schema alone": ("store.schema=music", "store.schema", "go together"),
    "path leaves the root": ("store.root=/data/../etc", "store.root", "without '..'", "'/data/../etc'"),
    "path with a wildcard": ("store.root=/data/*", "store.root", "wildcards"),
    "path empty": ("store.root=''", "store.root", "must be a path"),
    "path with NUL": (r'store.root="/a\0b"', "store.root", "control characters"),
    "path turned by bidi marks": (r'store.root="/a\u202eb"', "store.root", r"\u202e"),
    "scheme unknown": ("store.root=ftp://host/x", "store.root", "s3a://", "'ftp://host/x'"),
    "scheme of look-alikes": ("store.root=s\uff13a://bucket/x", "store.root", "s3a://", r"s\uff13a"),
    "scheme without a bucket": ("store.root='s3a://'", "store.root", "start with one of"),
    "password in the path": (
        "store.root=s3a://key:secret@bucket/x",
        "store.root",
        "must not hold a password",
    ),
    "checkpoint outside": ("train.checkpoint_dir=../x", "train.checkpoint_dir", "without '..'"),
    "timeout of an hour": ("mlflow.timeout_s=3600", "mlflow.timeout_s", "less than or equal to 60"),
    "model name of four parts": (
        "mlflow.model_name=a.b.c.d",
        "mlflow.model_name",
        "one to three names",
        "'a.b.c.d'",
    ),
    "experiment empty": ("mlflow.experiment=''", "mlflow.experiment", "1 to 200"),
    "alias bomb": ("train.rank=[&a [x, x], *a, *a]", "train.rank", "aliases"),
    "YAML tag": ("train.rank=!!python/object/apply:os.system [id]", "train.rank", "tags"),
    "YAML tag of a plain type": ("mlflow.enabled=!!bool maybe", "mlflow.enabled", "tags"),
    "YAML key twice": (
        "cards.market_groups={SE: a, SE: b}",
        "cards.market_groups",
        "given more than once",
        "'SE'",
    ),
    "YAML broken": ("train.rank=[1", "train.rank", "YAML"),
    "YAML nested without end": ("train.rank=" + "[" * 5000, "train.rank", "YAML"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS.values(), ids=list(BAD_SETTINGS))
def test_a_bad_setting_is_refused_with_key_given_and_fit(case):
    setting, *told = case
    with pytest.raises(ConfigError) as refusal:
        load_config(settings=[setting])
    assert refusal.value.exit_code == 2
    assert [part for part in told if part not in str(refusal.value)] == [], str(refusal.value)
    assert len(str(refusal.value)) < 2000
    assert str(refusal.value).replace("\n", "").isprintable()


BAD_FILES = {
    "broken": ("train: [1", "not valid YAML"),
    "a list": ("- train\n- pools\n", "must hold sections", "['train', 'pools']"),
    "a word": ("train", "must hold sections", "'train'"),
    "a number for a section": ("train: 5\n", "train: must be a section with keys below it; got 5"),
    "a section of comments": (
        "train:\n  # rank: 3\n",
        "train: must be a section with keys below it; got None",
    ),
    "keys that are no text": ("1: 2\n", "must hold sections"),
    "keys that are no text, below": ("train:\n  1: 2\n", "train.1"),
    "a key twice": (
        "train:\n  rank: 8\n  rank: 9\n",
        "line 2: a section may give each key only once",
        "'rank'",
    ),
    "a section twice": ("train:\n  rank: 8\ntrain:\n  reg: 1\n", "given more than once", "'train'"),
    "a billion laughs": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "aliases (*name) are not allowed"),
    "a python object": ("train: !!python/object/apply:os.system ['touch /tmp/x']\n", "tags", "python/object"),
    "a tab": ("train:\n\trank: 8\n", "not valid YAML"),
    "two documents": ("train:\n  rank: 8\n---\ntrain:\n  rank: 9\n", "not valid YAML"),
    "a control character": ("train:\n  rank: \x07\n", "not valid YAML"),
    "latin-1": ("mlflow:\n  experiment: caf\xe9\n".encode("latin-1"), "not UTF-8 text", "byte"),
    "UTF-16": ("train:\n  rank: 8\n".encode("utf-16"), "not UTF-8 text"),
    "a megabyte and more": (b"# " + b"x" * 1_000_001, "at most 1000000"),
    "a terminal escape in a key": ('"\\e[2Jtrain": {}\n', r"\x1b[2Jtrain: unknown key"),
}


@pytest.mark.parametrize("case", BAD_FILES.values(), ids=list(BAD_FILES))
def test_a_bad_file_is_refused_with_what_is_wrong_in_it(case, tmp_path):
    text, *told = case
    path = tmp_path / "own.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as refusal:
        load_config(str(path))
    assert refusal.value.exit_code == 2
    assert [part for part in told if part not in str(refusal.value)] == [], str(refusal.value)


@pytest.mark.parametrize(
    "name", ["", "missing.yml", "a\0b", "x" * 5000, "/", "/dev/null", "Local", "loc\u0430l"]
)
def test_a_missing_file_is_refused_with_what_could_be_given(name):
    with pytest.raises(ConfigError, match="local") as refusal:
        load_config(name)
    assert refusal.value.exit_code == 2


def text_keys(model=Config, prefix=""):
    """Yield every key that takes free text, so that a new key is tested without a change here."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        if hasattr(field.annotation, "model_fields"):
            yield from text_keys(field.annotation, f"{key}.")
        elif (
            "str" in str(field.annotation)
            and "dict" not in str(field.annotation)
            and "list" not in str(field.annotation)
        ):
            yield key


@pytest.mark.parametrize(
    "payload",
    [SQL, "a`b", 'a"b', "a\nb", "a\u202eb", "x" * 5000],
    ids=["sql", "backquote", "quote", "newline", "bidi", "huge"],
)
@pytest.mark.parametrize("key", sorted(set(text_keys()) - {"ingest.rating_column"}))
def test_no_text_key_takes_quotes_controls_or_a_very_long_text(key, payload):
    with pytest.raises(ConfigError, match=re.escape(key)):
        load_config(settings=[f"{key}={yaml.safe_dump(payload, default_style=chr(34), width=10_000)}"])


ALL_OFF = [f"sources.{name}.enabled=false" for name in load_config().sources.names]


def test_one_message_holds_every_problem_of_fields_cross_fields_and_settings():
    with pytest.raises(ConfigError) as refusal:
        load_config(
            settings=[
                "train.rank=0",
                "train.alpha=.nan",
                "train.nu=1",
                "train.alpha0=2",
                "store.catalog=main",
                "pools.kk=1",
                "nonsense",
                "pools.k=[1",
                *ALL_OFF,
            ]
        )
    told = {problem.split(":")[0] for problem in refusal.value.problems}
    assert told == {
        "train.rank",
        "train.alpha",
        "train.nu",
        "train.alpha0",
        "store.schema",
        "pools.kk",
        "sources",
        "--set takes section.key=value, for example train.rank=32; got 'nonsense'",
        "--set pools.k",
    }
    assert refusal.value.message == "the configuration has 9 problems"


def test_a_broken_field_causes_no_second_error_about_its_dependents():
    with pytest.raises(ConfigError) as refusal:
        load_config(
            settings=[
                "train.engine=als",
                "train.nu=1",
                "train.alpha0=1",
                "store.catalog=9",
                "store.schema=music",
            ]
        )
    assert [problem.split(":")[0] for problem in refusal.value.problems] == ["store.catalog", "train.engine"]


def test_mllib_beyond_ten_iterations_needs_a_checkpoint_folder():
    with pytest.raises(
        ConfigError,
        match=r"train.checkpoint_dir: mllib with iterations=11 \(above 10\) needs the folder train.checkpoint_dir",
    ):
        load_config(settings=["train.engine=mllib", "train.iterations=11"])
    assert (
        load_config(
            settings=["train.engine=mllib", "train.iterations=11", "train.checkpoint_dir=/tmp/c"]
        ).train.iterations
        == 11
    )
    assert load_config(settings=["train.engine=mllib", "train.iterations=10"]).train.checkpoint_dir is None


def test_blocked_takes_any_nu_and_alpha0_and_lambda_follows_nu():
    for nu, reg in ((0, 50.0), (0.5, 50.0**0.5), (1, 1.0)):
        train = load_config(settings=["train.engine=blocked", f"train.nu={nu}", "train.alpha0=0.1"]).train
        assert (train.exponent, train.alpha0) == (nu, 0.1)
        assert train.regularisation == pytest.approx(reg)
    assert [
        load_config(settings=[f"train.engine={engine}"]).train.exponent
        for engine in ("implicit", "mllib", "blocked")
    ] == [0.0, 1.0, 1.0]


def test_every_source_off_is_refused():
    with pytest.raises(ConfigError, match=r"every source is off; set one such as sources\.als\.enabled"):
        load_config(settings=ALL_OFF)


def test_whole_numbers_are_valid_fractions_and_an_empty_value_unsets_a_key():
    config = load_config(
        settings=["train.alpha=3", "train.reg=1", "weights.half_life_days=30", "train.nu=0", "store.root="]
    )
    assert (config.train.alpha, config.train.reg, config.weights.half_life_days, config.train.nu) == (
        3.0,
        1.0,
        30.0,
        0.0,
    )
    assert config.store.root is None


def test_days_may_be_quoted_or_not():
    for text in ("2024-02-29", "'2024-02-29'"):
        assert load_config(settings=[f"weights.landmark={text}"]).weights.landmark == dt.date(2024, 2, 29)


@pytest.mark.parametrize(
    "root",
    [
        "/data/jos\u00e9/with space",
        "file:/data",
        "file:///data",
        "s3a://bucket/x",
        "gs://bucket/x",
        "abfss://box@account.dfs.core/x",
        "hdfs:///x",
        "dbfs:/x",
        "/Volumes/main/music",
    ],
)
def test_absolute_roots_are_taken_as_they_are(root):
    assert load_config(root=root).store.root == root


@pytest.mark.parametrize("root", ["data", "./data"])
def test_a_relative_root_is_taken_from_the_current_folder(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(root=root).store.root == str(tmp_path / "data")


@pytest.mark.parametrize("separator", [",", ";", "|", r"\t", r"\u0001"])
def test_common_separators_are_taken(separator):
    assert len(load_config(settings=[f'ingest.separator="{separator}"']).ingest.separator) == 1


@pytest.mark.parametrize("name", ["local", "cluster", "databricks", "s3a"])
def test_the_shipped_overlays_fit(name):
    overlay = yaml.safe_load((conf_dir() / f"{name}.yml").read_text())
    merged = load_config(name).model_dump(mode="json", by_alias=True)
    assert all(
        merged[section][key] == value for section, values in overlay.items() for key, value in values.items()
    )


def test_the_root_wins_over_settings_over_the_file_over_base(tmp_path):
    path = tmp_path / "own.yml"
    path.write_text("\ufefftrain:\n  rank: 8\n  alpha: 2\nstore:\n  root: /file\n", encoding="utf-8")
    config = load_config(str(path), ["train.rank=9", "train.rank=10", "store.root=/set"], root="/arg")
    assert (config.train.rank, config.train.alpha, config.train.iterations, config.store.root) == (
        10,
        2.0,
        10,
        "/arg",
    )


def test_an_empty_file_is_base(tmp_path):
    (tmp_path / "own.yml").write_text("# nothing yet\n")
    assert load_config(str(tmp_path / "own.yml")) == load_config()


def test_maps_merge_by_key(tmp_path):
    (tmp_path / "own.yml").write_text(
        "ingest: {columns: {user_id: uid}}\ncards: {market_groups: {SE: north, 'NO': north}}\n"
    )
    config = load_config(str(tmp_path / "own.yml"), ["ingest.columns.track_id=song, live"])
    assert config.ingest.columns == {"user_id": "uid", "track_id": "song, live"}
    assert config.cards.market_groups == {"SE": "north", "NO": "north"}


def test_a_password_in_an_address_is_not_among_the_logged_parameters():
    flat = load_config(settings=["mlflow.tracking_uri=postgresql://me:secret@db/x"]).flat()
    assert flat["mlflow.tracking_uri"] == "postgresql://***@db/x"
    assert flat["mlflow.registry_uri"] is None
    assert flat["store.schema"] is None


def test_every_key_of_base_yml_says_its_unit_or_reason_on_its_line():
    bare = [
        line
        for line in (conf_dir() / "base.yml").read_text().splitlines()
        if re.match(r"\s+\w+:\s*\S", line) and not re.search(r"\s# \S", line)
    ]
    assert bare == []


def test_base_yml_holds_exactly_the_keys_of_config():
    def dotted(values, prefix=""):
        for key, value in values.items():
            yield f"{prefix}{key}"
            if isinstance(value, dict):
                yield from dotted(value, f"{prefix}{key}.")

    assert set(dotted(yaml.safe_load((conf_dir() / "base.yml").read_text()))) == set(_keys(Config))
