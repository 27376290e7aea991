-- For: a connection's page: what the classifier concluded about it.
-- Parameters: connection_id (32 hex digits).
-- Columns: pattern_type, sequence, severity, detected_at, evidence, delay_helps.
SELECT pattern_type, sequence, severity, detected_at, evidence, delay_helps
FROM acceptfirst.race_condition_patterns FINAL
WHERE connection_id = toFixedString(unhex({connection_id:String}), 16)
ORDER BY detected_at, pattern_type, sequence
