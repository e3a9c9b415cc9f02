"""What operators see of real processes: one trace from a request to the model's answer, and nothing that was said."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cli.ports import free_port
from tests.fixtures.databases import Databases
from tests.fixtures.monitoring import expressions, metric_names
from tests.fixtures.scrape import Scrape
from tests.fixtures.trace_collector import Seen, running_collector
from tests.fixtures.up import Up
from tests.fixtures.waiting import wait_for

# Nobody says these by chance.
PROMPT, ANSWER, KEY = "xylophone-mango-7731", "bassoon-papaya-4412", "sk-kazoo-guava-9983"
TOKEN = "oboe-lychee-5527"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass
class Model:
    """Answers everything with the same words, but for one model that quotes what it was asked in an error."""

    url: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def _running_model() -> Iterator[Model]:
    model = Model()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            model.headers.append({name.lower(): value for name, value in self.headers.items()})
            if json.loads(asked)["model"] == "quoting":
                self._send(400, "application/json", json.dumps({"error": {"message": asked.decode()}}).encode())
                return
            chunks = [
                {"choices": [{"index": 0, "delta": {"content": ANSWER}, "finish_reason": None}]},
                {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
            ]
            body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
            self._send(200, "text/event-stream", body + b"data: [DONE]\n\n")

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    model.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _request(url: str, *, body: object = None, **headers: str) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, named | {"Content-Type": "application/json"})  # noqa: S310  our own
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@dataclass
class Observed:
    """All that was to be seen."""

    reply: dict[str, str]
    gateway: Scrape
    worker: Scrape
    logs: str
    spans: list[Seen]
    model: Model
    pages: list[str]

    def span(self, name: str) -> Seen:
        """The one of this name in the caller's trace."""
        (found,) = (each for each in self.spans if each.span.name == name and each.span.trace_id.hex() == TRACE)
        return found


