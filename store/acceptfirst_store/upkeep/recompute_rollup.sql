-- For: the rows of some minutes, made anew from what is stored of their connections.
-- Parameters: minutes Array(UInt32) (Unix seconds, all within first_id and end_id), first_id, end_id String (connection ids
-- of 32 hex digits, the end excluded: they make it a range of the primary key), version UInt64.
INSERT INTO acceptfirst.handshake_rollup_1m
(
    minute, environment, service, service_version, route, readiness_mode, policy_version, policy_arm,
    handshakes, ready, ready_early, rejected, failed, abandoned, timed_out, open, n, connections,
    accept_ms, ready_ms, messages_early, violations, patterns, users, computed_at, version, is_deleted
)
WITH
    toUInt64(least(greatest(1, round(weight * 1000)), 1e9)) AS thousandths,
    toUnixTimestamp64Nano(connected_at) AS accepted_ns,
    outcome = 'ready' AS is_ready
SELECT
    toDateTime(minute_s, 'UTC'), environment, service, service_version, route, readiness_mode, policy_version, policy_arm,
    sum(weight),
    sumIf(weight, is_ready),
    sumIf(weight, is_ready AND has(violated, 'early_message_before_ready')),
    sumIf(weight, outcome = 'rejected'),
    sumIf(weight, outcome = 'failed'),
    sumIf(weight, outcome = 'abandoned'),
    sumIf(weight, outcome = 'timed_out'),
    sumIf(weight, outcome = 'open'),
    countIf(weight > 0),
    count(),
    quantilesTDigestWeightedStateIf(0.5, 0.95, 0.99)(
        greatest(0, accepted_ns - toUnixTimestamp64Nano(first_seen)) / 1e6, thousandths, weight > 0 AND accepted_ns != 0),
    quantilesTDigestWeightedStateIf(0.5, 0.95, 0.99)(
        greatest(0, toUnixTimestamp64Nano(ready_at) - accepted_ns) / 1e6, thousandths,
        weight > 0 AND accepted_ns != 0 AND is_ready),
    sum(weight * messages_early),
    sumMap(mapFromArrays(violated, arrayMap(name -> toUInt64(1), violated))),
    sumMap(mapFromArrays(classified, arrayMap(name -> toUInt64(1), classified))),
    uniqStateIf(user_hash, user_hash != ''),
    now('UTC'), {version:UInt64}, 0
FROM (
    SELECT
        connection_id, environment, service, service_version, route, readiness_mode, policy_version, policy_arm, weight,
        first_seen, connected_at, ready_at, outcome, patterns AS violated, messages_early, user_hash,
        toUInt32(least(intDiv(reinterpretAsUInt64(reverse(substring(connection_id, 1, 6))), 60000) * 60, 4294967280)) AS minute_s
    FROM acceptfirst.handshakes FINAL
    WHERE connection_id >= toFixedString(unhex({first_id:String}), 16)
        AND connection_id < toFixedString(unhex({end_id:String}), 16)
        AND has({minutes:Array(UInt32)}, minute_s)
) AS settled
LEFT JOIN (
    SELECT connection_id, groupUniqArray(toString(pattern_type)) AS classified
    FROM acceptfirst.race_condition_patterns FINAL
    WHERE connection_id >= toFixedString(unhex({first_id:String}), 16)
        AND connection_id < toFixedString(unhex({end_id:String}), 16)
    GROUP BY connection_id
) AS said USING (connection_id)
GROUP BY minute_s, environment, service, service_version, route, readiness_mode, policy_version, policy_arm
SETTINGS max_threads = 1, do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0
