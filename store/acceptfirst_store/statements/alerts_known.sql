-- For: what the evaluator must know of earlier evaluations: episodes that are not over, and those that ended of late and
-- fired, since somebody may not have been told yet.
-- Parameters: ended_since (DateTime64(6)).
-- Columns: those of alert_states; the epoch stands for never.
SELECT *
FROM acceptfirst.alert_states FINAL
WHERE state != 'resolved' OR (resolved_at >= {ended_since:DateTime64(6, 'UTC')} AND toUnixTimestamp64Milli(fired_at) != 0)
ORDER BY active_since, fingerprint
