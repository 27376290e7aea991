-- For: alert AF-04. The 99th percentile of connection handed over to accept returned.
-- Parameters: at (the instant), environment (empty: any), window_s (seconds).
-- Columns: environment, service, route, pattern (empty), value (seconds; NULL where nothing was accepted), n (drawn handshakes).
WITH toStartOfMinute({at:DateTime64(6, 'UTC')}) AS until_minute
SELECT
    environment, service, route, '' AS pattern,
    if(isFinite(quantilesTDigestWeightedMerge(0.5, 0.95, 0.99)(accept_ms)[3] AS accept_p99_ms), accept_p99_ms / 1e3, NULL) AS value,
    sum(n) AS n
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute >= until_minute - toIntervalSecond({window_s:UInt32}) AND minute <= until_minute
    AND ({environment:String} = '' OR environment = {environment:String})
GROUP BY environment, service, route
ORDER BY value DESC NULLS LAST, environment, service, route
LIMIT 1000
