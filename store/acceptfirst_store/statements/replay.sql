-- For: simulate --policy; what recorded handshakes would have met under another policy. One row, of one stratum.
-- Parameters: environment, service, route String, since, until String (ISO 8601, UTC; by the first span); the policy: mode
--   String (auto, event, polled, blind), gate String (observe, hold), action String (open, close), delay_us, timeout_us,
--   poll_us Float64.
-- Columns: n (drawn, accepted, not refused by the application), handshakes (sum of weights), n_messaged (a client message
--   came at all), recorded_violations, violations_least and violations_most (certain, and possible), unknown_readiness
--   and unknown_arrival (why the two differ), timed_out_least and timed_out_most, wait_ms_mean, wait_ms_p95 (of the first
--   message, where it is certain; NaN where it never is), wait_known, waited_s (their sum, by weight).
-- What is not known is put between its bounds: readiness of a client that left lies after its leaving; in blind mode
-- without a shadow it may be anything; a message that had been waiting, or that a gate held, arrived at any time before.
-- A violation is likelier the later readiness is and the earlier the message comes, so two corners decide.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at,
    1e15 AS never,
    recorded AS (
        SELECT
            weight, readiness_mode, messages_early,
            toUnixTimestamp64Nano(connected_at) AS accepted_ns,
            (accepted_ns - toUnixTimestamp64Nano(first_seen)) / 1000 AS accept_us,
            match(signature, '^[^G]*T') AS timed_out,
            multiIf(
                mapContains(phases, 'ready'), phases['ready'] * 1000,
                readiness_mode != 'blind' AND toUnixTimestamp64Nano(ready_at) != 0,
                    greatest(0, toUnixTimestamp64Nano(ready_at) - accepted_ns) / 1000,
                NULL) AS ready_us,
            greatest(0, coalesce(dwell_ms * 1000, (toUnixTimestamp64Nano(last_seen) - accepted_ns) / 1000)) AS ended_us,
            first_message_ns != 0 AND messages_received > 0 AS messaged,
            greatest(0, toFloat64(first_message_ns) - toFloat64(connected_ns)) / 1000 AS delivered_us,
            -- A millisecond after the opening it was nobody's to hold.
            messages_early > 0 AND readiness_mode = 'auto'
                OR gate = 'hold' AND delivered_us <= coalesce(ready_us, never) + 1000 AS arrival_unknown,
            if(readiness_mode = 'blind' AND NOT mapContains(phases, 'ready'), 0, ended_us) AS ready_after_us
        FROM (
            SELECT *, signature, connected_ns
            FROM acceptfirst.handshakes FINAL
            WHERE weight > 0 AND toUnixTimestamp64Nano(connected_at) != 0
                AND first_seen >= since_at AND first_seen < until_at
                AND environment = {environment:String} AND service = {service:String} AND route = {route:String}
        )
        WHERE NOT (isNull(ready_us) AND close_initiator = 'application' AND readiness_mode != 'blind')
    ),
    corners AS (
        SELECT *,
            greatest(0, {timeout_us:Float64} - accept_us) AS left_us,
            coalesce(ready_us, ready_after_us) AS ready_low_us, coalesce(ready_us, never) AS ready_high_us,
            if(arrival_unknown, 0, delivered_us) AS arrived_low_us, delivered_us AS arrived_high_us,
            arrayMap(ready -> multiIf(
                {mode:String} = 'auto', ready,
                {gate:String} != 'hold', 0,
                (multiIf({mode:String} = 'blind', {delay_us:Float64},
                    {mode:String} = 'polled', ceil(ready / {poll_us:Float64}) * {poll_us:Float64}, ready) AS said) <= left_us,
                    said,
                {action:String} = 'open', left_us, never), [ready_low_us, ready_high_us]) AS opens_us
        FROM recorded
    ),
    judged AS (
        SELECT *,
            messaged AND greatest(arrived_high_us, opens_us[1]) < ready_low_us
                AND greatest(arrived_high_us, opens_us[1]) <= ended_us AS violates_surely,
            messaged AND greatest(arrived_low_us, opens_us[2]) < ready_high_us
                AND greatest(arrived_low_us, opens_us[2]) <= ended_us AS violates_maybe,
            {mode:String} IN ('event', 'polled') AND ready_low_us > left_us AND ended_us > left_us AS late_surely,
            {mode:String} IN ('event', 'polled') AND ready_high_us > left_us AND ended_us > left_us AS late_maybe,
            messaged AND NOT arrival_unknown AND opens_us[1] = opens_us[2] AND opens_us[1] < never AS wait_certain,
            greatest(0, opens_us[1] - arrived_high_us) / 1000 AS wait_ms
        FROM corners
    )
SELECT
    count() AS n,
    sum(weight) AS handshakes,
    countIf(messaged) AS n_messaged,
    countIf(if(readiness_mode = 'auto', 0, messages_early > 0)) AS recorded_violations,
    countIf(violates_surely) AS violations_least,
    countIf(violates_maybe OR violates_surely) AS violations_most,
    countIf(violates_maybe AND NOT violates_surely AND NOT arrival_unknown) AS unknown_readiness,
    countIf(violates_maybe AND NOT violates_surely AND arrival_unknown) AS unknown_arrival,
    countIf(late_surely) AS timed_out_least,
    countIf(late_maybe) AS timed_out_most,
    avgIf(wait_ms, wait_certain) AS wait_ms_mean,
    quantileExactIf(0.95)(wait_ms, wait_certain) AS wait_ms_p95,
    countIf(wait_certain) AS wait_known,
    sumIf(weight * wait_ms, wait_certain) / 1000 AS waited_s
FROM judged
