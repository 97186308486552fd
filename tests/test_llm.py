import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import exp, log
from pathlib import Path
from typing import Any

import pytest
from openai_server import TROUBLES, Answer, OpenAIServer, error

from curate.errors import BadInput, CurateError
from curate.llm import (
    BudgetSpent,
    Client,
    Endpoint,
    Failure,
    Journal,
    LogprobsUnsupported,
    Reply,
    Request,
    Spend,
    count_tokens,
    price,
    token_ends,
)


def ask(text: str, **settings: Any) -> Request:
    return Request([{"role": "user", "content": text}], {"max_tokens": 1, **settings}, tag=text)


def many(count: int) -> list[Request]:
    return [ask(f"page {number}") for number in range(count)]


@contextmanager
def client_of(server: OpenAIServer, folder: Path | None = None, **given: Any) -> Iterator[Client]:
    """A client of a stub server that backs off for milliseconds, with a journal when it has a folder for one."""
    own = {name: given.pop(name) for name in ("journal", "spend") if name in given}
    if folder is not None:
        own["journal"] = Journal(folder)
    endpoint = Endpoint(**{"model": "openai/stub", "api_base": server.url, **given})
    with Client(endpoint, backoff_seconds=0.01, **own) as client:
        yield client


def recorded(folder: Path) -> Counter[str]:
    return Counter(
        json.loads(line)["key"] for path in folder.glob("*.jsonl") for line in path.read_bytes().splitlines()
    )


def test_a_reply_carries_text_probabilities_and_counts() -> None:
    answer = Answer("4", top=[{"4": log(0.7), "3": log(0.2), " 3": log(0.1)}], cached_tokens=3)
    with OpenAIServer(lambda body: answer) as server, client_of(server) as client:
        reply = client.complete(ask("Rate this page.", logprobs=True, top_logprobs=3, temperature=0))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish_reason, reply.from_journal) == ("4", "stop", False)
    assert {token: round(exp(value), 6) for token, value in reply.top[0].items()} == {"4": 0.7, "3": 0.2, " 3": 0.1}
    assert (reply.prompt_tokens, reply.cached_tokens, reply.completion_tokens, reply.cost_usd) == (4, 3, 1, 0.0)
    assert server.bodies[0]["temperature"] == 0
    assert server.bodies[0]["model"] == "stub"


