"""A real HTTP server on loopback that speaks the OpenAI chat protocol, well or badly, in place of a provider.

In a test: `with OpenAIServer(script=["429", "500"]) as server: ... server.url, server.calls, server.bodies`.
From another process: `python tests/openai_server.py --port 0 --delay 0.05` prints its URL, then serves until killed;
`GET /stats` tells what it has seen.
"""

import argparse
import asyncio
import hashlib
import json
import math
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

KEYWORDS = ("because", "equation", "therefore", "formula", "theorem", "hence")
LEVELS = 6


@dataclass(frozen=True)
class Answer:
    """What the server does with one call. `top`: token to logprob, one mapping a generated token; made up when None."""

    text: str = ""
    top: list[dict[str, float]] | None = None
    finish_reason: str = "stop"
    refusal: str | None = None
    cached_tokens: int = 0
    delay_seconds: float = 0.0
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """Sent as the body in place of a well-formed one."""
    hang_up: bool = False
    """Close the connection without a word."""


def error(status: int, message: str, code: str | None = None, **headers: str) -> Answer:
    """An error answer in the provider's shape."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, raw=json.dumps(body).encode(), headers=names)


TROUBLES: dict[str, Answer] = {
    "429": error(429, "Rate limit reached for requests", "rate_limit_exceeded", retry_after="0"),
    "429-wait": error(429, "Rate limit reached for requests", "rate_limit_exceeded", retry_after="1"),
    "429-quota": error(429, "You exceeded your current quota, please check your plan", "insufficient_quota"),
    "500": error(500, "The server had an error while processing your request"),
    "503": error(503, "Loading model"),
    "garbage": Answer(raw=b"<html>not JSON at all"),
    "empty": Answer(raw=b"{}"),
    "hangup": Answer(hang_up=True),
    "slow": Answer(text="0", delay_seconds=30),
    "401": error(401, "Incorrect API key provided", "invalid_api_key"),
    "403": error(403, "You are not allowed to sample from this model"),
    "404": error(404, "The model `nosuch` does not exist", "model_not_found"),
    "400": error(400, "temperature: must be at most 2"),
    "context": error(
        400,
        "This model's maximum context length is 4096 tokens. However, your messages resulted in 9000 tokens.",
        "context_length_exceeded",
    ),
    "no-logprobs": error(400, "logprobs is not supported by this model", "unsupported_parameter"),
    "filter": error(400, "The response was filtered due to the prompt triggering our policy", "content_filter"),
    "refusal": Answer(refusal="I can't help with that."),
    "filtered": Answer(finish_reason="content_filter"),
}
"""Answers by name, for scripts."""

Reply = Callable[[dict[str, Any]], "Answer | str"]


class OpenAIServer:
    """A server in a thread. `script` is used up first, one entry a call (a name of TROUBLES, an Answer, or "ok");
    then `reply` answers, given the request's JSON body."""

    def __init__(
        self,
        reply: Reply | None = None,
        *,
        script: Iterable[str | Answer] = (),
        delay_seconds: float = 0.0,
        port: int = 0,
    ) -> None:
        self.reply: Reply = reply or by_keywords
        self.script = deque(script)
        self.delay_seconds = delay_seconds
        self.port = port
        self.bodies: list[dict[str, Any]] = []
        """The JSON body of every call, in order of arrival."""
        self.headers: list[dict[str, str]] = []
        self.answered = 0
        """Calls whose answer was written out whole."""
        self.in_flight = self.max_concurrency = 0
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """What goes in `api_base`."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def calls(self) -> int:
        """How many chat completions were asked for."""
        return len(self.bodies)

    def stats(self) -> dict[str, int]:
        """Counts, as `GET /stats` gives them."""
        return {"calls": self.calls, "answered": self.answered, "max_concurrency": self.max_concurrency}

    def __enter__(self) -> "OpenAIServer":
        self._thread = threading.Thread(target=self._run, name="openai-server", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failed:
            raise self._failed
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as problem:
            self._failed = problem
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False when the connection is over."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if method == "GET":
            return await self._write(writer, self._looked_up(path))
        if path != "/v1/chat/completions":
            return await self._write(writer, error(404, f"no such path: {path}"))
        return await self._chat(json.loads(body), headers, writer)

    def _looked_up(self, path: str) -> Answer:
        found = {
            "/stats": self.stats(),
            "/health": {"status": "ok"},
            "/v1/models": {"object": "list", "data": [{"id": "stub", "object": "model"}]},
        }
        return Answer(raw=json.dumps(found[path]).encode()) if path in found else error(404, f"no such path: {path}")

    async def _chat(self, body: dict[str, Any], headers: dict[str, str], writer: asyncio.StreamWriter) -> bool:
        self.bodies.append(body)
        self.headers.append(headers)
        self.in_flight += 1
        self.max_concurrency = max(self.max_concurrency, self.in_flight)
        try:
            answer = self._answer(body)
            await asyncio.sleep(self.delay_seconds + answer.delay_seconds)
            if answer.raw is None and not answer.hang_up:
                raw = json.dumps(completion(body, answer)).encode()
                answer = Answer(raw=raw, status=answer.status, headers=answer.headers)
            going = await self._write(writer, answer)
        finally:
            self.in_flight -= 1
        self.answered += 1
        return going

    def _answer(self, body: dict[str, Any]) -> Answer:
        step = self.script.popleft() if self.script else "ok"
        if isinstance(step, Answer):
            return step
        if step != "ok":
            return TROUBLES[step]
        answer = self.reply(body)
        return Answer(answer) if isinstance(answer, str) else answer

    async def _write(self, writer: asyncio.StreamWriter, answer: Answer) -> bool:
        if answer.hang_up:
            return False
        raw = answer.raw or b""
        headers = {"Content-Type": "application/json", "Content-Length": str(len(raw)), **answer.headers}
        lines = [
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
            *(f"{k}: {v}" for k, v in headers.items()),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + raw)
        await writer.drain()
        return True


def completion(body: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """The JSON of a chat completion. A refused message has no content."""
    message = {"role": "assistant", "content": None if answer.refusal else answer.text, "refusal": answer.refusal}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": answer.finish_reason, "logprobs": None}
    top = answer.top if answer.top is not None else [{token: -0.01} for token in tokens(answer.text)]
    if body.get("logprobs"):
        choice["logprobs"] = {"content": [_position(each, body.get("top_logprobs") or 0) for each in top]}
    prompt = sum(len(tokens(text_of(message))) for message in body["messages"])
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": len(top),
        "total_tokens": prompt + len(top),
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
    }
    return {
        "id": "chatcmpl-stub",
        "object": "chat.completion",
        "created": 1700000000,
        "model": body["model"],
        "choices": [choice],
        "usage": usage,
    }


def _position(top: dict[str, float], keep: int) -> dict[str, Any]:
    ranked = sorted(top.items(), key=lambda pair: -pair[1])
    entries = [{"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in ranked]
    return {**entries[0], "top_logprobs": entries[:keep]}


def tokens(text: str) -> list[str]:
    """Words and single marks, in place of a tokenizer."""
    return re.findall(r"\w+|[^\w\s]", text)


def text_of(message: dict[str, Any]) -> str:
    """A message's text, whether its content is a string or parts."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def merit(body: dict[str, Any]) -> float:
    """How good the asked-about page is, 0..5: words that give reasons, plus noise that is fixed by the messages."""
    said = " ".join(text_of(message) for message in body["messages"] if message["role"] == "user")
    hits = len(re.findall(rf"\b(?:{'|'.join(KEYWORDS)})\b", said.lower()))
    digest = hashlib.sha256(said.encode("utf-8", "replace")).digest()
    return min(max(min(hits, LEVELS - 1) + digest[0] / 255 - 0.5, 0.0), LEVELS - 1.0)


