"""The course of a connection: which events came in which order, and which states that leads through.

The letters are the library's (``acceptfirst.signature``), and so is what makes a signature of them; a test drives the
library's own connection through every course and compares span by span.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final, NamedTuple

from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.lifecycle import Trigger
from acceptfirst.signature import GUARD, Signature

BEGUN: Final = -1
"""Stands for the moment at which the server handed the connection over, where others are places in the course."""

_CLOSES: Final = {
    "D": Trigger.DISCONNECT,
    "X": Trigger.CLOSE,
    "N": Trigger.DENIAL,
    "E": Trigger.EXCEPTION,
    "Z": Trigger.RETURN,
}


class Step(NamedTuple):
    """One transition: states, trigger, and at which event of the course it happened."""

    old: State
    new: State
    trigger: Trigger
    event: int


@dataclass(frozen=True)
class Course:
    """The events of a connection in their order, each a letter of the signature's alphabet or ``!`` and one.

    An ``R`` or ``S`` stands for the first message of a run; how many there were is counted elsewhere.
    """

    events: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Course:
        """The course of events that are written with blanks between them: ``C A G R S D Z``."""
        return cls(tuple(text.split()))

    @functools.cached_property
    def signature(self) -> str:
        """What the library makes of these events."""
        signature = Signature()
        for event in self.events:
            if event.startswith(GUARD):
                signature.add_guard(event[1])
            else:
                signature.add(event)
        return str(signature)

    @functools.cached_property
    def first(self) -> dict[str, int]:
        """Where the first event of each letter stands; a guard's letter is an attempt and stands nowhere."""
        places: dict[str, int] = {}
        for place, event in enumerate(self.events):
            if not event.startswith(GUARD):
                places.setdefault(event, place)
        return places

    @functools.cached_property
    def steps(self) -> tuple[Step, ...]:
        """The transitions that these events cause, by the rules of the lifecycle."""
        steps: list[Step] = []
        state = State.INITIALIZING

        def move(new: State, trigger: Trigger, event: int) -> None:
            nonlocal state
            steps.append(Step(state, new, trigger, event))
            state = new

        for place, event in enumerate(self.events):
            if state is State.INITIALIZING and event in "CAEXaxSsN":  # of zero length, where no connect was delivered
                move(State.HANDSHAKE_PENDING, Trigger.CONNECT, place)
            if event == "A" and state is State.HANDSHAKE_PENDING:
                move(State.CONNECTED, Trigger.ACCEPT, place)
            elif event == "G" and state is State.CONNECTED:
                move(State.READY_FOR_MESSAGES, Trigger.READY, place)
            elif event in _CLOSES and state is not State.CLOSED:
                if event == "E" and state is not State.ERROR:
                    move(State.ERROR, Trigger.EXCEPTION, place)
                move(State.CLOSED, _CLOSES[event], place)
        return tuple(steps)

    @property
    def outcome(self) -> str:
        """How the handshake ended, as the library says it."""
        if any(step.new is State.READY_FOR_MESSAGES for step in self.steps):
            return "ready"
        ended = next((step.trigger for step in self.steps if step.new in (State.ERROR, State.CLOSED)), None)
        return "open" if ended is None else _OUTCOMES[ended]


_OUTCOMES: Final = {
    Trigger.EXCEPTION: "failed",
    Trigger.RETURN: "failed",
    Trigger.DENIAL: "rejected",
    Trigger.CLOSE: "rejected",
    Trigger.DISCONNECT: "abandoned",
}