def test_the_chosen_token_is_there_and_equal_strings_are_one() -> None:
    twice = {"token": "�", "logprob": log(0.2), "bytes": None}
    chosen = {"token": "7", "logprob": log(0.1), "bytes": None, "top_logprobs": [twice, twice]}
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "7"}, "finish_reason": "stop"}]}
    body["choices"][0]["logprobs"] = {"content": [chosen]}
    body |= {"id": "x", "object": "chat.completion", "created": 1, "model": "stub"}
    body |= {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
    with OpenAIServer(script=[Answer(raw=json.dumps(body).encode())]) as server, client_of(server) as client:
        reply = client.complete(ask("x", logprobs=True, top_logprobs=2))
    assert isinstance(reply, Reply)
    assert {token: round(exp(value), 6) for token, value in reply.top[0].items()} == {"�": 0.4, "7": 0.1}


def test_the_key_is_of_what_is_asked_not_of_whom_it_is_sent_to() -> None:
    here = Endpoint("openai/stub", api_base="http://127.0.0.1:1/v1", extra={"extra_headers": {"x": "1"}})
    there = Endpoint("openai/stub", api_key_env="SOME_KEY", timeout_seconds=3)
    request = ask("a page")
    assert request.key(here) == request.key(there)
    assert request.key(here) == Request(tuple(request.messages), dict(request.settings), tag="other").key(here)
    others = [
        ask("another page").key(here),
        ask("a page", temperature=1).key(here),
        Request(request.messages, request.settings, repeat=1).key(here),
        request.key(Endpoint("openai/other")),
        request.key(Endpoint("openai/stub", extra={"reasoning_effort": "high"})),
    ]
    assert len({request.key(here), *others}) == 6


def test_many_come_back_bounded_and_each_with_its_own_answer() -> None:
    def echo(body: dict[str, Any]) -> str:
        return str(body["messages"][0]["content"])

    pulled = 0

    def requests() -> Iterator[Request]:
        nonlocal pulled
        for request in many(60):
            pulled += 1
            yield request

    with OpenAIServer(echo, delay_seconds=0.01) as server, client_of(server, concurrency=4) as client:
        answers = client.complete_many(requests())
        first = next(answers)
        assert pulled <= 9, "twice the concurrency, and the one that found no room"
        rest = list(answers)
    assert all(isinstance(reply, Reply) and reply.text == request.tag for request, reply in [first, *rest])
    assert {request.tag for request, _ in [first, *rest]} == {f"page {number}" for number in range(60)}
    assert 2 <= server.max_concurrency <= 4


def test_a_second_run_makes_no_call(tmp_path: Path) -> None:
    spend = Spend(tmp_path / "spend.jsonl")
    prices = {"input_usd_per_million": 1e6, "output_usd_per_million": 1e6}
    with OpenAIServer() as server:
        with client_of(server, tmp_path / "journal", spend=spend, **prices) as client:
            first = {request.tag: reply for request, reply in client.complete_many(many(20))}
        paid = spend.total_usd
        with client_of(server, tmp_path / "journal", spend=spend, **prices) as client:
            second = {request.tag: reply for request, reply in client.complete_many(many(20))}
            one = client.complete(ask("page 3"))
    assert server.calls == 20
    assert spend.total_usd == paid == sum(reply.cost_usd for reply in first.values() if isinstance(reply, Reply)) > 0
    assert all(isinstance(reply, Reply) and reply.from_journal and reply.cost_usd == 0 for reply in second.values())
    assert {tag: getattr(reply, "text", None) for tag, reply in first.items()} == {
        tag: getattr(reply, "text", None) for tag, reply in second.items()
    }
    assert one == second["page 3"]


def test_the_same_request_at_the_same_time_is_paid_once(tmp_path: Path) -> None:
    with OpenAIServer(delay_seconds=0.05) as server, client_of(server, tmp_path) as client:
        replies = [reply for _, reply in client.complete_many([ask("same")] * 6)]
        client.complete(Request(ask("same").messages, ask("same").settings, repeat=1))
    assert server.calls == 2
    assert sorted(reply.from_journal for reply in replies if isinstance(reply, Reply)) == [False, *[True] * 5]


def test_what_may_pass_is_tried_again() -> None:
    script = ["garbage", "hangup", "500", "empty", "503", "429", "ok"]
    with OpenAIServer(script=script) as server, client_of(server, retries=6) as client:
        reply = client.complete(ask("x"))
    assert isinstance(reply, Reply)
    assert server.calls == 7


def test_a_slow_answer_is_given_up_and_asked_again() -> None:
    with OpenAIServer(script=["slow"]) as server, client_of(server, timeout_seconds=0.3) as client:
        start = time.monotonic()
        assert isinstance(client.complete(ask("x")), Reply)
    assert server.calls == 2
    assert time.monotonic() - start < 25, "the slow answer would have come after 30 s"


def test_retry_after_is_respected() -> None:
    with OpenAIServer(script=["429-wait"]) as server, client_of(server) as client:
        start = time.monotonic()
        assert isinstance(client.complete(ask("x")), Reply)
    assert time.monotonic() - start >= 1
    with (
        OpenAIServer(script=[error(429, "Daily limit", retry_after="7200")]) as server,
        client_of(server) as client,
        pytest.raises(CurateError, match="free again in 7200 s"),
    ):
        client.complete(ask("x"))


def test_a_storm_of_rate_limits_loses_no_page_and_slows_down() -> None:
    active = 0
    lock = threading.Lock()
    refused = []

    with OpenAIServer(delay_seconds=0.02) as server:

        def at_most_two(body: dict[str, Any]) -> Answer:
            nonlocal active
            with lock:
                if server.in_flight > 2:
                    refused.append(1)
                    return TROUBLES["429"]
            return Answer("3")

        server.reply = at_most_two
        with client_of(server, concurrency=16, retries=2) as client:
            replies = [reply for _, reply in client.complete_many(many(60))]
    assert len(replies) == 60
    assert all(isinstance(reply, Reply) for reply in replies)
    assert refused
    assert len(refused) < 120, "without slowing down most calls would be refused several times"


def test_a_rate_limit_that_never_ends_stops_the_run() -> None:
    with (
        OpenAIServer(lambda body: TROUBLES["429"]) as server,
        client_of(server, retries=2) as client,
        pytest.raises(CurateError, match="still over its rate limit after 3 attempts"),
    ):
        list(client.complete_many(many(10)))
    assert server.calls < 40


def test_a_page_that_breaks_the_server_fails_alone() -> None:
    def breaks(body: dict[str, Any]) -> Answer:
        return TROUBLES["500"] if "page 3" in body["messages"][0]["content"] else Answer("2")

    with OpenAIServer(breaks) as server, client_of(server, retries=2) as client:
        answers = {request.tag: reply for request, reply in client.complete_many(many(8))}
    assert answers.pop("page 3") == Failure(
        "failed", "The server had an error while processing your request (3 attempts)"
    )
    assert all(isinstance(reply, Reply) for reply in answers.values())
    assert server.calls == 7 + 3


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        ("context", "too_long", "maximum context length is 4096"),
        ("filter", "refused", "triggering our policy"),
        ("refusal", "refused", "I can't help with that."),
        ("filtered", "refused", "content filter"),
        ("400", "failed", "temperature: must be at most 2"),
    ],
)
@pytest.mark.parametrize("model", ["openai/stub", "hosted_vllm/stub"])
def test_what_is_about_the_page_is_a_failure(trouble: str, kind: str, words: str, model: str) -> None:
    with OpenAIServer(script=[trouble, "ok"]) as server, client_of(server, model=model) as client:
        failure = client.complete(ask("x"))
        assert isinstance(failure, Failure)
        assert failure.kind == kind
        assert words in failure.why
        assert "litellm" not in failure.why.lower()
        assert isinstance(client.complete(ask("y")), Reply)
    assert server.calls == 2


