# %% [markdown]
# # The incident, from raw spans to the proof
#
# A chat handles messages before the session behind them exists, and the log says `Need to call "accept" first`. The
# team's answer was a sleep: 5, 10, 25 ms in testing, 25, 50, 75 ms in production. This notebook takes a week under
# that sleep apart, asks what to do instead, does it, and looks a week later whether it helped.
#
# The connections are [simulated](simulate.md) from a fixed seed: their times are chosen by hand, of the order of the
# incident's, and are not measured traffic. The rest is what you would run on spans of your own. `make notebook` runs
# it anew; a test compares what the code says now with what stands here.

# %%
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import acceptfirst_analysis
from acceptfirst.catalogue import load_catalogue
from acceptfirst.policy import Policy, dump_policy_file
from acceptfirst_analysis.classification.classify import classify
from acceptfirst_analysis.loop.proposal import propose
from acceptfirst_analysis.loop.verification import verify
from acceptfirst_analysis.replay import replay
from acceptfirst_analysis.simulate import Place, Plan, Readiness, simulate, write_rows
from acceptfirst_analysis.simulate.spans import requests
from acceptfirst_analysis.tuning.memory import remember
from acceptfirst_analysis.tuning.recommend import recommend
from acceptfirst_analysis.window import iso_week
from acceptfirst_store.database import open_database
from acceptfirst_store.migrations import migrate

pd.options.display.float_format = "{:,.2f}".format
pd.options.display.max_colwidth = 200

folder = TemporaryDirectory()
store = f"chdb://{Path(folder.name) / 'db'}"
catalogue = load_catalogue()
now = datetime(2026, 11, 23, tzinfo=UTC)
week_before, week_after = iso_week("2026-W46", now=now), iso_week("2026-W47", now=now)

# %% [markdown]
# ## The setting of the incident
#
# In production the application waits 25 ms after accept and handles messages from then on. AcceptFirst calls this
# `blind`: a time stands in for the event. The team has added one line, `acceptfirst.ready()`, where the session is
# complete. In this mode it changes nothing; it only tells.

# %%
slept = Policy(
    environment="production",
    version="incident",
    readiness_mode="blind",
    gate="hold",
    delay_ladder_ms=(25.0, 50.0, 75.0),
    handshake_timeout_ms=2000.0,
)
print(dump_policy_file({"production": slept}))

# %% [markdown]
# Two routes. The chat needs 9 ms for a session, as a median; eighty times a week a container is cold, and then
# everybody waits longer. Notifications are ready sooner, but their code has bugs of the kind that end in the same
# message.

# %%
CHAT, NOTIFICATIONS = "/ws/{room}", "/ws/notifications"
BUGS = (
    "receive_before_accept",
    "receive_on_unaccepted_object",
    "receive_after_local_close",
    "receive_after_failed_send",
)


def traffic(policy: Policy, since: datetime, until: datetime) -> list[Plan]:
    """What comes in on both routes under a policy."""
    chat = Place(policy=policy.for_route(CHAT), route=CHAT, readiness=Readiness(median_ms=9.0, spread=0.6))
    notifications = Place(
        policy=policy.for_route(NOTIFICATIONS), route=NOTIFICATIONS, readiness=Readiness(median_ms=4.0, spread=0.3)
    )
    calm = Plan(connections=0, since=since, until=until, seed=7, episodes=0, faults=0, impatient=0, cold_starts=0)
    return [
        replace(calm, connections=18_000, places=(chat,), impatient=0.5, leave_ms=1e9, cold_starts=80),
        replace(calm, connections=2_000, places=(notifications,), faults=0.05, causes=BUGS, seed=8),
    ]


first_week = traffic(slept, week_before.since, week_before.until)
with open_database(store) as database:
    migrate(database)
    for plan in first_week:
        write_rows(database, plan, simulate(plan))

# %% [markdown]
# ## Raw spans
#
# What the library exports is plain OTLP: a span for the handshake, one for each change of state, one for each
# violation that it saw itself. These are all spans of one connection of the chat, in milliseconds since it came in.


# %%
def connections(plan: Plan) -> Iterator[list[Span]]:
    """The spans of each connection with a violation, as a receiver of OTLP gets them."""
    for body, _ in requests(plan, simulate(plan)):
        batches = ExportTraceServiceRequest.FromString(body).resource_spans
        spans = [span for batch in batches for scope in batch.scope_spans for span in scope.spans]
        for violation in (span for span in spans if span.name == "websocket.violation"):
            yield [span for span in spans if span.trace_id == violation.trace_id]


