"""``polled`` readiness with checks that hang, raise or refuse to be cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import acceptfirst
from acceptfirst import Policy, failsafe
from acceptfirst.readiness.poll import check_deadline_ms
from acceptfirst.readiness.question import Question

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Accepts and waits for the client to leave."""
    await receive()
    await send(ACCEPT)
    await receive()


def run(check: Any, server: Any, spans: Any) -> None:
    """One connection of 300 ms whose readiness a check tells."""
    policy = Policy(environment="testing", handshake_timeout_ms=40, poll_interval_ms=1)
    polled = acceptfirst.AcceptFirstMiddleware(app, readiness=check, policy=policy, tracer_provider=spans.provider)
    asyncio.run(server([CONNECT, 0.3, DISCONNECT]).run(polled))


def test_check_that_hangs_is_given_up_and_asked_again(server: Any, spans: Any) -> None:
    """The first call never answers, the second says yes."""
    calls: list[int] = []

    async def check(scope: Any) -> bool:
        calls.append(len(calls))
        if len(calls) == 1:
            await asyncio.Event().wait()
        return True

    run(check, server, spans)
    assert (calls, "READY_FOR_MESSAGES" in {to for _, to, _ in spans.transitions()}) == ([0, 1], True)
    failsafe.failures.clear()


def test_check_that_raises_is_asked_again(server: Any, spans: Any) -> None:
    """An exception is a no."""
    answers = iter([ConnectionError("down"), None, True])

    async def check(scope: Any) -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    run(check, server, spans)
    assert "READY_FOR_MESSAGES" in {to for _, to, _ in spans.transitions()}
    assert failsafe.failures.pop("readiness check") == 1


@pytest.mark.parametrize(("timeout_ms", "interval_ms", "deadline_ms"), [(1000, 5, 500), (100, 80, 80)])
def test_deadline_of_a_check_lets_two_fit_into_the_handshake(
    timeout_ms: float, interval_ms: float, deadline_ms: float
) -> None:
    """Half the handshake timeout, but no less than the interval."""
    policy = Policy(environment="testing", handshake_timeout_ms=timeout_ms, poll_interval_ms=interval_ms)
    assert check_deadline_ms(policy) == deadline_ms


def test_check_that_refuses_to_end_is_waited_for_and_not_asked_twice() -> None:
    """There is one call under way, however often it is asked; once it ends, the next one is made."""
    calls: list[int] = []

    async def main() -> list[str]:
        let_go = asyncio.Event()

        async def check() -> bool:
            calls.append(len(calls))
            while not let_go.is_set():
                try:
                    await let_go.wait()
                except asyncio.CancelledError:
                    continue
            return True

        question = Question(check)
        outcomes = [(await question.ask(0.01)).outcome, (await question.ask(0.01)).outcome]
        let_go.set()
        await asyncio.sleep(0.01)
        return [*outcomes, (await question.ask(1)).outcome]

    assert asyncio.run(main()) == ["timed_out", "timed_out", "up"]
    assert calls == [0, 1]


def test_asking_that_is_cancelled_takes_its_check_along() -> None:
    """Nothing of it is left running."""
    ended: list[str] = []

    async def main() -> None:
        async def check() -> bool:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("check")
            return True

        asking = asyncio.create_task(Question(check).ask(5))
        await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.sleep(0)

    asyncio.run(main())
    assert ended == ["check"]
