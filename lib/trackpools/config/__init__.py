"""The configuration: typed, immutable sections that refuse unknown keys and values out of range.

`conf/base.yml` explains every key with its unit and reason. `loading.py` reads and merges the files, and
`values.py` defines the types of single values.

The sections are classes in these files: `data.py` (input data), `sources.py` (candidate sources), `fills.py`
(playlists), `evaluation.py` (measuring and promoting a model) and `operations.py` (sessions, refreshes,
costs). The sections about import, features, training and pools are in this file.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from trackpools.config.data import ContractsConfig, TasteConfig
from trackpools.config.evaluation import CanaryConfig, HoldoutConfig, PromoteConfig, TuneConfig
from trackpools.config.fills import FillConfig, KvConfig, LlmConfig
from trackpools.config.operations import CostConfig, RefreshConfig, SessionConfig, WatchConfig
from trackpools.config.sources import SourcesConfig
from trackpools.config.values import (
    COLUMNS,
    ColumnName,
    Contexts,
    Count,
    Day,
    Name,
    NonNegative,
    Positive,
    Root,
    Section,
    Share,
    Uri,
    finite,
    text,
)

ENGINES = ("implicit", "mllib", "blocked")
NU = {"implicit": 0.0, "mllib": 1.0}  # engine → the only ν that it supports; blocked supports every ν


class StoreConfig(Section):
    """Where the tables are: in the folder `root`, or in a schema of Unity Catalog."""

    root: Root | None
    catalog: Name | None
    schema_: Name | None = Field(alias="schema")

    # A rule about two fields is a validator of the later one. So it runs together with all other checks, and is
    # skipped if the earlier field is invalid.
    @field_validator("schema_")
    @classmethod
    def _both(cls, schema: str | None, info: ValidationInfo) -> str | None:
        if "catalog" in info.data and (info.data["catalog"] is None) != (schema is None):
            raise ValueError(
                f"catalog and schema go together; set both or neither (catalog is {info.data['catalog']})"
            )
        return schema


class IngestConfig(Section):
    """How input files are read, and which rows are refused."""

    format: Literal["auto", "csv", "json", "parquet", "delta"]
    separator: Annotated[
        str,
        text(
            r"""[^A-Za-z0-9"'\\ \n\r]""",
            "one character, not a letter, digit, quote, backslash, space or line end",
        ),
    ]
    columns: dict[str, ColumnName]
    time_unit: Literal["auto", "s", "ms", "us"]
    max_rejected_fraction: Share
    max_clock_skew_s: Annotated[int, Field(ge=0, le=86_400)]
    max_id_length: Annotated[int, Field(ge=1, le=4096)]
    min_rating: Annotated[float, AfterValidator(finite), Field(ge=-1e6, le=1e6)]
    rating_column: ColumnName | None
    schema_version: Count

    @field_validator("columns")
    @classmethod
    def _columns(cls, columns: dict[str, str]) -> dict[str, str]:
        unknown = sorted(set(columns) - COLUMNS)
        if unknown:
            raise ValueError(
                f"{', '.join(map(ascii, unknown))} cannot be mapped, because trackpools has no such column; "
                f"its columns are {', '.join(sorted(COLUMNS))}"
            )
        return columns


class SyntheticConfig(Section):
    """The size, the days and the seed of the generated log."""

    users: Count
    tracks: Annotated[int, Field(ge=20, le=2**31 - 1)]
    days: Annotated[int, Field(ge=1, le=3650)]
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)]
    plays_per_user_day: Annotated[float, Field(gt=0, le=1000), AfterValidator(finite)]
    until: Day


class DailyConfig(Section):
    """How plays are counted for each user, recording and day."""

    lookback_days: Annotated[int, Field(ge=1, le=3650)]
    max_plays_recording_day: Count
    max_plays_day: Count
    early_skip_ms: Annotated[int, Field(ge=0, le=600_000)]
    lean_back: Contexts


class WeightsConfig(Section):
    """How plays become weights of evidence: decay over time, and saturation."""

    half_life_days: Annotated[float, Field(ge=1, le=36_500), AfterValidator(finite)]
    saturation: Positive
    landmark: Day


