-- For: the four numbers of the live page.
-- Parameters: environment (empty: any), since (by the first span), floor, day_floor, day_ceiling (32 hex digits: where in
-- the order of connection ids this range can lie; see acceptfirst_analysis.page.reading).
-- Columns: handshakes (sum of weights), n (drawn rows), n_settled (drawn, not open), n_ready (drawn), accept_p95_ms
-- (connection handed over to accept returned; NaN where there is none), n_accepted.
SELECT
    sum(weight) AS handshakes,
    countIf(weight > 0) AS n,
    countIf(weight > 0 AND outcome != 'open') AS n_settled,
    countIf(weight > 0 AND outcome = 'ready') AS n_ready,
    countIf(weight > 0 AND toUnixTimestamp64Nano(connected_at) != 0) AS n_accepted,
    quantileExactIf(0.95)((toUnixTimestamp64Nano(connected_at) - toUnixTimestamp64Nano(first_seen)) / 1e6,
        weight > 0 AND toUnixTimestamp64Nano(connected_at) != 0) AS accept_p95_ms
FROM
(
    SELECT weight, connected_at, first_seen, outcome, environment
    FROM acceptfirst.handshakes FINAL
    WHERE (connection_id >= toFixedString(unhex({floor:String}), 16)
            OR (connection_id >= toFixedString(unhex({day_floor:String}), 16)
                AND connection_id < toFixedString(unhex({day_ceiling:String}), 16)))
)
WHERE first_seen >= {since:DateTime64(6, 'UTC')} AND ({environment:String} = '' OR environment = {environment:String})
