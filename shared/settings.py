"""Every setting of the project, read from the environment and a `.env` file in one place.

Names without a prefix are the field's own (DATABASE_URL, REDIS_URL, OPENAI_API_KEY, OPENAI_BASE_URL); all others
start with ASYNCCHAT_. Numbers carry their unit in their name.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, IPvAnyNetwork, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

from shared import models_file
from shared.errors import SettingsError
from shared.rate import Rate

PREFIX = "ASYNCCHAT_"
# What the commands that talk to a server take from the environment.
CLIENT_VARIABLES = frozenset({"ASYNCCHAT_URL", "ASYNCCHAT_API_KEY"})
WEB_SCHEMES = ("http", "https")
DATABASE_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg", "postgres")
REDIS_SCHEMES = ("redis", "rediss", "redis+socket")
# The cheapest current model of OpenAI's that answers ordinary chat well.
DEFAULT_OPENAI_MODEL = "gpt-5.4-mini"
# Every name that starts so is served by the demo model.
DEMO_MODEL = "demo"

# The variables that name a collector to every program that traces.
_COLLECTORS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def _plain(name: str) -> AliasChoices:
    return AliasChoices(name)


def _scheme(url: str) -> str:
    """What stands before `://`. urlsplit would quote a malformed URL in its error, password and all."""
    return url.partition("://")[0].lower()


class Settings(BaseSettings):
    """The settings of one process. Times are seconds, sizes are what the name says."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    # A URL of a server may carry a password.
    database_url: str = Field("sqlite:///data/asyncchat.db", validation_alias=_plain("DATABASE_URL"), repr=False)
    redis_url: str = Field("redis://127.0.0.1:6379/0", validation_alias=_plain("REDIS_URL"), repr=False)
    openai_api_key: str | None = Field(None, validation_alias=_plain("OPENAI_API_KEY"), repr=False)
    openai_base_url: str | None = Field(None, validation_alias=_plain("OPENAI_BASE_URL"), repr=False)
    # Who answers while neither of the two above is set; docker-compose.yml names its demo model here.
    demo_base_url: str | None = Field(None, repr=False)

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    # Whether requests and replies are traced; unset, they are where OpenTelemetry's own variables name a collector.
    tracing: Literal["off", "otlp"] | None = None

    # What `/metrics` asks for, on a gateway and where a worker serves it.
    metrics_token: str | None = Field(None, pattern=r"^[!-~]{8,}$", repr=False)
    worker_metrics_host: str = "127.0.0.1"
    worker_metrics_port: int | None = Field(None, ge=1, le=65535)

    # Who may use the server: `keys`, or `open` to whoever reaches it. Unset, it is open on this machine's own address.
    auth: Literal["keys", "open"] | None = None
    # Further names under which an open server is reached, and web pages that may use it from elsewhere.
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    # Mixed into the digests of keys. Changing it makes all keys useless.
    key_pepper: str = Field("", repr=False)
    # How many requests that look, and that change something, each key may send in a while; where the server is open,
    # each address. None: as many as it likes.
    read_rate: Annotated[Rate | None, NoDecode] = None
    write_rate: Annotated[Rate | None, NoDecode] = None
    # How many requests of one key, and of one tenant, a gateway answers at once, streams and waiting ones among them.
    max_at_once_of_key: int = Field(2500, ge=1)
    max_at_once_of_tenant: int = Field(5000, ge=1)

    # The model that answers when a conversation names none, and the names offered (none given: any name is taken).
    model: str = Field(DEFAULT_OPENAI_MODEL, min_length=1, max_length=200)
    models: Annotated[tuple[str, ...], NoDecode] = ()
    # The file that names models and several upstreams; see `models_path`.
    models_file: str | None = None

    # How many connections a gateway has open at once, if the process may open so many files.
    max_connections: int = Field(20_000, ge=1)

    # What a request may ask for.
    max_body_bytes: int = Field(1 << 20, ge=1024)
    max_content_chars: int = Field(200_000, ge=1)
    max_wait_seconds: float = Field(50, ge=0, le=3600)
    deadline_seconds: float = Field(600, gt=0, le=86_400)
    # How many replies may be queued or running at once, of one tenant and in all.
    max_live_of_tenant: int = Field(20_000, ge=1)
    max_live: int = Field(100_000, ge=1)
    # How long a repeated request is known by its Idempotency-Key.
    idempotency_seconds: float = Field(86_400, ge=60)

    # How long after its last change a conversation is forgotten that was not to be stored.
    ephemeral_seconds: float = Field(600, ge=10)

    # How many days after its last change any conversation is erased; unset, none is.
    retention_days: float | None = Field(None, gt=0, le=36_500)

    # How many events of a reply are kept for those who resume its stream, and for how long after the last one.
    events_max: int = Field(10_000, ge=100)
    events_seconds: int = Field(600, ge=10)
    # How many streams a gateway serves at once, and how long each at most.
    max_streams: int = Field(10_000, ge=1)
    stream_seconds: float = Field(3600, gt=0)

    # Webhooks: how many a worker sends at once, how long they are kept, where they may go beside the public internet.
    webhook_slots: int = Field(20, ge=1, le=1000)
    webhook_seconds: float = Field(7 * 86_400, ge=60)
    webhook_networks: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = ()

    # How a worker generates.
    slots: int = Field(200, ge=1, le=10_000)
    prompt_tokens: int = Field(16_000, ge=100)
    first_byte_seconds: float = Field(60, gt=0)
    chunk_seconds: float = Field(30, gt=0)
    attempt_seconds: float = Field(600, gt=0)
    drain_seconds: float = Field(25, ge=0)
    max_tries: int = Field(4, ge=1, le=100)
    max_model_calls: int = Field(2, ge=1, le=100)
    retry_base_seconds: float = Field(1, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _choose_models(cls, values: dict[str, Any]) -> dict[str, Any]:
        """A models file names all models. Without one, and without a service, a process asks the demo model, which
        knows no other's names."""
        path = models_file.find(values.get("models_file"))
        if path is not None:
            if str(values.get("models") or "").strip(" ,"):
                raise SettingsError(
                    f"both ASYNCCHAT_MODELS and {path.resolve()} name the models; take one of them away"
                )
            model, names = models_file.offered(path, values.get("model"))
            return {**values, "model": model, "models": names}
        demo = str(values.get("demo_base_url") or "")
        is_configured = bool(values.get("OPENAI_API_KEY") or values.get("OPENAI_BASE_URL"))
        if is_configured or _scheme(demo) not in WEB_SCHEMES:
            return values
        wanted = str(values.get("model", DEMO_MODEL))
        name = wanted if wanted.startswith(DEMO_MODEL) else DEMO_MODEL
        return {**values, "OPENAI_BASE_URL": demo, "model": name, "models": ""}

    @field_validator("models", "allowed_hosts", "cors_origins", "webhook_networks", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("read_rate", "write_rate", mode="before")
    @classmethod
    def _parse_rate(cls, value: object) -> object:
        return Rate.parse(value) if isinstance(value, str) else value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str) -> str:
        if _scheme(value) not in REDIS_SCHEMES:
            raise ValueError(f"must start with {', '.join(f'{scheme}://' for scheme in REDIS_SCHEMES)}")
        return value

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str) -> str:
        if _scheme(value) not in DATABASE_SCHEMES:
            raise ValueError("must start with sqlite:/// or postgresql://")
        return value

    @field_validator("openai_base_url", "demo_base_url")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        if value is not None and _scheme(value) not in WEB_SCHEMES:
            raise ValueError("must start with http:// or https://")
        return value

    @property
    def is_open(self) -> bool:
        """Whether whoever reaches the server may use it."""
        return self.is_open_on(self.host)

    def is_open_on(self, host: str) -> bool:
        """The same for a server that listens elsewhere than at `host` of the settings."""
        return self.auth == "open" if self.auth else is_loopback(host)

    @property
    def models_path(self) -> Path | None:
        """Where several upstreams are named: the file of `models_file`, or a `models.toml` in the working directory.
        None where one upstream is what the settings say."""
        return models_file.find(self.models_file)

    @property
    def is_traced(self) -> bool:
        """Whether traces go to a collector."""
        if self.tracing is not None:
            return self.tracing == "otlp"
        is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        return not is_disabled and any(os.environ.get(name) for name in _COLLECTORS)

    @property
    def offered_models(self) -> tuple[str, ...]:
        """The names `GET /models/` lists: the default first."""
        return (self.model, *(name for name in self.models if name != self.model))

    @property
    def client_redis_url(self) -> str:
        """`redis_url` as redis-py spells it: a socket is `unix://` there, and `redis+socket://` for Celery."""
        if self.redis_url.startswith("redis+socket://"):
            return "unix://" + self.redis_url.removeprefix("redis+socket://").replace("virtual_host=", "db=")
        return self.redis_url


