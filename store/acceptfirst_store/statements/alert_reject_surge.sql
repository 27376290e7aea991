-- For: alert AF-06. The share of handshakes that the application refused in the window, against the same time of the seven
-- days before.
-- Parameters: at (the instant), environment (empty: any), window_s (seconds, at most a day), floor_share (a baseline below it
-- counts as this), events_min (refusals in the window; fewer make the value 0), baseline_n_min (drawn handshakes of the seven
-- days; fewer are no baseline).
-- Columns: environment, service, route, pattern (empty), value (share now / share before; NULL without a baseline), n (drawn
-- handshakes in the window).
WITH
    toStartOfMinute({at:DateTime64(6, 'UTC')}) AS until_minute,
    sumIf(rejected, is_now) AS rejected_now,
    sumIf(rejected, NOT is_now) AS rejected_before
SELECT
    environment, service, route, '' AS pattern,
    if(sumIf(drawn, NOT is_now) < {baseline_n_min:UInt32}, NULL, if(rejected_now < {events_min:Float64}, 0,
        (rejected_now / sumIf(ended, is_now))
        / greatest({floor_share:Float64}, ifNull(rejected_before / nullIf(sumIf(ended, NOT is_now), 0), 0)))) AS value,
    sumIf(drawn, is_now) AS n
FROM (
    SELECT
        environment, service, route, rejected, n AS drawn, handshakes - open AS ended,
        toUnixTimestamp(until_minute) - toUnixTimestamp(minute) AS age_s,
        age_s < {window_s:UInt32} AS is_now
    FROM acceptfirst.handshake_rollup_1m FINAL
    WHERE minute > until_minute - toIntervalDay(7) - toIntervalSecond({window_s:UInt32}) AND minute <= until_minute
        AND age_s % 86400 < {window_s:UInt32}
        AND ({environment:String} = '' OR environment = {environment:String})
)
GROUP BY environment, service, route
ORDER BY value DESC NULLS LAST, environment, service, route
LIMIT 1000
