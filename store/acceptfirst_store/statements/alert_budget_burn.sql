-- For: alerts AF-01 and AF-02. How many times faster than the objective allows handshakes fail, in two windows at once: the
-- long one says that it matters, the short one that it goes on (Google SRE workbook, chapter 5); with no handshake in the short
-- one nothing says so. A failure: failed, timed
-- out, or a message handled before ready. Refused and left are none: a wrong token or a closed tab is not our fault; a surge
-- of refusals has an alert of its own.
-- Parameters: at (the instant), environment (empty: any), long_s, short_s (windows in seconds), slo (share that may fail),
-- events_min (failures in the long window; fewer make the value 0).
-- Columns: environment, service, route, pattern (empty), value (the smaller one of the two burn rates), n (drawn handshakes in
-- the long window).
WITH
    toStartOfMinute({at:DateTime64(6, 'UTC')}) AS until_minute,
    failed + timed_out + ready_early AS bad,
    handshakes - open AS ended,
    minute >= until_minute - toIntervalSecond({short_s:UInt32}) AS is_short
SELECT
    environment, service, route, '' AS pattern,
    if(sum(bad) < {events_min:Float64}, 0, least(
        ifNull(sum(bad) / nullIf(sum(ended), 0), 0),
        ifNull(sumIf(bad, is_short) / nullIf(sumIf(ended, is_short), 0), 0))) / {slo:Float64} AS value,
    sum(n) AS n
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute >= until_minute - toIntervalSecond({long_s:UInt32}) AND minute <= until_minute
    AND ({environment:String} = '' OR environment = {environment:String})
GROUP BY environment, service, route
ORDER BY value DESC, environment, service, route
LIMIT 1000
