-- For: the swim-lanes of the live page: the last handshakes with the states that they went through, the newest first.
-- Parameters: environment (empty: any), since, floor, day_floor, day_ceiling (as in live_summary), limit,
-- racing_only (1: only those with a pattern, whoever saw it).
-- Columns: connection_id (lower hex), environment, service, route (the first 300 characters), readiness_mode, outcome,
-- first_seen, last_seen, first_message_ns (since connect was delivered; 0 = never), close_code, patterns (the process's and
-- the classifier's), states, triggers, durations_ms (one entry a transition, in order: the state that was left, what ended
-- it, how long it had lasted), entered (the state that the last transition led to), is_ended (its last span came).
WITH latest AS
(
    SELECT connection_id, environment, service, substring(route, 1, 300) AS route, readiness_mode, outcome, first_seen,
        last_seen, first_message_ns, close_code, patterns, ended_by != '' AS is_ended
    FROM
    (
        SELECT *, outcome
        FROM acceptfirst.handshakes FINAL
        WHERE (connection_id >= toFixedString(unhex({floor:String}), 16)
                OR (connection_id >= toFixedString(unhex({day_floor:String}), 16)
                    AND connection_id < toFixedString(unhex({day_ceiling:String}), 16)))
    )
    WHERE first_seen >= {since:DateTime64(6, 'UTC')} AND ({environment:String} = '' OR environment = {environment:String})
        AND ({racing_only:UInt8} = 0 OR notEmpty(patterns) OR connection_id IN
        (
            SELECT connection_id
            FROM acceptfirst.race_condition_patterns FINAL
            WHERE {racing_only:UInt8} = 1 AND (connection_id >= toFixedString(unhex({floor:String}), 16)
                    OR (connection_id >= toFixedString(unhex({day_floor:String}), 16)
                        AND connection_id < toFixedString(unhex({day_ceiling:String}), 16)))
        ))
    ORDER BY first_seen DESC, connection_id DESC
    LIMIT {limit:UInt32}
)
SELECT
    lower(hex(h.connection_id)) AS connection_id, h.environment AS environment, h.service AS service, h.route AS route,
    h.readiness_mode AS readiness_mode, h.outcome AS outcome, h.first_seen AS first_seen, h.last_seen AS last_seen,
    h.first_message_ns AS first_message_ns, h.close_code AS close_code,
    arraySort(arrayDistinct(arrayConcat(h.patterns, p.classified))) AS patterns,
    t.states AS states, t.triggers AS triggers, t.durations_ms AS durations_ms, t.entered AS entered, h.is_ended AS is_ended
FROM latest AS h
LEFT JOIN
(
    SELECT connection_id,
        arraySort(groupArray((sequence, toString(from_state), toString(trigger), duration_ns / 1e6, toString(to_state)))) AS steps,
        steps.2 AS states, steps.3 AS triggers, steps.4 AS durations_ms, steps.5[-1] AS entered
    FROM acceptfirst.handshake_transitions FINAL
    WHERE connection_id IN (SELECT connection_id FROM latest)
    GROUP BY connection_id
) AS t ON t.connection_id = h.connection_id
LEFT JOIN
(
    SELECT connection_id, groupUniqArray(toString(pattern_type)) AS classified
    FROM acceptfirst.race_condition_patterns FINAL
    WHERE connection_id IN (SELECT connection_id FROM latest)
    GROUP BY connection_id
) AS p ON p.connection_id = h.connection_id
ORDER BY first_seen DESC, connection_id DESC
