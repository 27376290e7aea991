-- For: what the figures of a report rest on. One row.
-- Parameters: environment String ('' for all), since String, until String (ISO 8601, UTC; by the first span).
-- Columns: hours (in which a handshake began), n_all (rows), n_drawn (weight above 0), weight_max (1: nothing was sampled
-- away), n_without_start (the span of connect never came), n_without_signature (ended, and yet the span that tells how never
-- came), n_ahead (first span later than now: a clock that is wrong).
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at
SELECT
    uniqExact(toStartOfHour(toDateTime(first_seen))) AS hours,
    count() AS n_all,
    countIf(weight > 0) AS n_drawn,
    max(weight) AS weight_max,
    countIf(toUnixTimestamp64Nano(pending_at) = 0) AS n_without_start,
    countIf(ended_by != '' AND ranked_signature = '') AS n_without_signature,
    countIf(first_seen > now64(9)) AS n_ahead
FROM acceptfirst.handshakes FINAL
WHERE first_seen >= since_at AND first_seen < until_at AND ({environment:String} = '' OR environment = {environment:String})
