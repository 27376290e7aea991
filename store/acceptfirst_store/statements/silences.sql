-- For: the silences that were set, in the evaluator, the API, on the command line and in the report, the latest first.
-- Parameters: since (those that were over by then are left out), until (those that were set from then on are left out), limit.
-- Columns: id, rule, environment, service, route, pattern (empty: any), set_at, until (when it ends by itself), actor,
-- reason, lifted_at (the epoch: it was not), lifted_by, lift_reason.
SELECT
    id,
    anyIf(rule, step = 'set') AS rule,
    anyIf(environment, step = 'set') AS environment,
    anyIf(service, step = 'set') AS service,
    anyIf(route, step = 'set') AS route,
    anyIf(pattern, step = 'set') AS pattern,
    minIf(happened_at, step = 'set') AS set_at,
    maxIf(alert_silences.until, step = 'set') AS until,
    anyIf(actor, step = 'set') AS actor,
    anyIf(reason, step = 'set') AS reason,
    minIf(happened_at, step = 'lift') AS lifted_at,
    argMinIf(alert_silences.actor, happened_at, step = 'lift') AS lifted_by,
    argMinIf(alert_silences.reason, happened_at, step = 'lift') AS lift_reason
FROM acceptfirst.alert_silences
GROUP BY id
HAVING countIf(step = 'set') > 0
    AND if(toUnixTimestamp64Milli(lifted_at) > 0, least(until, lifted_at), until) > {since:DateTime64(6, 'UTC')}
    AND set_at < {until:DateTime64(6, 'UTC')}
ORDER BY set_at DESC, id
LIMIT {limit:UInt32}
