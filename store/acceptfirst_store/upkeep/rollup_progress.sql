-- For: where the next pass of the rollup begins. One row.
-- Parameters: none.
-- Columns: now_s (the store's clock, Unix seconds), through_s (what the last pass had seen; 0 before the first), revision,
-- frozen_before_s (earlier minutes are never computed again, since their handshakes were pruned or are about to expire).
WITH (
    SELECT max(toUInt32OrZero(extract(engine_full, ' TTL .*toIntervalDay\\((\\d+)\\)')))
    FROM system.tables
    WHERE database = 'acceptfirst' AND name IN ('handshakes', 'handshakes_local') AND engine LIKE '%MergeTree'
) AS kept_days
SELECT
    toUnixTimestamp(now()) AS now_s,
    maxOrDefaultIf(toUnixTimestamp(through), job = 'handshake_rollup_1m') AS through_s,
    maxOrDefaultIf(revision, job = 'handshake_rollup_1m') AS revision,
    greatest(
        maxOrDefaultIf(toUnixTimestamp(through), job = 'handshake_rollup_1m_frozen'),
        -- A part goes when its day is over by this many days: what is left of the day before may be half of it.
        if(kept_days = 0, 0, toUnixTimestamp(toStartOfDay(now('UTC'))) - (kept_days - 1) * 86400)
    ) AS frozen_before_s
FROM acceptfirst.job_progress FINAL
