-- For: the latest recommendation of each question, in the API.
-- Parameters: environment, service, route (empty: any), since, until (of the writing, until is excluded).
-- Columns: those of tuning_recommendations; cost, from_values, to_values and evidence are JSON texts.
SELECT *
FROM acceptfirst.tuning_recommendations FINAL
WHERE
    ({environment:String} = '' OR environment = {environment:String})
    AND ({service:String} = '' OR service = {service:String})
    AND ({route:String} = '' OR route = {route:String})
    AND updated_at >= {since:DateTime64(6, 'UTC')} AND updated_at < {until:DateTime64(6, 'UTC')}
ORDER BY environment, service, route, verdict = 'code_fix', updated_at DESC
LIMIT 1 BY environment, service, route, verdict = 'code_fix'
