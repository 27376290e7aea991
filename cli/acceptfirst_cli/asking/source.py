"""Where a command finds the data: a store that it opens, or a running ``serve`` that it asks."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

import httpx
import typer

from acceptfirst_cli.asking.question import Question, QuestionError
from acceptfirst_cli.configuration import TOKEN_VARIABLE
from acceptfirst_cli.errors import CommandError, ExitCode

JOB_SECONDS_MAX: Final = 150.0
CARE_SECONDS_MAX: Final = 3600.0
"""Rewriting what an erasure touches takes as long as it takes."""
DATA_DIR: Final = Path(".acceptfirst")
DATA_DIR_VARIABLE: Final = "ACCEPTFIRST_DATA_DIR"

StoreOption = Annotated[
    str,
    typer.Option(envvar="ACCEPTFIRST_STORE", help="The store: chdb:///path or clickhouse://user:password@host."),
]
UrlOption = Annotated[str, typer.Option(envvar="ACCEPTFIRST_URL", help="A running serve, to be asked instead.")]
TokenOption = Annotated[
    Path | None, typer.Option(envvar="ACCEPTFIRST_TOKEN_FILE", help="File with the token of that serve.")
]
EnvironmentOption = Annotated[str, typer.Option(help="Only this environment; all of them if left out.")]
SinceOption = Annotated[str, typer.Option(help="From when: ISO 8601, or an age such as 24h or 7d.")]
UntilOption = Annotated[str, typer.Option(help="Until when (excluded), in the same form.")]
WeekOption = Annotated[str, typer.Option(help="An ISO week such as 2026-W47, instead of --since and --until.")]
SloOption = Annotated[float, typer.Option(help="Share of handshakes that may meet an unready application.")]
ConfidenceOption = Annotated[float, typer.Option(help="Confidence of every bound.")]
LambdaOption = Annotated[float, typer.Option(help="What one violation costs, in milliseconds of waiting.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True)
class Source:
    """One of the two: ``dsn`` or ``url``."""

    dsn: str = ""
    url: str = ""
    token: str = field(default="", repr=False)
    certificate: str = ""

    def http_client(self, timeout_s: float) -> httpx.Client:
        """A client for the collector at ``url``, with its token.

        Raises:
            CommandError: the certificate of the serve here can't be read.
        """
        trust: Any = importlib.import_module("acceptfirst_store.remote").trusting(self.certificate)
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        # A collector is a neighbour: a proxy that the environment names for the web would not find it.
        return httpx.Client(base_url=self.url, headers=headers, timeout=timeout_s, trust_env=False, verify=trust)

    def classify(self, question: Question) -> dict[str, Any]:
        """Classify, here or there."""
        if self.url:
            return self._post("classify", question)
        classifier = importlib.import_module("acceptfirst_analysis.classification.classify")
        catalogue = importlib.import_module("acceptfirst_cli.asking.catalogues").usable_catalogue()
        with self._database() as database:
            window = _asked(question.window)(datetime.now(UTC))
            found = classifier.classify(database, catalogue, window, question.environment)
        document: dict[str, Any] = found.to_json()
        return document

    def recommend(self, question: Question) -> dict[str, Any]:
        """Recommend and write it down, here or there."""
        if self.url:
            return self._post("recommend", question)
        now = datetime.now(UTC)
        with self._database() as database:
            document = self._work("recommend", database, question)
            _remember(database, document, now)
        return document

    def report(self, question: Question) -> dict[str, Any]:
        """The report's text, made here or there."""
        if self.url:
            return self._post("report", question)
        with self._database() as database:
            return self._work("report", database, question)

    def care(self, what: str, asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask the collector to care for its store: ``stats``, or ``migrate`` and ``prune`` with what is asked."""
        method = "GET" if asked is None else "POST"
        return self._request(method, f"db/{what}", None if asked is None else dict(asked), CARE_SECONDS_MAX)

    @contextmanager
    def open_store(self, *, migrated: bool = True, made: bool = False) -> Iterator[Any]:
        """The store, opened here.

        Args:
            migrated: bring its tables up to date first.
            made: make an embedded one where there is none.
        """
        with self._database(migrated=migrated, made=made) as database:
            yield database

    def verify(self, question: Question) -> dict[str, Any]:
        """Whether the last change worked, looked up here or there."""
        if self.url:
            return self._post("verify", question)
        with self._database() as database:
            return self._work("verify", database, question)

    def alerts(self, filters: Mapping[str, Any], settings: Any) -> dict[str, Any]:
        """The alerts that are remembered, here or there.

        Args:
            filters: those of ``GET /api/v1/alerts``.
            settings: the alerts file's, for a store; a collector has its own.
        """
        if self.url:
            return self._request("GET", f"alerts?{urlencode(filters)}", None, JOB_SECONDS_MAX)
        answers = importlib.import_module("acceptfirst_cli.asking.alert_answers")
        with self._database() as database:
            listed: dict[str, Any] = answers.alerts_document(database, filters, settings)
            return listed

    def check_alerts(self, question: Question, settings: Any) -> dict[str, Any]:
        """Which alert rules held, looked up here or there; arguments as in ``alerts``."""
        if self.url:
            wanted = {name: getattr(question, name) for name in ("environment", "since", "until", "week")}
            return self._request("POST", "jobs/alerts", {"check": True, **wanted}, JOB_SECONDS_MAX)
        answers = importlib.import_module("acceptfirst_cli.asking.alert_answers")
        with self._database() as database:
            importlib.import_module("acceptfirst_store.rollup").refresh_rollup(database)
            checked: dict[str, Any] = _asked(answers.check_document)(database, question, settings)
            return checked

    def silences(self, settings: Any, *, with_ended: bool) -> dict[str, Any]:
        """The silences, here or there; ``settings`` as in ``alerts``."""
        if self.url:
            return self._request("GET", f"silences?all={str(with_ended).lower()}", None, JOB_SECONDS_MAX)
        answers = importlib.import_module("acceptfirst_cli.asking.alert_answers")
        with self._database() as database:
            listed: dict[str, Any] = answers.silences_document(database, settings, with_ended=with_ended)
            return listed

    def change_silence(self, values: Mapping[str, Any], lifted: str = "") -> dict[str, Any]:
        """Set a silence, or lift the one with an id; gives it as it is then.

        Raises:
            CommandError: a usage error: what is asked for can't be done.
        """
        if self.url:
            path = f"silences/{quote(lifted, safe='')}/lift" if lifted else "silences"
            changed: dict[str, Any] = self._request("POST", path, dict(values), JOB_SECONDS_MAX)["silence"]
            return changed
        silences = importlib.import_module("acceptfirst_analysis.alerts.silences")
        now = datetime.now(UTC)
        with self._database() as database:
            try:
                args = (lifted, values, now) if lifted else (values, now)
                kept = (silences.lift_silence if lifted else silences.set_silence)(database, *args)
            except silences.SilenceError as error:
                raise CommandError(str(error), ExitCode.USAGE) from error
            document: dict[str, Any] = kept.to_json(now)
            return document

    @contextmanager
    def reader(self) -> Iterator[Any]:
        """Whoever runs named statements: the store, open, or a running collector."""
        if self.url:
            yield importlib.import_module("acceptfirst_store.remote").RemoteStore(self.url, self.token or None)
            return
        with self._database() as database:
            yield database

    def _work(self, job: str, database: Any, question: Question) -> dict[str, Any]:
        answer: dict[str, Any] = importlib.import_module("acceptfirst_cli.jobs.worker").answer(job, database, question)
        return answer

    @contextmanager
    def _database(self, *, migrated: bool = True, made: bool = False) -> Iterator[Any]:
        # The embedded engine before any other native library: see `serve`.
        if self.dsn.startswith("chdb"):
            importlib.import_module("chdb")
        address = importlib.import_module("acceptfirst_store.address").StoreAddress.parse(self.dsn)
        if address.path is not None and not made and not (address.path / "metadata").is_dir():
            raise CommandError(
                f"expected an embedded store at {address.path}, but there is none; give the directory that serve wrote",
                ExitCode.UNREACHABLE,
            )
        with importlib.import_module("acceptfirst_store.database").open_database(address) as database:
            if migrated:
                importlib.import_module("acceptfirst_store.migrations").migrate(database)
            yield database

    def _post(self, job: str, question: Question) -> dict[str, Any]:
        return self._request("POST", f"jobs/{job}", question.to_json(), JOB_SECONDS_MAX)

    def _request(self, method: str, path: str, body: dict[str, Any] | None, seconds_max: float) -> dict[str, Any]:
        try:
            with self.http_client(seconds_max) as client:
                response = client.request(method, f"/api/v1/{path}", json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CommandError(f"nothing answers at {self.url}: {error}", ExitCode.UNREACHABLE) from error
        return _answered(self.url, response)


def source_of(store: str, url: str, token_file: Path | None) -> Source:
    """What the options mean; with neither, the running ``serve`` of the data directory here, else its store.

    Raises:
        CommandError: when both are given, the URL is none, or the token can't be read.
    """
    if store and url:
        raise CommandError("expected either --store or --url, but got both", ExitCode.USAGE)
    token = token_in(token_file)
    if url:
        return Source(url=_collector_url(url), token=token)
    if store:
        return Source(dsn=store)
    url, certificate = _running(_data_dir() / "serve.json")
    if url:
        return Source(url=url, token=token, certificate=certificate)
    return Source(dsn=f"chdb://{(_data_dir() / 'db').absolute()}")


def _collector_url(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise CommandError(
            f"expected the address of a running serve, such as http://127.0.0.1:4318, but got {text!r}", ExitCode.USAGE
        )
    return text.rstrip("/")


def question_of(**values: Any) -> Question:
    """A checked question from the options.

    Raises:
        CommandError: a usage error, naming the value.
    """
    question: Question = _asked(Question(**values).checked)()
    return question


def _asked(reading: Any) -> Any:
    def read(*arguments: Any) -> Any:
        try:
            return reading(*arguments)
        except QuestionError as error:
            raise CommandError(str(error), ExitCode.USAGE) from error

    return read


def _remember(database: Any, document: dict[str, Any], now: datetime) -> None:
    memory = importlib.import_module("acceptfirst_analysis.tuning.memory")
    model = importlib.import_module("acceptfirst_analysis.tuning.recommendation")
    windows = importlib.import_module("acceptfirst_analysis.window")
    since, until = (windows.parse_instant(document["window"][key], now=now) for key in ("since", "until"))
    rows = [model.Recommendation.from_row(row) for row in document["recommendations"]]
    memory.remember(database, rows, windows.window_between(since, until, now=now), now=now)


def _answered(url: str, response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        document = {}
    if response.is_success and isinstance(document, dict):
        return document
    message = document.get("message", response.reason_phrase) if isinstance(document, dict) else response.reason_phrase
    codes = {
        400: ExitCode.USAGE,
        401: ExitCode.USAGE,
        403: ExitCode.USAGE,
        404: ExitCode.FAILURE,
        409: ExitCode.NOT_ENOUGH_DATA,
    }
    code = codes.get(response.status_code, ExitCode.UNREACHABLE)
    raise CommandError(f"{url} answered {response.status_code}: {message}", code)


def _running(path: Path) -> tuple[str, str]:
    """The URL of the serve here, and the certificate to believe it by; empty where there is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return str(document["url"]), str(document.get("certificate", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", ""  # nobody serves here, or somebody else's file: then it is the store that is asked


def token_in(path: Path | None) -> str:
    """The token in a file, empty where none is named.

    Raises:
        CommandError: when it can't be read.
    """
    if path is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the token file {path} can't be read: {error}", ExitCode.USAGE) from error


def _data_dir() -> Path:
    return Path(os.environ.get(DATA_DIR_VARIABLE) or DATA_DIR)
