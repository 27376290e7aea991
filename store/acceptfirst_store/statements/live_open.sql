-- For: the live page: handshakes that nothing has ended yet, the oldest first. Of the last hour only, since a process that
-- was killed never says how its handshakes ended. Same meaning of "stuck" as dashboards/queries/overview_stuck.sql.
-- Parameters: environment (empty: any), now, floor, day_floor, day_ceiling (as in live_summary, for an hour ago),
-- stuck_after_s, limit.
-- Columns: connection_id (lower hex), environment, service, route (the first 300 characters), first_seen, is_accepted,
-- age_ms, and over all of them, also those beyond the limit: open_count, stuck_count (rows), stuck (sum of weights).
SELECT
    lower(hex(connection_id)) AS connection_id, environment, service, substring(route, 1, 300) AS route, first_seen,
    toUnixTimestamp64Nano(connected_at) != 0 AS is_accepted,
    age_ms,
    count() OVER () AS open_count,
    countIf(age_ms > 1000 * {stuck_after_s:UInt32}) OVER () AS stuck_count,
    sumIf(weight, age_ms > 1000 * {stuck_after_s:UInt32}) OVER () AS stuck
FROM
(
    SELECT *, outcome,
        greatest(0, dateDiff('millisecond', first_seen, {now:DateTime64(6, 'UTC')})) AS age_ms
    FROM acceptfirst.handshakes FINAL
    WHERE (connection_id >= toFixedString(unhex({floor:String}), 16)
            OR (connection_id >= toFixedString(unhex({day_floor:String}), 16)
                AND connection_id < toFixedString(unhex({day_ceiling:String}), 16)))
)
WHERE outcome = 'open' AND age_ms < 3600000 AND ({environment:String} = '' OR environment = {environment:String})
ORDER BY first_seen, connection_id
LIMIT {limit:UInt32}
