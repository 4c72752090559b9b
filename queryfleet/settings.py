"""Every setting of the service, read once from the environment, frozen.

`Settings()` is built by the command line (or by `cluster.build`) and handed down; nothing below reads the environment
again. Actors receive it as an argument, because a worker's environment may differ from the one that started the
cluster. Sizes are bytes and times are seconds, as the names say.
"""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from queryfleet.errors import ConfigurationError
from queryfleet.model import NO_STORE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PREFIX", "Settings", "load_settings", "unknown_variables"]

PREFIX = "QUERYFLEET_"

# Read by the client and the command line, or by the test suite; known, but not settings of the service.
_OTHER_VARIABLES = frozenset(
    {"URL", "TOKEN", "PROJECT", "PROFILE", "DATA_DIR", "TEST_POSTGRES_DSN", "STACK_ID", "HAPROXY_PROGRAM"}
)

MIB = 1024 * 1024


class Settings(BaseSettings):
    """What the service can be told. Each field is `QUERYFLEET_<NAME>` in the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL that keeps queries, projects and tokens. Empty: one is started."
    )
    store_url: str | None = Field(
        default=None,
        description="Where results go: `s3://bucket/prefix` or `file:///folder`. Empty: an S3 server is started. "
        "`none`: nowhere; pages are read from Snowflake again, other warehouses are refused.",
    )
    store_endpoint_url: str | None = Field(default=None, description="S3 endpoint other than the cloud's own.")
    store_access_key_id: str | None = Field(default=None, description="S3 access key. Empty: the usual AWS sources.")
    store_secret_access_key: SecretStr | None = Field(default=None, description="S3 secret key.")
    store_region: str | None = Field(default=None, description="S3 region.")
    store_links_url: str | None = Field(
        default=None,
        description="Where clients reach the S3 service, for links to files and chunks. Empty: at the service's own "
        "endpoint. `none`: nowhere; everything goes through the HTTP service.",
    )
    store_shared: bool = Field(
        default=False, description="A `file://` store is a mount that every node of the cluster shares."
    )

    store_wait_seconds: Annotated[float, Field(ge=0)] = Field(
        default=60.0, description="How long a running query waits for a result store that is away; then it fails."
    )

    host: str = Field(default="127.0.0.1", description="Address the HTTP service listens on.")
    replicas: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="Processes that answer HTTP.")
    page_size_default: Annotated[int, Field(ge=1)] = Field(default=500, description="Rows of a page when not asked.")
    page_size_max: Annotated[int, Field(ge=1)] = Field(default=5000, description="Most rows of a page.")
    body_bytes_max: Annotated[int, Field(ge=1024)] = Field(default=5 * MIB, description="Largest request body.")
    row_limit_max: Annotated[int, Field(ge=1)] = Field(default=100_000_000, description="Largest `limit` of a query.")
    wait_ms_max: Annotated[int, Field(ge=0)] = Field(default=60_000, description="Longest `waitMs`.")
    clock_step_seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(
        default=60,
        description="Relative dates count from the last whole step of this length, so that equal questions share rows.",
    )
    export_cells_max: Annotated[int, Field(ge=1)] = Field(
        default=10_000_000, description="Rows times columns of a question to the models that asks for all rows."
    )
    waiters_max: Annotated[int, Field(ge=1)] = Field(
        default=2000,
        description="Requests one replica holds at once for `waitMs`; beyond it they are answered at once.",
    )
    cancel_wait_seconds: Annotated[float, Field(ge=0, le=60)] = Field(
        default=5.0, description="How long a cancel waits for the warehouse to let go before it answers."
    )

    pool_size: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=0, description="Warm query actors. 0: two per core, less when memory is short."
    )
    pool_size_max: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=0,
        description="Query actors at most, while more queries run or wait than are kept warm. 0: no more than those.",
    )
    actor_cpus: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="CPUs that Ray reserves for each query actor; what a cluster's autoscaler goes by. 0: none.",
    )
    actor_queries_max: Annotated[int, Field(ge=1)] = Field(
        default=500, description="A query actor is replaced after this many queries."
    )
    actor_rss_bytes_max: Annotated[int, Field(ge=256 * MIB)] = Field(
        default=1536 * MIB, description="A query actor is replaced when its memory exceeds this after a query."
    )
    actor_niceness: Annotated[int, Field(ge=0, le=19)] = Field(
        default=19, description="Scheduling niceness of query actors, so that polls go first."
    )
    session_hold_seconds: Annotated[float | None, Field(ge=0)] = Field(
        default=None,
        description="After a query its actor logs in again, for the next one, and stays so for this long. 0: never. "
        "Not set: 60 s, and 10 s for DuckDB, since nobody can write to an open file.",
    )

    running_per_project_max: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Most queries of one project at once; 0: no limit. A project may set its own."
    )
    running_per_user_max: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Most queries of one user in a project at once; 0: no limit."
    )
    running_per_connection_max: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Most queries on one warehouse connection at once; 0: no limit."
    )
    queue_max: Annotated[int, Field(ge=1)] = Field(
        default=2000, description="Most waiting queries of one project; one more is refused with 429."
    )
    queue_seconds_max: Annotated[float, Field(gt=0)] = Field(
        default=3600.0, description="Longest wait for an actor; then the query ends in `error`."
    )
    connect_seconds_max: Annotated[float, Field(gt=0)] = Field(
        default=30.0, description="Longest login at a warehouse."
    )
    execute_seconds_max: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="Longest time until a warehouse gives the first row; 0: no limit."
    )
    idle_seconds_max: Annotated[float, Field(ge=0)] = Field(
        default=600.0, description="Longest pause between two batches of a warehouse; 0: no limit."
    )
    total_seconds_max: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="Longest run of one attempt; 0: no limit."
    )
    result_rows_max: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Most rows of a result; 0: no limit. At the limit it is cut, and says so."
    )
    result_bytes_max: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Most bytes of a result's JSONL; 0: no limit. At the limit it is cut, and says so."
    )

    pivot_cells_max: Annotated[int, Field(ge=1)] = Field(
        default=200_000,
        description="A pivot whose row limit times column limit is larger is put in order by the service instead of "
        "the warehouse.",
    )
    pivot_actor_cells_max: Annotated[int, Field(ge=1)] = Field(
        default=10_000_000,
        description="A pivot that the service puts in order and that has more cells is made by tasks on the cluster, "
        "else by the query's own actor. A cell takes about 100 bytes of the actor's memory while its pivot is made.",
    )
    pivot_columns_max: Annotated[int, Field(ge=1)] = Field(default=200, description="Most columns of a pivot shown.")

    exports_max: Annotated[int, Field(ge=1, le=256)] = Field(
        default=2, description="Files of results that are made at once on the cluster; others wait."
    )

    attempts_max: Annotated[int, Field(ge=1, le=20)] = Field(
        default=3, description="How often a query is started, its actor having been lost, before it ends in `error`."
    )
    lease_seconds: Annotated[float, Field(ge=1)] = Field(
        default=12.0, description="A query actor not heard of for this long is taken for lost."
    )
    sweep_seconds: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="How often the status actor looks for lost attempts and missed wake-ups."
    )
    janitor_seconds: Annotated[float, Field(gt=0)] = Field(
        default=60.0, description="How often expired results, orphaned objects and old history are looked for."
    )
    history_retention_seconds: Annotated[float, Field(gt=0)] = Field(
        default=30 * 86_400.0, description="How long ended queries stay in the history."
    )
    orphan_seconds: Annotated[float, Field(gt=0)] = Field(
        default=3600.0, description="Objects younger than this are never taken for orphans."
    )
    results_ttl_seconds: Annotated[int, Field(ge=1)] = Field(default=86_400, description="How long results are kept.")

    chunk_bytes: Annotated[int, Field(ge=64 * 1024, le=512 * MIB)] = Field(
        default=8 * MIB, description="Target size of a stored chunk."
    )
    chunk_bytes_first: Annotated[int, Field(ge=1024)] = Field(
        default=1 * MIB, description="Target size of the first chunk; each later one doubles up to `chunk_bytes`."
    )
    chunk_age_seconds: Annotated[float, Field(gt=0)] = Field(
        default=0.4, description="Rows wait at most this long for the first chunk to fill; doubles with each chunk."
    )
    chunk_age_seconds_max: Annotated[float, Field(gt=0)] = Field(
        default=10.0, description="Upper end of that doubling."
    )
    block_rows: Annotated[int, Field(ge=1)] = Field(
        default=100, description="Byte offset and checksum are kept for every this-many-th row of a result."
    )
    page_seconds_max: Annotated[float, Field(gt=0)] = Field(
        default=25.0, description="Longest time to read a page from the warehouse again, where results are not stored."
    )
    uploads_in_flight: Annotated[int, Field(ge=1, le=64)] = Field(
        default=3, description="Chunks of one query being uploaded at once; the warehouse waits when they are full."
    )
    fetch_tasks: Annotated[int, Field(ge=0, le=64)] = Field(
        default=4,
        description="Large results of Snowflake and Databricks are fetched by this many tasks at once, on any node; "
        "0: by the query actor alone.",
    )
    batch_rows: Annotated[int, Field(ge=1)] = Field(default=8192, description="Most rows of one Arrow batch.")

    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
    test_now: str | None = Field(
        default=None,
        description="Fixed clock of relative date filters, such as `2024-06-12T15:30:00Z`, for tests and demos only.",
    )

    @property
    def stores_rows(self) -> bool:
        """Whether results are stored; else they stay in the warehouse, which is asked again for each page."""
        return self.store_url != NO_STORE

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        upper = value.upper()
        if upper not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return upper

    @field_validator("test_now")
    @classmethod
    def _known_moment(cls, value: str | None) -> str | None:
        try:
            is_known = value is None or datetime.fromisoformat(value).tzinfo is not None
        except ValueError:
            is_known = False
        if not is_known:
            raise ValueError("must be a moment with a zone, such as 2024-06-12T15:30:00Z")
        return value

    @model_validator(mode="after")
    def _default_page_fits(self) -> Self:
        if self.page_size_default > self.page_size_max:
            raise ValueError(f"{PREFIX}PAGE_SIZE_DEFAULT must not be larger than {PREFIX}PAGE_SIZE_MAX")
        return self


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables of `environ` that carry our prefix but name no setting, each with the nearest right name."""
    known = {name.upper() for name in Settings.model_fields} | _OTHER_VARIABLES
    unknown = {}
    for variable in environ:
        if variable.startswith(PREFIX) and variable.removeprefix(PREFIX) not in known:
            near = get_close_matches(variable.removeprefix(PREFIX), known, n=1, cutoff=0.6)
            unknown[variable] = PREFIX + near[0] if near else None
    return unknown


def load_settings(**overrides: object) -> Settings:
    """Read the environment, with `overrides` (from flags) winning; None among them means "not given".

    Raises:
        ConfigurationError: A value is wrong; the message names the variable, never the value of a secret.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # validated by the model itself
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            raise ConfigurationError(reason) from None
        variable = PREFIX + str(first["loc"][0]).upper()
        raise ConfigurationError(f"{variable}: {reason}", variable=variable) from None
