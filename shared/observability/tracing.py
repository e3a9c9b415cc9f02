"""Tracing by OpenTelemetry: one trace from a request over its reply's row to the worker and the call of the model.

Off unless a setting or the standard variables ask for it; then nothing of OpenTelemetry is imported. A reply may be
claimed without any bell, so its row carries the trace. No span has a prompt, an answer, a key or an exception's text.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal, Protocol

from shared.settings import Settings
from shared.version import version

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

Kind = Literal["server", "consumer", "client"]
Attributes = Mapping[str, str | int | float | Sequence[str]]

# How long a process that ends waits for a collector to take the last spans.
STOP_SECONDS = 0.5


class Noted(Protocol):
    """A span, or nothing."""

    def note(self, attributes: Attributes, *, name: str | None = None) -> None:
        """What is known of it by now."""

    def happen(self, event: str) -> None:
        """Something happened at this instant."""

    def fail(self, code: str) -> None:
        """It went wrong; `code` says how."""


class _Nothing:
    def note(self, attributes: Attributes, *, name: str | None = None) -> None: ...

    def happen(self, event: str) -> None: ...

    def fail(self, code: str) -> None: ...


class _Noted:
    def __init__(self, span: Span) -> None:
        self._span = span

    def note(self, attributes: Attributes, *, name: str | None = None) -> None:
        self._span.set_attributes(attributes)
        if name is not None:
            self._span.update_name(name)

    def happen(self, event: str) -> None:
        self._span.add_event(event)

    def fail(self, code: str) -> None:
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("error.type", code)
        self._span.set_status(StatusCode.ERROR)


class _Tracing:
    """What a process that traces has."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.provider = provider
        self._tracer = provider.get_tracer("asyncchat", version())
        self._kinds = {"server": SpanKind.SERVER, "consumer": SpanKind.CONSUMER, "client": SpanKind.CLIENT}
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, kind: Kind, attributes: Attributes, parent: Mapping[str, str] | None) -> Iterator[Noted]:
        with self._tracer.start_as_current_span(
            name,
            context=None if parent is None else self._propagator.extract(parent),
            kind=self._kinds[kind],
            attributes=attributes,
            # An exception may quote what was said.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            noted = _Noted(span)
            try:
                yield noted
            except BaseException as error:
                noted.fail(str(getattr(error, "code", None) or type(error).__name__))
                raise

    def headers(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier


NOTHING: Noted = _Nothing()
NO_SPAN: AbstractContextManager[Noted] = nullcontext(NOTHING)
_tracing: _Tracing | None = None


def start(settings: Settings, role: str) -> None:
    """Begins to trace, if that is asked for. `role` is `api` or `worker`.

    Where to and how is in the variables that OpenTelemetry's SDK reads: OTEL_EXPORTER_OTLP_ENDPOINT and its like,
    OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER.
    """
    global _tracing
    if not settings.is_traced:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.version": version()})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": f"asyncchat-{role}"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracing = _Tracing(provider)


def stop() -> None:
    """Sends what is left, and ends. A collector that does not answer holds nobody up."""
    global _tracing
    if _tracing is not None:
        last = threading.Thread(target=_tracing.provider.shutdown, name="last spans", daemon=True)
        _tracing = None
        last.start()
        last.join(STOP_SECONDS)


def is_on() -> bool:
    """Whether this process traces."""
    return _tracing is not None


def span(
    name: str, kind: Kind, attributes: Attributes, *, parent: Mapping[str, str] | None = None
) -> AbstractContextManager[Noted]:
    """A span for the block. `parent` has the headers of whoever caused it; without, it is part of the present one."""
    return NO_SPAN if _tracing is None else _tracing.span(name, kind, attributes, parent)


def headers() -> dict[str, str]:
    """What a request carries to be part of the present trace: `traceparent`, or nothing."""
    return {} if _tracing is None else _tracing.headers()


def traceparent() -> str | None:
    """The present trace as a reply's row carries it: https://www.w3.org/TR/trace-context/#traceparent-header."""
    return headers().get("traceparent")


def ids() -> dict[str, str]:
    """The present trace's id, for the log."""
    present = traceparent()
    return {"trace_id": present.split("-")[1]} if present else {}