def by_keywords(body: dict[str, Any]) -> Answer:
    """The default judge: the same messages get the same answer, and pages that give reasons get better ones.

    Answers in the form that is asked for: a schema, `yes or no`, `A or B`, DSPy's marked fields, else a digit.
    """
    level, question = merit(body), text_of(body["messages"][-1])[-1500:]
    if "response_format" in body:
        return Answer(json.dumps(in_schema(body["response_format"], level)))
    fields = re.findall(r"\[\[ ## (\w+) ## \]\]", question.partition("Respond with the corresponding output fields")[2])
    if fields:
        lines = [f"[[ ## {name} ## ]]\n{_valued(name, level)}\n" for name in fields if name != "completed"]
        return Answer("\n".join([*lines, "[[ ## completed ## ]]"]))
    if re.search(r"\byes\b.{0,12}\bno\b", question, re.IGNORECASE):
        return one_token({"Yes": level - 2.5, "No": 2.5 - level})
    if re.search(r"\bA\b.{0,12}\bB\b", question.replace("\n", " ")):
        high, low = ("A", "B") if _a_is_better(question) else ("B", "A")
        return one_token({high: level - 2.5, low: 2.5 - level})
    return one_token({str(each): -((each - level) ** 2) / 1.3 for each in range(LEVELS)})