def test_a_refusal_was_paid_for_and_is_not_asked_again(tmp_path: Path) -> None:
    spend = Spend(tmp_path / "spend.jsonl")
    with OpenAIServer(script=["refusal"]) as server, client_of(server, tmp_path / "j", spend=spend) as client:
        assert client.complete(ask("x")) == client.complete(ask("x")) == Failure("refused", "I can't help with that.")
    assert server.calls == 1
    assert spend.by_purpose()[""].calls == 1


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("401", "Incorrect API key provided"),
        ("403", "not allowed to sample"),
        ("404", "`nosuch` does not exist"),
        ("429-quota", "exceeded your current quota"),
    ],
)
@pytest.mark.parametrize("model", ["openai/stub", "hosted_vllm/stub"])
def test_what_no_page_can_cure_stops_the_run_at_once(trouble: str, words: str, model: str) -> None:
    with (
        OpenAIServer(lambda body: TROUBLES[trouble]) as server,
        client_of(server, model=model, concurrency=2) as client,
        pytest.raises(CurateError, match=words) as caught,
    ):
        list(client.complete_many(many(50)))
    assert server.calls <= 4
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)


def test_first_calls_that_all_fail_alike_stop_the_run(tmp_path: Path) -> None:
    bad = ask("x", temperature=3).settings
    requests = [Request([{"role": "user", "content": str(number)}], bad) for number in range(50)]
    with OpenAIServer(lambda body: TROUBLES["400"]) as server, client_of(server, tmp_path, concurrency=2) as client:
        with pytest.raises(CurateError, match=r"first 5 calls all failed alike.*must be at most 2"):
            list(client.complete_many(requests))
        assert server.calls < 10
        server.reply = lambda body: "2"
        assert isinstance(client.complete(requests[0]), Reply)
    with OpenAIServer(lambda body: TROUBLES["400"]) as server, client_of(server, tmp_path) as client:
        failures = [reply for _, reply in client.complete_many(requests[1:10])]
    assert all(isinstance(reply, Failure) for reply in failures), "the journal shows that the settings work"


