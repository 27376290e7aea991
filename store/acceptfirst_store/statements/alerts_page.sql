-- For: alerts, the latest beginning first, in the API and on the command line.
-- Parameters: environment, service, route, state (empty: any; for state also 'active': pending or firing), since, until
-- (an alert that was active at some time in between; until is excluded), limit, before (active_since of the last row of the
-- page before), before_fingerprint (its fingerprint; empty for the first page).
-- Columns: those of alert_states; the epoch stands for never. One that never fired and is over is left out.
SELECT *
FROM acceptfirst.alert_states FINAL
WHERE
    ({environment:String} = '' OR environment = {environment:String})
    AND ({service:String} = '' OR service = {service:String})
    AND ({route:String} = '' OR route = {route:String})
    AND ({state:String} = '' OR state = {state:String} OR ({state:String} = 'active' AND state IN ('pending', 'firing')))
    AND (state != 'resolved' OR toUnixTimestamp64Milli(fired_at) != 0)
    AND active_since < {until:DateTime64(6, 'UTC')}
    AND (state != 'resolved' OR resolved_at >= {since:DateTime64(6, 'UTC')})
    AND ({before_fingerprint:String} = ''
        OR (active_since, fingerprint) < ({before:DateTime64(3, 'UTC')}, {before_fingerprint:String}))
ORDER BY active_since DESC, fingerprint DESC
LIMIT {limit:UInt32}
