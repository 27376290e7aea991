-- For: Overview, panel 8. How many times faster than the objective handshakes fail, over the last 5 minutes, hour and 6 hours
-- before each point; as in alert AF-01, but without its guard against small numbers.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments, services, routes
-- (arrays; one that holds an empty text: any), step_s (seconds between two points, at least 60),
-- slo (share that may fail).
-- Columns: time, burn_5m, burn_1h, burn_6h (NULL where no handshake ended in the window).
WITH
    by_minute AS
    (
        SELECT minute, sum(failed + timed_out + ready_early) AS bad, sum(handshakes - open) AS ended
        FROM acceptfirst.handshake_rollup_1m FINAL
        WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) - toIntervalHour(6) AND minute < {until:DateTime64(6, 'UTC')}
            AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
            AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
            AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
        GROUP BY minute
    ),
    sliding AS
    (
        SELECT
            minute,
            sum(bad) OVER five / nullIf(sum(ended) OVER five, 0) / {slo:Float64} AS five_minutes,
            sum(bad) OVER hour / nullIf(sum(ended) OVER hour, 0) / {slo:Float64} AS an_hour,
            sum(bad) OVER six / nullIf(sum(ended) OVER six, 0) / {slo:Float64} AS six_hours
        FROM by_minute
        WINDOW
            five AS (ORDER BY minute RANGE BETWEEN 300 PRECEDING AND CURRENT ROW),
            hour AS (ORDER BY minute RANGE BETWEEN 3600 PRECEDING AND CURRENT ROW),
            six AS (ORDER BY minute RANGE BETWEEN 21600 PRECEDING AND CURRENT ROW)
    )
SELECT
    toStartOfInterval(minute, toIntervalSecond(greatest(60, {step_s:UInt32}))) AS time,
    max(five_minutes) AS burn_5m, max(an_hour) AS burn_1h, max(six_hours) AS burn_6h
FROM sliding
WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')})
GROUP BY time
ORDER BY time