def test_a_provider_without_logprobs_is_named() -> None:
    with (
        OpenAIServer(script=["no-logprobs"]) as server,
        client_of(server) as client,
        pytest.raises(LogprobsUnsupported, match="logprobs is not supported by this model"),
    ):
        client.complete(ask("x", logprobs=True, top_logprobs=5))
    with (
        Client(Endpoint("anthropic/claude-3-5-haiku-latest", api_base="http://127.0.0.1:9")) as client,
        pytest.raises(LogprobsUnsupported, match="does not support parameters"),
    ):
        client.complete(ask("x", logprobs=True))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("model", ["openai/stub", "hosted_vllm/stub"])
def test_a_server_that_is_down_is_named_with_what_to_do(model: str) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    start = time.monotonic()
    with (
        Client(Endpoint(model, api_base=url), backoff_seconds=0.01) as client,
        pytest.raises(CurateError, match=f"cannot reach the model server at {url}: .*refused.*; start it or set"),
    ):
        list(client.complete_many(many(20)))
    assert time.monotonic() - start < 60, "the server is given up once, not for each call"


def test_a_server_that_goes_down_stops_the_run_and_what_came_before_is_kept(tmp_path: Path) -> None:
    with OpenAIServer() as server, client_of(server, tmp_path, retries=2, concurrency=2) as client:
        answers = client.complete_many(many(60))
        for _ in range(20):
            next(answers)
        server.__exit__()
        with pytest.raises(CurateError, match="lost the connection to the model server"):
            list(answers)
        assert len(recorded(tmp_path)) == server.answered >= 20
        server.__enter__()
        before = server.calls
        assert sum(isinstance(reply, Reply) for _, reply in client.complete_many(many(60))) == 60
        assert server.calls - before == 60 - (len(recorded(tmp_path)) - (server.calls - before))


def test_no_key_goes_to_an_own_server_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-meant-for-the-provider")
    monkeypatch.setenv("MY_KEY", "sk-mine")
    with OpenAIServer() as server:
        with client_of(server) as client:
            client.complete(ask("x"))
        with client_of(server, api_key_env="MY_KEY") as client:
            client.complete(ask("x"))
            server.script.append(error(401, "Incorrect API key provided: sk-mine"))
            with pytest.raises(CurateError, match=r"provided: \[key\]"):
                client.complete(ask("y"))
        with (
            client_of(server, api_key_env="NO_SUCH_KEY") as client,
            pytest.raises(BadInput, match="NO_SUCH_KEY is not set"),
        ):
            client.complete(ask("x"))
    assert [headers["authorization"] for headers in server.headers] == [
        "Bearer none",
        "Bearer sk-mine",
        "Bearer sk-mine",
    ]


def test_a_missing_provider_key_or_provider_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for model, words in (("openai/gpt-4o-mini", "(?i)credentials|api_key"), ("nosuch", "Provider NOT provided")):
        with Client(Endpoint(model), backoff_seconds=0.01) as client, pytest.raises(CurateError, match=words):
            client.complete(ask("x"))


def test_the_budget_stops_before_the_call_that_could_exceed_it(tmp_path: Path) -> None:
    spend = Spend(tmp_path / "spend.jsonl", budget_usd=1.0)
    prices = {"input_usd_per_million": 0.0, "output_usd_per_million": 1e6 * 0.1}
    with OpenAIServer(delay_seconds=0.01) as server:
        with client_of(server, tmp_path / "j", spend=spend, concurrency=8, **prices) as client:
            got = []
            with pytest.raises(BudgetSpent, match="budget_usd"):
                got.extend(reply for _, reply in client.for_("score").complete_many(many(50)))
        assert server.calls == len(recorded(tmp_path / "j")) == 10
        assert spend.total_usd == pytest.approx(1.0)
        assert spend.by_purpose()["score"].calls == 10
        more = Spend(tmp_path / "spend.jsonl", budget_usd=10)
        with client_of(server, tmp_path / "j", spend=more, **prices) as client:
            assert len(list(client.complete_many(many(50)))) == 50
    assert server.calls == 50


