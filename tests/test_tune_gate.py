import os
import signal
import threading
import time

import pytest

from curate.llm import Failure, Reply, Request
from curate.stages.tune.gate import NOT_ASKED, Gate, finish

ASK = Request(messages=[{"role": "user", "content": "?"}])


def answer(_: Request) -> Reply:
    return Reply("1", "stop", [], 1, 0, 1, 0.1, 0.0)


def test_money_closes_the_gate_and_calls_fail_without_being_made() -> None:
    spent = [5.0]

    def paid(request: Request) -> Reply:
        spent[0] += 0.4
        return answer(request)

    gate = Gate(max_usd=1.0, spent=lambda: spent[0])
    said = [gate.through(paid)(ASK) for _ in range(6)]
    assert [isinstance(s, Reply) for s in said] == [True, True, True, False, False, False]
    assert isinstance(said[-1], Failure)
    assert said[-1].why.startswith(NOT_ASKED)
    assert "tune.max_usd" in gate.closed
    assert gate.usd == pytest.approx(1.2)


def test_what_an_interrupted_run_had_spent_counts_once() -> None:
    gate = Gate(max_usd=1.0)
    gate.remember(0.6)
    gate.remember(0.4)
    assert gate.usd == pytest.approx(0.6)
    assert not gate.closed
    gate.remember(1.0)
    assert gate.closed


def test_minutes_close_it() -> None:
    now = [0.0]
    gate = Gate(max_minutes=2, clock=lambda: now[0])
    now[0] = 119
    assert not gate.closed
    now[0] = 120
    assert "tune.max_minutes (2)" in gate.closed


def test_the_first_reason_stays() -> None:
    gate = Gate()
    gate.close("one")
    gate.close("other")
    assert gate.closed == "one"


def test_the_work_and_its_errors_come_back() -> None:
    assert finish(lambda: 7, Gate()) == 7
    with pytest.raises(ZeroDivisionError):
        finish(lambda: 1 // 0, Gate())


def test_ctrl_c_lets_the_work_end_by_itself() -> None:
    gate = Gate()

    def work() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        end = time.monotonic() + 5
        while not gate.closed and time.monotonic() < end:
            time.sleep(0.01)
        return "what it has"

    before = signal.getsignal(signal.SIGINT)
    assert finish(work, gate) == "what it has"
    assert "Ctrl-C" in gate.closed
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_leaves_at_once() -> None:
    gate, never = Gate(), threading.Event()

    def work() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        never.wait(20)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        finish(work, gate)
    assert time.monotonic() - began < 5
    never.set()


def test_elsewhere_than_in_the_main_thread_the_work_is_just_done() -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(finish(lambda: 3, Gate())))
    thread.start()
    thread.join()
    assert found == [3]