class CardsConfig(Section):
    """Which markets share rights; `track_cards` has one row for each recording and group of markets."""

    market_groups: dict[
        Annotated[str, text("[A-Za-z]{2}", "a market of two letters such as SE")],
        Annotated[str, text("[A-Za-z0-9_-]{1,32}", "a group name of 1 to 32 letters, digits, _ or -")],
    ]


class TrainConfig(Section):
    """How the ALS model is trained, and how users and recordings are folded in."""

    engine: Literal["implicit", "mllib", "blocked"]
    rank: Annotated[int, Field(ge=1, le=2048)]
    reg: Positive | None
    nu: Annotated[float, Field(ge=0, le=1), AfterValidator(finite)] | None
    alpha0: NonNegative
    alpha: Positive
    beta: NonNegative
    iterations: Annotated[int, Field(ge=1, le=1000)]
    user_steps: Annotated[int, Field(ge=0, le=1000)]
    recording_steps: Annotated[int, Field(ge=1, le=1000)]
    tolerance: Annotated[float, Field(ge=0, lt=1), AfterValidator(finite)]
    blocks: Annotated[int, Field(ge=1, le=100_000)]
    stripe_bytes: Annotated[int, Field(ge=1, le=2**40)]
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)]
    user_fraction: Annotated[float, Field(gt=0, le=1), AfterValidator(finite)]
    play_coverage: Annotated[float, Field(gt=0, le=1), AfterValidator(finite)]
    min_listeners: Count
    artist_prior: bool
    implicit_max_interactions: Count
    checkpoint_dir: Root | None
    save_every_s: Annotated[float, Field(ge=0, le=86_400), AfterValidator(finite)]

    @property
    def exponent(self) -> float:
        """The exponent ν of frequency-scaled regularisation: `nu`, or the engine's default if it is null."""
        return self.nu if self.nu is not None else NU.get(self.engine, 1.0)

    @property
    def regularisation(self) -> float:
        """The regularisation λ: `reg`, or 50 ** (1 − ν) if it is null.

        This default is 50 for ν = 0 and 1 for ν = 1; both were the best on the play counts of Last.fm. Between
        them its logarithm is linear in ν.
        """
        return self.reg if self.reg is not None else 50.0 ** (1 - self.exponent)

    @field_validator("nu")
    @classmethod
    def _nu_fits(cls, nu: float | None, info: ValidationInfo) -> float | None:
        engine = info.data.get("engine")
        if nu is not None and engine and NU.get(engine, nu) != nu:
            able = [name for name in ENGINES if NU.get(name, nu) == nu]
            raise ValueError(
                f"engine {engine} supports only nu={NU[engine]}; "
                f"set another nu, or set train.engine to one that supports nu={nu}: {', '.join(able)}"
            )
        return nu

    @field_validator("alpha0")
    @classmethod
    def _alpha0_fits(cls, alpha0: float, info: ValidationInfo) -> float:
        if alpha0 != 0 and info.data.get("engine") in NU:
            raise ValueError(
                f"engine {info.data['engine']} supports only alpha0=0; set alpha0=0, or set train.engine=blocked"
            )
        return alpha0

    @field_validator("checkpoint_dir")
    @classmethod
    def _long_lineage(cls, folder: str | None, info: ValidationInfo) -> str | None:
        if folder is None and info.data.get("engine") == "mllib" and info.data.get("iterations", 0) > 10:
            raise ValueError(
                f"mllib with iterations={info.data['iterations']} (above 10) needs the folder train.checkpoint_dir, "
                "because Spark's plan of so many iterations overflows the stack without checkpoints"
            )
        return folder


class BaselinesConfig(Section):
    """The simple recommenders with which `trackpools evaluate` compares."""

    item_knn_neighbours: Annotated[int, Field(ge=1, le=100_000)]
    item_knn_weighting: Literal["cosine", "tfidf", "bm25", "asymmetric"]
    ease_reg: Positive