class Follower:
    """A model that does what it is told and nothing else: a rule moves its level only if the rule's word stands in the
    prompt outside the page. `rules`: word to (pattern in the page, levels it is worth)."""

    def __init__(self, rules: Mapping[str, tuple[str, float]], *, start: float = 2.5, noise: float = 0.8) -> None:
        self.rules, self.start, self.noise = rules, start, noise

    def level(self, prompt: str) -> float:
        """The level it comes to, 0..5, the same for the same prompt."""
        page = PAGE.search(prompt)
        assert page, "a judge's prompt shows a page between its marks"
        told = PAGE.sub("", prompt)
        moved = sum(
            worth for word, (sign, worth) in self.rules.items() if word in told and re.search(sign, page.group())
        )
        digest = hashlib.sha256(page.group().encode("utf-8", "replace")).digest()
        return min(max(self.start + moved + self.noise * (digest[0] / 127.5 - 1), 0.0), LEVELS - 1.0)

    def __call__(self, body: dict[str, Any]) -> Answer:
        """One digit with its neighbours' probabilities."""
        level = self.level("\n".join(text_of(message) for message in body["messages"]))
        return one_token({str(each): -((each - level) ** 2) for each in range(LEVELS)})


PAGE = re.compile(r"(?s)\[page (\w+)\].*?\[end \1\]")


def proposer(rules: Mapping[str, str]) -> Reply:
    """A reflection model that reads its feedback: the first note of `rules` that it finds there and whose rule the
    instruction lacks is written under the instruction."""

    def propose(body: dict[str, Any]) -> Answer:
        asked = text_of(body["messages"][-1])
        now = asked.partition("[[ ## current_instruction ## ]]\n")[2].partition("\n\n[[ ##")[0]
        missing = [rule for note, rule in rules.items() if note in asked and rule not in now]
        return Answer(json.dumps({"new_instruction": "\n".join([now, *missing[:1]])}))

    return propose


def copying(body: dict[str, Any]) -> Answer:
    """A reflection model that copies a page out of its examples into the instruction."""
    page = PAGE.search(text_of(body["messages"][-1]).replace("\\n", "\n"))
    return Answer(json.dumps({"new_instruction": f"Give 5 to: {page.group() if page else 'nothing'}"}))


def garbling(body: dict[str, Any]) -> Answer:
    """A judge whose answers hold no level."""
    return Answer("Well, hmm, it depends on whom you ask.", top=[{"Well": -0.01}])


def by_task(judge: Reply, reflect: Reply) -> Reply:
    """Both models behind one address: who is asked for a new instruction reflects."""

    def reply(body: dict[str, Any]) -> "Answer | str":
        reflects = any("new_instruction" in text_of(message) for message in body["messages"])
        return (reflect if reflects else judge)(body)

    return reply


def one_token(logits: dict[str, float]) -> Answer:
    """The likeliest of some tokens, with the softmax of their logits as log-probabilities."""
    total = math.log(sum(math.exp(value) for value in logits.values()))
    top = {token: value - total for token, value in logits.items()}
    return Answer(max(top, key=lambda token: top[token]), top=[top])


def in_schema(response_format: dict[str, Any], level: float) -> dict[str, Any]:
    """An object that fits a JSON schema, its numbers in proportion to the level; without one, a level and a reason."""
    schema = (response_format.get("json_schema") or {}).get("schema")
    if not schema:
        return {"reason": _valued("reason", level), "level": round(level)}
    fitted = _fitted(schema, "", level, schema.get("$defs", {}))
    assert isinstance(fitted, dict)
    return fitted


def _fitted(schema: dict[str, Any], name: str, level: float, defs: dict[str, Any]) -> Any:
    if "$ref" in schema:
        return _fitted(defs[schema["$ref"].rsplit("/", 1)[-1]], name, level, defs)
    if "properties" in schema:
        return {key: _fitted(value, key, level, defs) for key, value in schema["properties"].items()}
    if "enum" in schema:
        return schema["enum"][round(level / (LEVELS - 1) * (len(schema["enum"]) - 1))]
    if schema.get("type") in ("integer", "number"):
        low, high = schema.get("minimum", 0), schema.get("maximum", LEVELS - 1)
        return round(low + level / (LEVELS - 1) * (high - low))
    return {"array": [], "boolean": level >= 2.5, "object": {}}.get(schema.get("type", ""), _valued(name, level))


def _valued(name: str, level: float) -> Any:
    return round(level) if re.search("level|score|rating", name) else f"It gives {level:.1f} reasons."


def _a_is_better(question: str) -> bool:
    """Whether option A is the one that speaks of explaining; A where neither does."""
    option = {letter: re.findall(rf"(?m)^\W*{letter}\W+(.+)$", question) for letter in "AB"}
    hints = {
        letter: len(re.findall("expla|teach|learn|reason|works through", " ".join(option[letter]))) for letter in "AB"
    }
    return hints["A"] >= hints["B"]


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--script", default="", help="comma-separated names of troubles, used up first")
    options = parser.parse_args()
    script = [name for name in options.script.split(",") if name]
    with OpenAIServer(script=script, delay_seconds=options.delay, port=options.port) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