def row(span: Span, began_ns: int) -> dict[str, object]:
    """What a person wants to see of a span."""
    text = {own.key: own.value.string_value for own in span.attributes}
    return {
        "span": span.name,
        "from_ms": (span.start_time_unix_nano - began_ns) / 1e6,
        "to_ms": (span.end_time_unix_nano - began_ns) / 1e6,
        "state": text.get("acceptfirst.state.to", ""),
        "signature": text.get("acceptfirst.signature", ""),
        "violation": text.get("acceptfirst.pattern.type", ""),
    }


spans = next(connections(first_week[0]))
began_ns = min(span.start_time_unix_nano for span in spans)
pd.DataFrame(row(span, began_ns) for span in spans).sort_values(["from_ms", "to_ms"], ignore_index=True)

# %% [markdown]
# Accept returned, 25 ms later the sleep was over, and the connection counted as ready. A message was handled, and
# only then was the session there: that is when the violation ends. No exception, and the handshake's own span says
# that it went well.
#
# ## Handshakes
#
# The store puts the spans of a connection together into one row. `acceptfirst_analysis.load` gives these rows as a
# DataFrame. `ready_ms` counts from accept to the application's own `ready()`, `first_message_ms` from connect. The
# one from above, and the first four of the week:

# %%
frames = acceptfirst_analysis.load(store, since="2026-11-09", until="2026-11-16")
handshakes = frames.handshakes
told = ["route", "outcome", "signature", "ready_ms", "first_message_ms", "messages_early", "delay_applied_ms"]
example = next(own.value.string_value for own in spans[0].attributes if own.key == "acceptfirst.connection.id")
pd.concat([handshakes.loc[handshakes["connection_id"] == example, told], handshakes[told].head(4)], ignore_index=True)

# %% [markdown]
# By outcome the chat is without blame, and the notifications fail now and then:

# %%
handshakes.groupby(["route", "outcome", "error_type"], observed=True, dropna=False).size().to_frame("handshakes")

# %% [markdown]
# ## Signatures
#
# A [signature](signature.md) is what happened, in order: `C`onnect, `A`ccept, `G` for what counts as ready, `P` for
# the application's own `ready()`, `R`eceived, `S`ent, `D`isconnect, `X` for a close by the application, `!R` for a
# receive that the framework refused, `E` for an exception that left the application. `R` before `P` is the race: a
# message before the session. The chat's most frequent ones, and the notifications' that hold a refused receive:

# %%
chat = handshakes[handshakes["route"] == CHAT]
chat["signature"].astype(str).value_counts().head(10).to_frame("handshakes")

# %%
signatures = handshakes.loc[handshakes["route"] == NOTIFICATIONS, "signature"].astype(str)
signatures[signatures.str.contains("!R")].value_counts().to_frame("handshakes")

# %% [markdown]
# ## Which races these are
#
# `classify` matches signatures and times with the [catalogue](patterns/README.md), inside the store, and writes down
# what it found. `delay_helps` is the catalogue's word on what waiting does: `masks` makes the race rarer until the
# next slow start, `useless` changes nothing.

# %%
with open_database(store) as database:
    classify(database, catalogue, week_before)
frames = acceptfirst_analysis.load(store, since="2026-11-09", until="2026-11-16")
races = frames.patterns.groupby(["route", "pattern_type", "severity", "delay_helps"], observed=True).size()
races.rename("handshakes").reset_index().sort_values(["route", "handshakes"], ascending=False, ignore_index=True)

# %% [markdown]
# ## What the message's causes are
#
# Each of the notifications' bugs ends in a receive that the framework refuses, with one message for all: these are
# four of its [five causes](explanation/why-delays-fail.md#one-message-five-causes). None is about time, so no sleep
# cures any:

# %%
pd.DataFrame({"pattern": name, "cause": catalogue[name].cause, "cure": catalogue[name].remedy} for name in BUGS)

# %% [markdown]
# ## How long readiness takes, and what a sleep would have to be
#
# The chat is different: here time is the matter. Quantiles of the time from accept to ready, in milliseconds:

# %%
ready_ms = chat["ready_ms"]
shares = [0.5, 0.9, 0.95, 0.99, 0.999, 1.0]
pd.DataFrame({f"{100 * share:g} %": [ready_ms.quantile(share)] for share in shares}, index=["ready_ms"])

# %% [markdown]
# Against the sleeps that were tried, one after the other. The aim is one handshake in a thousand:

# %%
delays_ms = [5, 10, 25, 50, 75, 250]
late = [int((ready_ms > delay_ms).sum()) for delay_ms in delays_ms]
pd.DataFrame(
    {"not ready by then": late, "per thousand": [1000 * count / len(ready_ms) for count in late]},
    index=pd.Index(delays_ms, name="sleep_ms"),
)

