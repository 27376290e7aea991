-- For: the comparison of versions (pattern 25); how handshakes went in the day before a deploy under the version before
-- it, and in the day after under the new one, by ten minutes.
-- The time is from connect to ready; in blind mode to accept, or to the shadow's ready() where there is one. As in
-- readiness_weeks only drawn handshakes count, refusals have no time, and one that timed out or was told of as never
-- ready is never. A race is what the process reported.
-- Parameters: environments, services, befores, afters Array(String), started Array(Int64) (Unix milliseconds): the rows of
--   the statement deploys.
-- Columns: deploy (number of the row, from 1), route, phase ('before', 'warm' for the first ten minutes of the new version,
--   'after'), slot (ten minutes since 1970), first_id (lower hex, of the first connection), n (drawn), n_race (of n),
--   n_never, bins and counts (how many took from 10^(bin/100) to 10^((bin+1)/100) microseconds).
WITH
    arrayZip({environments:Array(String)}, {services:Array(String)}, {befores:Array(String)}, {afters:Array(String)},
        {started:Array(Int64)}) AS deploys,
    settled AS (
        SELECT
            connection_id, environment, service, service_version, route, first_seen, notEmpty(patterns) AS is_race,
            toUnixTimestamp64Milli(first_seen) AS begun_ms,
            toUnixTimestamp64Nano(connected_at) != 0 AND NOT (outcome = 'rejected') AS is_timed,
            match(toLowCardinality(signature), '^[^G]*T') AS timed_out,
            (toUnixTimestamp64Nano(connected_at) - toUnixTimestamp64Nano(pending_at)) / 1000 AS accept_us,
            (toUnixTimestamp64Nano(ready_at) - toUnixTimestamp64Nano(pending_at)) / 1000 AS ready_us,
            multiIf(
                NOT is_timed OR timed_out, NULL,
                readiness_mode = 'blind' AND mapContains(phases, 'ready'),
                    if(phases['ready'] < 0, NULL, accept_us + phases['ready'] * 1000),
                readiness_mode = 'blind', accept_us,
                toUnixTimestamp64Nano(ready_at) = 0, NULL,
                ready_us) AS took_us
        FROM acceptfirst.handshakes FINAL
        WHERE weight > 0 AND service IN {services:Array(String)} AND service_version != ''
            AND first_seen >= fromUnixTimestamp64Milli(arrayMin({started:Array(Int64)}) - 86400000)
            AND first_seen < fromUnixTimestamp64Milli(arrayMax({started:Array(Int64)}) + 86400000)
    ),
    placed AS (
        SELECT *, deploys[deploy].5 AS started_ms,
            multiIf(begun_ms < started_ms, 'before', begun_ms < started_ms + 600000, 'warm', 'after') AS phase
        FROM (
            SELECT *, arrayJoin(arrayFilter(
                i -> deploys[i].1 = environment AND deploys[i].2 = service
                    AND ((deploys[i].3 = service_version AND begun_ms < deploys[i].5 AND begun_ms >= deploys[i].5 - 86400000)
                        OR (deploys[i].4 = service_version AND begun_ms >= deploys[i].5 AND begun_ms < deploys[i].5 + 86400000)),
                arrayEnumerate(deploys))) AS deploy
            FROM settled
        )
    )
SELECT deploy, route, phase, slot, lower(hex(argMin(first_id, (first_at, first_id)))) AS first_id, sum(times) AS n,
    sum(races) AS n_race, sumIf(times, timing = 'never') AS n_never,
    groupArrayIf(bin, timing = 'took') AS bins, groupArrayIf(times, timing = 'took') AS counts
FROM (
    SELECT deploy, route, phase, intDiv(begun_ms, 600000) AS slot,
        multiIf(isNotNull(took_us), 'took', is_timed, 'never', 'untimed') AS timing,
        toInt32(floor(100 * log10(greatest(1, ifNull(took_us, 1))))) AS bin,
        count() AS times, countIf(is_race) AS races,
        min(first_seen) AS first_at, argMin(connection_id, (first_seen, connection_id)) AS first_id
    FROM placed
    GROUP BY deploy, route, phase, slot, timing, bin
)
GROUP BY deploy, route, phase, slot
ORDER BY deploy, route, phase, slot