@pytest.fixture(scope="module")
def observed(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """One answered question, one that failed and some that were refused, on processes that tell all they can."""
    folder, port = tmp_path_factory.mktemp("up"), free_port()
    with running_collector() as collector, _running_model() as model:
        environment = {
            "DATABASE_URL": databases.new(folder),
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": KEY,
            "ASYNCCHAT_LOG_LEVEL": "debug",
            "ASYNCCHAT_LOG_FORMAT": "json",
            "ASYNCCHAT_METRICS_TOKEN": TOKEN,
            "ASYNCCHAT_WORKER_METRICS_PORT": str(port),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        up = Up(folder, environment=environment)
        try:
            up.wait_until_ready()
            yield _observe(up, folder, port, collector_spans=collector.spans, model=model)
        finally:
            up.process.terminate()
            up.process.wait()
            up.close()


def _observe(up: Up, folder: Path, port: int, *, collector_spans: Callable[[], list[Seen]], model: Model) -> Observed:
    url, asked = f"{up.url}/conversations/?wait=30", {"message": {"content": PROMPT}}
    traceparent = f"00-{TRACE}-{CALLER}-01"
    _, first = _request(url, body=asked, traceparent=traceparent, X_Request_ID="req_of_the_test")
    failed = {"message": {"content": PROMPT, "model": "quoting"}}
    pages = [_request(url, body=failed)[1]]
    conversation = json.loads(first)
    (message,) = (each for each in conversation["messages"] if each["role"] == "assistant")
    token = json.loads(_request(f"{up.url}/conversations/{conversation['id']}/tokens/", body={})[1])["token"]
    refused = (
        f"/replies/{message['reply_id']}/events/?after=x&access_token={token}",
        f"/{PROMPT}?access_token={token}",
        f"/conversations/?limit={PROMPT}",
    )
    pages += [_request(up.url + path, Authorization=f"Bearer {KEY}")[1] for path in refused]
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    # The attempts' spans end after their clients were told, and each process sends its own when it comes to it.
    requests = len(pages) + 2

    def all_came() -> bool:
        names = [each.span.name for each in collector_spans()]
        return names.count("attempt") == 2 and sum(name.startswith(("GET", "POST")) for name in names) >= requests

    assert wait_for(all_came)
    return Observed(
        reply={"reply_id": message["reply_id"], "conversation_id": conversation["id"], "token": token},
        gateway=Scrape(_request(f"{up.url}/metrics", **bearer)[1]),
        worker=Scrape(_request(f"http://127.0.0.1:{port}/metrics", **bearer)[1]),
        logs="\n".join(log.read_text() for log in (folder / "data" / "logs").glob("*.log")),
        spans=collector_spans(),
        model=model,
        pages=pages,
    )


def test_a_request_its_attempt_and_the_call_of_the_model_are_one_trace(observed: Observed) -> None:
    request, attempt, call = map(observed.span, ("POST /conversations/", "attempt", "chat gpt-5.4-mini"))
    assert request.span.parent_span_id.hex() == CALLER
    assert attempt.span.parent_span_id == request.span.span_id
    assert call.span.parent_span_id == attempt.span.span_id
    assert [each.service for each in (request, attempt, call)] == [
        *("asyncchat-api", "asyncchat-worker", "asyncchat-worker"),
    ]
    called_with = observed.model.headers[0]["traceparent"]
    assert called_with == f"00-{TRACE}-{call.span.span_id.hex()}-01"


def test_spans_say_what_the_conventions_call_for(observed: Observed) -> None:
    request, attempt, call = map(observed.span, ("POST /conversations/", "attempt", "chat gpt-5.4-mini"))
    assert request.attributes["http.route"] == "/conversations/"
    assert request.attributes["http.response.status_code"] == 201
    assert request.attributes["asyncchat.request_id"] == "req_of_the_test"
    assert attempt.attributes["asyncchat.reply_id"] == observed.reply["reply_id"]
    assert attempt.attributes["asyncchat.outcome"] == "completed"
    assert [event.name for event in attempt.span.events] == ["first token"]
    assert call.attributes["gen_ai.request.model"] == "gpt-5.4-mini"
    assert call.attributes["gen_ai.usage.input_tokens"] == 7
    assert call.attributes["gen_ai.usage.output_tokens"] == 3
    assert call.attributes["gen_ai.response.finish_reasons"] == ["stop"]


def test_an_attempt_that_fails_says_why(observed: Observed) -> None:
    attempts = [each for each in observed.spans if each.span.name == "attempt" and each.span.trace_id.hex() != TRACE]
    assert {each.attributes["error.type"] for each in attempts} == {"upstream_error"}
    calls = [each for each in observed.spans if each.span.name == "chat quoting"]
    assert {each.attributes["error.type"] for each in calls} == {"upstream_error"}


def test_a_line_about_a_request_leads_to_the_lines_about_its_attempt(observed: Observed) -> None:
    lines = [json.loads(line) for line in observed.logs.splitlines() if line.startswith("{")]
    (request,) = (line for line in lines if line.get("request_id") == "req_of_the_test")
    assert (request["message"], request["status"]) == ("request", 201)
    about = {name: observed.reply[name] for name in ("reply_id", "conversation_id")} | {"trace_id": TRACE}
    assert about.items() <= request.items()
    (attempt,) = (
        line
        for line in lines
        if line.get("reply_id") == observed.reply["reply_id"] and line["message"] == "attempt ended"
    )
    expected = {**about, "attempt": 1, "outcome": "completed", "status": "completed", "output_tokens": 3}
    assert expected.items() <= attempt.items()


def test_every_metric_of_the_dashboard_and_the_alerts_is_there(observed: Observed) -> None:
    asked = metric_names(expressions())
    assert len(asked) > 30
    assert asked <= observed.gateway.names | observed.worker.names


def test_nothing_that_was_said_and_no_secret_is_in_any_log_metric_span_or_error_page(observed: Observed) -> None:
    told = {
        "log": observed.logs.replace(f"path=/{PROMPT}", "").replace(f'"/{PROMPT}"', ""),
        "metrics": observed.gateway.text + observed.worker.text,
        "spans": "".join(str(each.span) for each in observed.spans).replace(f'"/{PROMPT}"', ""),
        "pages": "".join(observed.pages[1:]),
    }
    assert all(told.values())
    for name, text in told.items():
        for secret in (PROMPT, ANSWER, KEY, TOKEN, observed.reply["token"]):
            assert secret not in text, name
    # Who asked is shown what was asked; its error does not quote it.
    assert ANSWER not in observed.pages[0]
    assert KEY not in observed.pages[0]