def test_a_budget_needs_a_price(tmp_path: Path) -> None:
    spend = Spend(tmp_path / "spend.jsonl", budget_usd=1.0)
    with (
        Client(Endpoint("openai/nosuch", api_base="https://models.example.com/v1"), spend=spend) as client,
        pytest.raises(BadInput, match="input_usd_per_million"),
    ):
        client.complete(ask("x"))


def test_prices() -> None:
    assert price(Endpoint("openai/x", input_usd_per_million=1, output_usd_per_million=2)) == (1e-6, 2e-6)
    assert price(Endpoint("hosted_vllm/x", api_base="http://gpu-7:8000/v1")) == (0.0, 0.0)
    assert price(Endpoint("openai/x", api_base="http://127.0.0.1:8000/v1")) == (0.0, 0.0)
    assert price(Endpoint("openai/x", api_base="http://192.168.1.9:8000/v1")) == (0.0, 0.0)
    assert price(Endpoint("openai/nosuch", api_base="https://models.example.com/v1")) is None
    listed = price(Endpoint("openai/gpt-4o-mini"))
    assert listed is not None
    assert 0 < listed[0] < listed[1] < 1e-4
    with pytest.raises(BadInput, match="both"):
        Endpoint("openai/x", input_usd_per_million=1)
    assert count_tokens("four" * 25) == 25


def test_a_listed_model_is_entered_at_its_price(tmp_path: Path) -> None:
    spend = Spend(tmp_path / "spend.jsonl")
    with OpenAIServer() as server, client_of(server, model="openai/gpt-4o-mini", spend=spend) as client:
        reply = client.for_("tune").complete(ask("a page of some words"))
        assert isinstance(reply, Reply)
        prices = price(client.endpoint)
    assert prices
    assert reply.cost_usd == pytest.approx(5 * prices[0] + prices[1])
    assert spend.by_purpose()["tune"].usd == reply.cost_usd


def test_five_threads_share_a_client(tmp_path: Path) -> None:
    with (
        OpenAIServer(delay_seconds=0.005) as server,
        client_of(server, tmp_path, concurrency=3) as client,
        ThreadPoolExecutor(5) as pool,
    ):
        replies = list(pool.map(client.for_("tune").complete, many(25) + many(25)))
    assert all(isinstance(reply, Reply) for reply in replies)
    assert server.calls == 25
    assert server.max_concurrency <= 3
    assert set(recorded(tmp_path).values()) == {1}


