"""The models of a run: started or reached when first needed, always stopped at the end."""

import hashlib
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

from curate import local_llm
from curate.config import JudgeSettings, Opened
from curate.journal import Journal
from curate.llm import Client, Endpoint, Spend, token_ends
from curate.local_llm import CATALOGUE, fetch, serve
from curate.progress import Progress
from curate.stages.tune import ModelChoice
from curate.tokens import Ends


class Models:
    """Clients for judging and for reflection. Nothing is loaded or called before `judge()` or `reflection()`."""

    def __init__(self, opened: Opened, progress: Progress) -> None:
        self.settings: JudgeSettings = opened.pipeline.judge
        self.below = opened.file.absolute().parent
        self.progress = progress
        self.stack = ExitStack()
        self.spend = Spend(opened.workspace / "spend.jsonl", budget_usd=opened.pipeline.budget_usd)
        self.journal_folder = opened.workspace / "journal"
        self._journal: Journal | None = None
        self._ends: dict[str, Ends] = {}
        self._clients: dict[str, Client] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()

    def judge(self) -> Client:
        """The client that judges."""
        s = self.settings
        return self._client(s.model, s.api_base, s.api_key_env, s.input_usd_per_million, s.output_usd_per_million)

    def reflection(self) -> Client:
        """The client that proposes instructions."""
        s = self.settings
        if not s.reflection_model:
            return self.judge()
        return self._client(s.reflection_model, s.reflection_api_base, s.reflection_api_key_env, None, None)

    def grader(self) -> Client:
        """The client that grades judgments by a rubric of its own: the one that proposes instructions."""
        return self.reflection()

    def client_of(self, choice: ModelChoice) -> Client:
        """The client of one of several models."""
        return self._client(
            choice.model,
            choice.api_base,
            choice.api_key_env,
            choice.input_usd_per_million,
            choice.output_usd_per_million,
        )

    def served(self) -> str:
        """By whom the judge's model is served."""
        return served_by(self.settings.model, self.settings.api_base)

    def ends(self) -> Ends | None:
        """The tokenizer of the judge's model, where pages are cut by tokens; an embedded model is started for it."""
        return self.ends_of(self.settings.model, self.judge()) if self.settings.page_tokens else None

    def ends_of(self, model: str, client: Client) -> Ends | None:
        """The tokenizer of a model, where pages are cut by tokens."""
        if self.settings.page_tokens is None:
            return None
        if model not in self._ends:
            local = model.startswith("local/")
            found = local_llm.token_ends(str(client.endpoint.api_base)) if local else token_ends(model)
            if not found.own:
                self.progress.say(f"judge.page_tokens: {model} is counted by {found.name}")
            self._ends[model] = lru_cache(4096)(found)
        return self._ends[model]

    def weights_of(self, model: str) -> str:
        """SHA-256 of the weights of one of several models, where they are known."""
        return CATALOGUE[model.removeprefix("local/")].sha256 if model.startswith("local/") else ""

    def weights(self) -> str:
        """SHA-256 of the judge's weights where they are known, else empty."""
        return weights_hash(self.settings, self.below)

    def _client(
        self, model: str, api_base: str, key_env: str, input_usd: float | None, output_usd: float | None
    ) -> Client:
        if (key := f"{model} at {api_base}") in self._clients:
            return self._clients[key]
        s = self.settings
        local = model.startswith("local/")
        endpoint = Endpoint(
            model=model,
            api_base=api_base or None,
            api_key_env=key_env or None,
            timeout_seconds=s.timeout_seconds,
            concurrency=1 if local else s.concurrency,
            retries=s.retries,
            input_usd_per_million=0.0 if local else input_usd,
            output_usd_per_million=0.0 if local else output_usd,
        )
        client = Client(self._start(model) if local else endpoint, journal=self.journal(), spend=self.spend)
        self.stack.callback(client.close)
        self._clients[key] = client
        return client

    def journal(self) -> Journal:
        """The workspace's journal of replies."""
        if self._journal is None:
            self._journal = Journal(self.journal_folder)
            self.stack.callback(self._journal.close)
        return self._journal

    def _start(self, model: str) -> Endpoint:
        s = self.settings
        name = model.removeprefix("local/")
        path = self._weights_file(name)
        digest = weights_hash(s, self.below) if s.local.gguf else CATALOGUE[name].sha256
        served = f"{name}-{digest[:8]}"
        self.progress.say(f"starting the embedded model {name}")
        server = self.stack.enter_context(
            serve(path, name=served, context_tokens=s.local.context_tokens, threads=s.local.threads)
        )
        return Endpoint(
            model=f"openai/{served}",
            api_base=server.api_base,
            timeout_seconds=max(s.timeout_seconds, 300),
            concurrency=1,
            retries=s.retries,
            input_usd_per_million=0.0,
            output_usd_per_million=0.0,
        )

    def _weights_file(self, name: str) -> Path:
        if self.settings.local.gguf:
            return fetch(str(self.below / Path(self.settings.local.gguf).expanduser()))
        total = CATALOGUE[name].bytes
        with self.progress.task(f"weights of {name} (MB)", total >> 20) as task:
            done = 0

            def shown(what: str, have: int, of: int) -> None:
                nonlocal done
                if (step := (have >> 20) - done) > 0:
                    task.advance(step)
                    done += step

            return fetch(name, on_progress=shown)


def served_by(model: str, api_base: str) -> str:
    """By whom a model is served, as part of a judge: `embedded`, `own server` or `provider`."""
    if model.startswith("local/"):
        return "embedded"
    return "own server" if api_base else "provider"


def weights_hash(settings: JudgeSettings, below: Path) -> str:
    """SHA-256 of an embedded model's weights; empty for a model that is called over the network."""
    if not settings.model.startswith("local/"):
        return ""
    if not settings.local.gguf:
        return CATALOGUE[settings.model.removeprefix("local/")].sha256
    with open(below / Path(settings.local.gguf).expanduser(), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
