-- For: Patterns & tuning, panel 18. The latest recommendation of each environment, service and route, and what it costs and saves.
-- Parameters: until (written before), environments, services, routes (arrays; one that holds an empty text: any).
-- Columns: environment, service, route, verdict, in_force_ms, recommended_ms (the bound; NULL where no delay is), estimate_ms,
-- timeout_ms, rate_upper (bound of the violation rate in force), n, n_missing, status, updated_at, rationale.
SELECT
    environment, service, route, verdict,
    JSONExtract(from_values, 'delay_ms', 'Nullable(Float64)') AS in_force_ms,
    delay_ms AS recommended_ms, delay_ms_estimate AS estimate_ms, timeout_ms, violation_rate_upper AS rate_upper,
    n, n_missing, status, updated_at, rationale
FROM acceptfirst.tuning_recommendations FINAL
WHERE updated_at < {until:DateTime64(6, 'UTC')}
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
    AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
    AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
ORDER BY updated_at DESC
LIMIT 1 BY environment, service, route, verdict = 'code_fix'
LIMIT 100