@cache
def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _sentence(error: ValidationError) -> str:
    names = {name: _variable(name) for name in Settings.model_fields}
    parts = []
    for item in error.errors():
        place = str(item["loc"][0]) if item["loc"] else ""
        message = str(item["msg"]).removeprefix("Value error, ")
        parts.append(f"{names.get(place, place)}: {message[:1].lower()}{message[1:]}")
    return "wrong setting: " + "; ".join(parts)


def _variable(field: str) -> str:
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return PREFIX + field.upper()


def misspelt_variables() -> list[str]:
    """A sentence for each ASYNCCHAT_ variable of the environment and of `.env` that no setting has."""
    known = [_variable(name) for name in Settings.model_fields]
    # Compared without the prefix, which makes all names look alike.
    words = {name.removeprefix(PREFIX): name for name in known}
    sentences = []
    in_file = (name.upper() for name in DotEnvSettingsSource(Settings).env_vars)
    for name in sorted({*os.environ, *in_file}):
        if name.startswith(PREFIX) and name not in known and name not in CLIENT_VARIABLES:
            near = difflib.get_close_matches(name.removeprefix(PREFIX), words, n=1)
            sentences.append(f"{name} is not a setting" + (f"; did you mean {words[near[0]]}?" if near else ""))
    return sentences


@cache
def get_settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        SettingsError: a value is missing or wrong, or `.env` cannot be read.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {Path('.env').resolve()}: {error}") from None