@pytest.mark.parametrize("how", ["close", "raise"])
def test_a_consumer_that_stops_early_cancels_the_rest(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    def consume(client: Client) -> None:
        answers = client.complete_many(many(1000))
        try:
            for got, _ in enumerate(answers):
                if got == 7 and how == "raise":
                    raise KeyboardInterrupt
                if got == 7:
                    return
        finally:
            answers.close()

    with OpenAIServer(delay_seconds=0.02) as server, client_of(server, tmp_path, concurrency=4) as client:
        if how == "raise":
            with pytest.raises(KeyboardInterrupt):
                consume(client)
        else:
            consume(client)
        kept = len(recorded(tmp_path))
        time.sleep(0.1)  # what was on its way to the server arrives
        calls = server.calls
        time.sleep(0.2)
        assert (server.calls, len(recorded(tmp_path))) == (calls, kept), "nothing goes on behind the back"
        assert 8 <= kept <= calls <= kept + 4
        assert len(list(client.complete_many(many(20)))) == 20
    assert server.calls == calls + 20 - kept
    assert not caplog.records


def test_an_exception_in_the_source_of_requests_reaches_the_caller(tmp_path: Path) -> None:
    def source() -> Iterator[Request]:
        yield from many(10)
        raise ValueError("the shard is damaged")

    with OpenAIServer(delay_seconds=0.01) as server, client_of(server, tmp_path) as client:
        with pytest.raises(ValueError, match="the shard is damaged"):
            list(client.complete_many(source()))
        assert len(list(client.complete_many(many(10)))) == 10


def test_a_client_closed_under_its_user_says_so() -> None:
    caught: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    def wait_for(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as problem:
            caught.put(problem)

    with OpenAIServer(delay_seconds=20) as server, client_of(server) as client:
        works: list[Callable[[], object]] = [
            lambda: client.complete(ask("x")),
            lambda: list(client.complete_many(many(3))),
        ]
        users = [threading.Thread(target=wait_for, args=(work,)) for work in works]
        for user in users:
            user.start()
        while server.calls < 4:
            time.sleep(0.01)
        client.close()
        for user in users:
            user.join(5)
        server.delay_seconds = 0
        assert isinstance(client.complete(ask("y")), Reply), "a closed client opens again"
    assert [str(caught.get_nowait())[:21] for _ in users] == ["the client was closed"] * 2


def loop_threads() -> int:
    return sum(thread.name == "llm-calls" for thread in threading.enumerate())


def test_clients_share_a_loop_until_the_last_one_closes() -> None:
    with OpenAIServer() as server:
        before = loop_threads()
        for _ in range(2):
            with client_of(server) as one, client_of(server) as other:
                for client in (one, other, one):
                    assert isinstance(client.complete(ask("x")), Reply)
                assert loop_threads() == 1
                one.close()
                assert isinstance(other.complete(ask("x")), Reply)
            assert loop_threads() == before


def test_a_client_that_closes_cancels_its_own_calls_only() -> None:
    with OpenAIServer(delay_seconds=0.3) as server, client_of(server) as one, client_of(server) as other:
        answers, cancelled = other.complete_many(many(4)), one.complete_many(many(9))
        with ThreadPoolExecutor(2) as pool:
            got, lost = pool.submit(list, answers), pool.submit(list, cancelled)
            while server.calls < 12:
                time.sleep(0.01)
            one.close()
            with pytest.raises(CurateError, match="the client was closed"):
                lost.result(5)
            assert all(isinstance(reply, Reply) for _, reply in got.result(5))


def test_an_iterator_of_a_closed_client_does_not_open_it_again() -> None:
    def slowly() -> Iterator[Request]:
        yield ask("x")
        time.sleep(0.3)  # its reply is back before the next is asked for
        yield ask("y")

    with OpenAIServer() as server, client_of(server) as one, client_of(server) as other:
        one.complete(ask("keeps the loop"))
        answers = other.complete_many(slowly())
        next(answers)
        other.close()
        with pytest.raises(CurateError, match="the client was closed"):
            list(answers)
        assert server.calls == 2


def test_a_page_quoted_in_an_error_is_not_taken_for_one() -> None:
    quoting = error(400, "temperature: bad value " + "x" * 300 + " logprobs not supported, context length exceeded")
    with OpenAIServer(script=[quoting]) as server, client_of(server) as client:
        failure = client.complete(ask("x", logprobs=True))
    assert isinstance(failure, Failure)
    assert failure.kind == "failed"


def test_text_that_is_not_quite_unicode_is_sent() -> None:
    with OpenAIServer() as server, client_of(server) as client:
        assert isinstance(client.complete(ask("half a pair: \ud83d and \x00")), Reply)
    assert server.bodies[0]["messages"][0]["content"] == "half a pair: ? and \x00"


RUN = """
import sys
from pathlib import Path
seen = set()
sys.addaudithook(lambda event, args: event == "socket.connect" and isinstance(args[1], tuple) and seen.add(args[1][0]))
sys.addaudithook(lambda event, args: event == "socket.getaddrinfo" and seen.add(args[0]))
from curate.llm import Client, Endpoint, Journal, Request, Spend
url, folder, pages = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
client = Client(Endpoint("openai/stub", api_base=url, concurrency=4), journal=Journal(folder),
                spend=Spend(folder / "x" / "s.jsonl"))
requests = (Request([{"role": "user", "content": f"page {number}"}], {"max_tokens": 1}) for number in range(pages))
print(sum(1 for _ in client.complete_many(requests)), sorted(seen))
"""


@pytest.mark.slow
def test_a_program_talks_to_its_server_only_and_ends_without_a_word(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        command = [sys.executable, "-W", "error", "-c", RUN, server.url, tmp_path, "5"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LITELLM")}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("5 ['127.0.0.1']\n", "", 0)


IN_TURN = """
import os, sys
from curate.llm import Client, Endpoint, Request

def say(client):
    print(client.complete(Request([{"role": "user", "content": "page"}], {"max_tokens": 1})).text, flush=True)

clients = [Client(Endpoint("openai/stub", api_base=url)) for url in sys.argv[2:]]
for client in clients * 3:
    say(client)
if sys.argv[1] == "closed":
    for client in clients:
        client.close()
if sys.argv[1] == "forked":
    child = os.fork()
    if not child:
        with Client(clients[0].endpoint) as own:
            say(own)
        os._exit(7)  # as multiprocessing does
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    say(clients[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("end", "more"), [("closed", []), ("forgotten", []), ("forked", ["1", "7", "2"])])
def test_two_clients_used_in_turn_end_without_a_word(end: str, more: list[str]) -> None:
    if end == "forked" and not hasattr(os, "fork"):
        pytest.skip("no fork here")
    with OpenAIServer(lambda body: "1") as one, OpenAIServer(lambda body: "2") as other:
        warnings = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]  # of threads at a fork
        command = [sys.executable, *warnings, "-c", IN_TURN, end, one.url, other.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr, done.returncode) == (["1", "2"] * 3 + more, "", 0)


@pytest.mark.slow
def test_killed_and_run_again_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    with OpenAIServer(delay_seconds=0.02) as server:
        command = [sys.executable, "-c", RUN, server.url, tmp_path, "400"]
        for stop_at in (60, 150):
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:
                while server.answered < stop_at:
                    assert run.poll() is None
                    time.sleep(0.002)
                os.kill(run.pid, signal.SIGKILL)
        time.sleep(0.1)
        kept = len(Journal(tmp_path))
        assert server.calls - 8 <= kept <= server.calls, "each kill costs at most the four calls in flight"
        before = server.calls
        finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert finished.stdout.startswith("400 ")
    assert server.calls - before == 400 - kept
    assert len(recorded(tmp_path)) == 400
    assert set(recorded(tmp_path).values()) == {1}


def test_the_server_runs_on_its_own() -> None:
    from urllib.request import urlopen

    command = [sys.executable, Path(__file__).with_name("openai_server.py"), "--script", "500"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        url = server.stdout.readline().strip()
        with Client(Endpoint("openai/stub", api_base=url), backoff_seconds=0.01) as client:
            assert isinstance(client.complete(ask("x")), Reply)
        with urlopen(url.removesuffix("/v1") + "/stats") as response:
            assert json.load(response)["calls"] == 2
        server.terminate()


def test_the_default_answers_have_signal() -> None:
    good, bad = "It holds because of this formula; therefore the equation, hence the theorem.", "Buy now."

    def texts(client: Client, question: str, **settings: Any) -> list[str]:
        replies = [client.complete(ask(f"{page}\n\n{question}", **settings)) for page in (good, bad)]
        return [reply.text if isinstance(reply, Reply) else reply.why for reply in replies]

    schema = {"type": "object", "properties": {"level": {"type": "integer"}, "reason": {"type": "string"}}}
    with OpenAIServer() as server, client_of(server) as client:
        high, low = texts(client, "Answer with a level from 0 to 5.")
        assert (int(high) >= 4, int(low) <= 1) == (True, True)
        assert texts(client, "Does it teach? Answer yes or no.") == ["Yes", "No"]
        assert texts(client, "A: a text that explains something\nB: an advertisement\nAnswer A or B.") == ["A", "B"]
        assert texts(client, "A: an advertisement\nB: a text that explains something\nAnswer A or B.") == ["B", "A"]
        form = {"type": "json_schema", "json_schema": {"name": "judgment", "schema": schema}}
        assert [json.loads(text)["level"] >= 3 for text in texts(client, "Rate.", response_format=form)] == [
            True,
            False,
        ]


def completion(
    content: str, *, reasoning: int = 0, tokens: list[dict[str, Any]] | None = None, **message: Any
) -> bytes:
    """A reply of a server, as bytes."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 70, "total_tokens": 79}
    details = {"completion_tokens_details": {"reasoning_tokens": reasoning}} if reasoning else {}
    logprobs = {"logprobs": {"content": tokens}} if tokens else {}
    return json.dumps({"choices": [{**choice, **logprobs}], "usage": {**usage, **details}}).encode()


def test_thinking_tokens_are_counted_and_thoughts_are_no_answer() -> None:
    answer = Answer(raw=completion("4", reasoning=60, reasoning_content="It is good. 5? No."))
    with OpenAIServer(lambda _: answer) as server, client_of(server) as client:
        reply = client.complete(ask("x"))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.completion_tokens, reply.thinking_tokens) == ("4", 70, 60)


def test_a_reasoning_effort_is_sent_where_it_is_set(tmp_path: Path) -> None:
    with OpenAIServer(lambda _: Answer("4")) as server, client_of(server, model="hosted_vllm/stub") as client:
        for request in (ask("x"), ask("x", reasoning_effort="low", seed=3)):
            assert isinstance(client.complete(request), Reply)
    assert [(body.get("reasoning_effort"), body.get("seed")) for body in server.bodies] == [(None, None), ("low", 3)]


def test_the_chosen_token_comes_first_and_long_replies_keep_what_tells(tmp_path: Path) -> None:
    def token(text: str, *others: tuple[str, float]) -> dict[str, Any]:
        top = [{"token": each, "logprob": log(share), "bytes": None} for each, share in others]
        return {"token": text, "logprob": log(0.3), "bytes": None, "top_logprobs": top}

    entry = token("4", ("3", 0.6), ("4", 0.3), ("9", 1e-6))
    answers = iter([[entry], [entry] * 20])
    server = OpenAIServer(lambda _: Answer(raw=completion("4", tokens=next(answers))))
    with server, client_of(server) as client:
        short, long = (client.complete(ask(f"{i}", logprobs=True, top_logprobs=3)) for i in range(2))
    assert isinstance(short, Reply)
    assert isinstance(long, Reply)
    assert list(short.top[0]) == ["4", "3", "9"]
    assert [list(top) for top in long.top] == [["4", "3"]] * 20


def test_replies_of_older_journals_are_read(tmp_path: Path) -> None:
    old = {"text": "4", "finish_reason": "stop", "top": [], "prompt_tokens": 1, "cached_tokens": 0}
    journal = Journal(tmp_path)
    journal.put(
        ask("x").key(Endpoint("openai/stub")),
        {**old, "completion_tokens": 1, "cost_usd": 0.1, "seconds": 2.0, "at": "then"},
    )
    journal.close()
    with OpenAIServer(lambda _: Answer("5")) as server, client_of(server, tmp_path) as client:
        reply = client.complete(ask("x"))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.thinking_tokens, reply.from_journal) == ("4", 0, True)


def test_tokens_end_where_the_models_own_tokenizer_ends_them() -> None:
    own = token_ends("openai/gpt-4o")
    assert (own.name, own.own) == ("o200k_base", True)
    text = "Wärme 🎉 in 日本.  <|im_end|>"
    assert own(text)[-1] == len(text)
    assert own(text) == sorted(own(text))
    assert 8 < len(own(text)) < 25
    other = token_ends("hosted_vllm/Maker/Model-7B")
    assert (other.name, other.own) == ("cl100k_base (not the model's own)", False)
    assert other("one two three") == [3, 7, 13]
