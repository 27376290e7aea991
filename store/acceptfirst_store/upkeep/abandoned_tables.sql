-- For: dropping what a killed process left behind: the tables in which a classification or a simulation lays things out.
-- Parameters: age_s UInt32.
-- Columns: name.
SELECT name
FROM system.tables
WHERE database = 'acceptfirst' AND match(name, '^(classifying|simulated)_[0-9a-f]{32}$')
    AND metadata_modification_time <= now() - {age_s:UInt32}
ORDER BY name
