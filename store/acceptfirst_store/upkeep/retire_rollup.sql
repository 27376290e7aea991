-- For: keys of some minutes that the recomputation under `version` did not find again: nothing is left of them.
-- Parameters: minutes Array(UInt32) (Unix seconds), version UInt64.
INSERT INTO acceptfirst.handshake_rollup_1m
(
    minute, environment, service, service_version, route, readiness_mode, policy_version, policy_arm,
    computed_at, version, is_deleted
)
SELECT
    minute, environment, service, service_version, route, readiness_mode, policy_version, policy_arm,
    now('UTC'), {version:UInt64}, 1
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute IN (SELECT toDateTime(arrayJoin({minutes:Array(UInt32)}), 'UTC')) AND version < {version:UInt64}
SETTINGS max_threads = 1
