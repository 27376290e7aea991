-- For: the comparison of versions (pattern 25); when a version began to serve, and which one had served before it.
-- A version begins with its first handshake after 23 hours without one (or with none known), while another version of the
-- service was there; the one before it is the one with the most handshakes in the hour before, or that was seen last.
-- Rows are asked as they lie.
-- Parameters: environment String ('' for all), since String, until String (ISO 8601, UTC; by the version's beginning).
-- Columns: environment, service, before, after (versions), started_ms (Int64, Unix milliseconds).
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at,
    heads AS (
        SELECT environment, service, service_version, intDiv(toUnixTimestamp64Milli(first_seen), 600000) AS slot,
            min(toUnixTimestamp64Milli(first_seen)) AS at_ms, count() AS n
        FROM acceptfirst.handshakes
        WHERE first_seen >= since_at - INTERVAL 1 DAY AND first_seen < until_at AND service_version != ''
            AND ({environment:String} = '' OR environment = {environment:String})
            -- As a rule there is one version, and nothing else is read.
            AND (SELECT uniqExact(service_version) FROM acceptfirst.handshakes
                WHERE first_seen >= since_at - INTERVAL 1 DAY AND first_seen < until_at AND service_version != '') > 1
        GROUP BY environment, service, service_version, slot
    ),
    begun AS (
        SELECT environment, service, service_version, slot, at_ms
        FROM (
            SELECT *, row_number() OVER own AS place, lagInFrame(slot) OVER own AS slot_before
            FROM heads
            WINDOW own AS (PARTITION BY environment, service, service_version ORDER BY slot
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
        )
        WHERE (place = 1 OR slot - slot_before > 138) AND at_ms >= toUnixTimestamp64Milli(since_at)
    )
SELECT environment, service, argMax(version_before, (lately, seen_ms, version_before)) AS before, after, started_ms
FROM (
    SELECT begun.environment AS environment, begun.service AS service, begun.service_version AS after,
        begun.at_ms AS started_ms, heads.service_version AS version_before,
        sumIf(heads.n, heads.slot >= begun.slot - 6) AS lately, max(heads.at_ms) AS seen_ms
    FROM begun
    INNER JOIN heads ON heads.environment = begun.environment AND heads.service = begun.service
    WHERE heads.service_version != begun.service_version AND heads.at_ms < begun.at_ms
        AND heads.slot >= begun.slot - 138
    GROUP BY environment, service, after, started_ms, version_before
)
GROUP BY environment, service, after, started_ms
ORDER BY environment, service, started_ms, after