class TopkConfig(Section):
    """How the best recordings of a user are found from the factors: exactly, or by an index."""

    user_block: Annotated[int, Field(ge=1, le=65_536)]
    stripe: Annotated[int, Field(ge=64, le=16_777_216)]
    exact_max: Count
    index_user_block: Annotated[int, Field(ge=1, le=65_536)]
    index_stripe: Annotated[int, Field(ge=1024, le=16_777_216)]
    reach: Annotated[float, Field(ge=1, le=1e6), AfterValidator(finite)]
    fetch: Annotated[float, Field(ge=1, le=100), AfterValidator(finite)]
    min_recall: Share


class RulesConfig(Section):
    """Which candidates are excluded from a pool."""

    heard_days: Annotated[int, Field(ge=1, le=36_500)]
    block_disliked: bool
    min_listeners: Annotated[int, Field(ge=0, le=1_000_000)]
    new_days: Annotated[int, Field(ge=0, le=36_500)]
    functional: Literal["drop", "allow"]
    versions: Literal["original", "best"]
    artist_cap: Count
    album_cap: Count


class PoolsConfig(Section):
    """How candidates become the pool of a user: size, blend, diversity, floors and reserve."""

    k: Annotated[int, Field(ge=1, le=10_000)]
    heard: Literal["mark", "exclude", "only", "not_within"]
    buckets: Annotated[int, Field(ge=1, le=100_000)]
    user_block: Annotated[int, Field(ge=1, le=65_536)]
    blend: Literal["rrf", "quota"]
    rrf_k: Annotated[int, Field(ge=1, le=10_000)]
    mmr: Share
    calibration: Share
    floor: Annotated[int, Field(ge=0, le=10_000)]
    floor_share: Share
    reserve: Share
    audit_share: Share
    valid_days: Annotated[int, Field(ge=1, le=365)]
    active_days: Annotated[int, Field(ge=0, le=36_500)]


class CandidatesConfig(Section):
    """Whether the candidates of the sources are kept as a table."""

    keep: bool


class ReportConfig(Section):
    """Whether a release gets the page `report.html`."""

    enabled: bool


class MlflowConfig(Section):
    """Where runs are tracked and models are registered in MLflow."""

    enabled: bool
    tracking_uri: Uri | None
    registry_uri: Uri | None
    experiment: Annotated[
        str, text(r"[A-Za-z0-9 _./@:+()-]{1,200}", "1 to 200 ASCII letters, digits, spaces or _./@:+()-")
    ]
    model_name: Annotated[
        str,
        text(
            r"[A-Za-z0-9_-]{1,80}(\.[A-Za-z0-9_-]{1,80}){0,2}",
            "one to three names of ASCII letters, digits, _ or -, joined by .",
        ),
    ]
    timeout_s: Annotated[int, Field(ge=1, le=60)]
    max_model_mb: Annotated[int, Field(ge=0, le=100_000)]


class Config(Section):
    """The merged configuration, with all sections."""

    store: StoreConfig
    session: SessionConfig
    ingest: IngestConfig
    contracts: ContractsConfig
    synthetic: SyntheticConfig
    daily: DailyConfig
    taste: TasteConfig
    weights: WeightsConfig
    cards: CardsConfig
    train: TrainConfig
    baselines: BaselinesConfig
    topk: TopkConfig
    sources: SourcesConfig
    rules: RulesConfig
    pools: PoolsConfig
    candidates: CandidatesConfig
    refresh: RefreshConfig
    fill: FillConfig
    llm: LlmConfig
    kv: KvConfig
    holdout: HoldoutConfig
    tune: TuneConfig
    promote: PromoteConfig
    canary: CanaryConfig
    watch: WatchConfig
    cost: CostConfig
    report: ReportConfig
    mlflow: MlflowConfig

    def flat(self) -> dict[str, Any]:
        """Return `section.key` → value, for MLflow parameters and hashes.

        User name and password in the addresses of the MLflow servers are replaced by ***.
        """
        sections = self.model_dump(mode="json", by_alias=True)
        for key in ("tracking_uri", "registry_uri"):
            sections["mlflow"][key] = re.sub("//[^/@]*@", "//***@", sections["mlflow"][key] or "") or None
        return {
            f"{section}.{key}": value for section, values in sections.items() for key, value in values.items()
        }