# %% [markdown]
# Each step looked like progress, and none gets there: from 50 ms on, what is left are mostly the cold starts, and
# some of them are beyond 250 ms, the longest delay that AcceptFirst recommends to anybody.
#
# ## What to do
#
# `recommend` says it for each route, with bounds that hold at 95 % and not only for this sample. It also says where
# it can't know.

# %%
with open_database(store) as database:
    advice = recommend(database, catalogue, week_before)
    remember(database, advice, week_before, now=week_before.until)
for advised in advice:
    print(f"{advised.route}: {advised.verdict}")
    print(textwrap.fill(advised.rationale, 110, initial_indent="  ", subsequent_indent="  "), end="\n\n")

# %% [markdown]
# Connections with one of the notifications' bugs never get as far as `ready()`, and it is them that the first row
# counts: nothing can be said about a delay there until the bugs are mended. What was remembered is in the frames,
# too, shares as percentages:

# %%
frames = acceptfirst_analysis.load(store, since="2026-11-09", until="2026-11-16")
rates = ["violation_rate", "violation_rate_upper"]
remembered = frames.recommendations[["route", "verdict", "n", *rates, "delay_ms", "timeout_ms"]]
remembered.assign(**{name: 100 * remembered[name] for name in rates})

# %% [markdown]
# What the chat's gate costs and saves, in milliseconds a handshake and user-seconds a week. Waiting for the event is
# shorter than the sleep was:

# %%
pd.DataFrame({advised.route: advised.cost for advised in advice if advised.verdict == "gate"})

# %% [markdown]
# As a policy that the middleware follows. Only the chat changes: nothing that a policy can say cures a bug.

# %%
held = propose(advice, {"production": slept}, version="event-gate")["production"]
print(dump_policy_file({"production": held}))

# %% [markdown]
# ## Before it is tried: the recorded week under other settings
#
# `replay` takes the recorded handshakes of the chat and asks what would have been: how many messages would have met a
# half-made session, and how many handshakes would have run into the timeout. These are fewer than were not ready in
# time, since not every client spoke at once. Where nobody saw what it takes to know, the answer lies between `least`
# and `most`: a message that the sleep held back came at any time before its end.


# %%
def replayed(policy: Policy) -> dict[str, object]:
    """What the first week of the chat would have been under a policy."""
    with open_database(store) as database:
        found = next(each for each in replay(database, lambda _: policy, week_before) if each.route == CHAT)
    return {
        "setting": policy.version,
        "handshakes": found.n,
        "least": found.violations_least,
        "most": found.violations_most,
        "timeouts": found.timed_out_most,
    }


sleeps = [replace(slept, version=f"sleep {ms} ms", delay_ladder_ms=(float(ms),)) for ms in delays_ms]
pd.DataFrame([replayed(policy) for policy in [*sleeps, held]])

# %% [markdown]
# ## The week after
#
# The policy is in force. The traffic is of the same kind, cold starts included, and the notifications still have
# their bugs.

# %%
with open_database(store) as database:
    for plan in traffic(held, week_after.since, week_after.until):
        write_rows(database, plan, simulate(plan))
    classify(database, catalogue, week_after)
    verified = verify(database, week_after)
frames = acceptfirst_analysis.load(store, since="2026-11-09", until="2026-11-23")
pd.crosstab(
    [frames.patterns["route"], frames.patterns["pattern_type"]],
    frames.patterns["detected_at"].ge(week_after.since).map({False: "week before", True: "week after"}),
)[["week before", "week after"]].rename_axis(columns=None)

# %% [markdown]
# ## The proof
#
# `verify` compares the latest setting of each route with the one before: whether the application was ready in time,
# by Fisher's exact test, adjusted for everything that is asked at once; and whether anything else became worse.

# %%
for change in verified:
    print(f"{change.route}: {change.effect}")
    print(textwrap.fill(change.rationale, 110, initial_indent="  ", subsequent_indent="  "), end="\n\n")
folder.cleanup()

# %% [markdown]
# ## What this shows, and what not
#
# - The race of the chat is gone, and nobody waits for a number: each connection waits for its own session.
# - The bugs of the notifications are as they were. They need the code that the table of causes names.
# - Traffic was simulated, both weeks from the same seeds, so that they differ by the policy alone. Yours will differ
#   by more; a [canary](tuning.md#the-loop) compares within one week.
# - What clients would have done otherwise (retried, left sooner) no replay knows.
