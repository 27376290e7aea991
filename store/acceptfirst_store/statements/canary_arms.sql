-- For: how a canary does, on the live page: what is known of either arm since the canary got its share.
-- Parameters: environment, version (of the candidate), share.
-- Columns: is_canary (else the baseline), since (when it got its share), handshakes (sum of weights), ready, bad (failed,
-- timed out, or ready after a message was handled: the failures of AF-01), ready_p95_ms (accept to ready; NaN: none), n.
WITH begun AS
(
    SELECT min(happened_at) AS since
    FROM acceptfirst.policy_events
    WHERE environment = {environment:String} AND version = {version:String} AND action = 'promote'
        AND share = {share:Float64}
)
SELECT
    policy_arm = 'canary' AND policy_version = {version:String} AS is_canary,
    (SELECT since FROM begun) AS since,
    sum(handshakes) AS handshakes,
    sum(ready) AS ready,
    sum(failed) + sum(timed_out) + sum(ready_early) AS bad,
    quantilesTDigestWeightedMerge(0.5, 0.95, 0.99)(ready_ms)[2] AS ready_p95_ms,
    sum(n) AS n
FROM
(
    SELECT policy_arm, policy_version, handshakes, ready, failed, timed_out, ready_early, ready_ms, n
    FROM acceptfirst.handshake_rollup_1m FINAL
    WHERE environment = {environment:String} AND minute >= toStartOfMinute((SELECT since FROM begun))
)
GROUP BY is_canary
ORDER BY is_canary DESC
