-- For: Handshake detail, panel 12. When the first message came, counted from the moment at which the application was ready: a
-- negative gap is a message before it. Of the latest 10,000 connections in the range with both. In blind mode, ready is what the
-- shadow readiness saw.
-- Parameters: since, until, environments, services, routes (arrays; one that holds an empty text: any).
-- Columns: gap_ms (a class, as text), connections, covered_percent (connections in order if each first message waited as long as
-- the class' lower bound lies below 0; at 0 and above: as it is).
WITH
    (ms -> toFixedString(concat(substring(reverse(reinterpretAsFixedString(toUInt64(ms))), 3), repeat('\0', 10)), 16)) AS id_at,
    id_at(greatest(0, toUnixTimestamp64Milli({since:DateTime64(6, 'UTC')}))) AS first_id,
    id_at(greatest(0, toUnixTimestamp64Milli({until:DateTime64(6, 'UTC')}))) AS end_id,
    (
        SELECT min(connection_id)
        FROM (
            SELECT connection_id
            FROM acceptfirst.handshakes
            WHERE connection_id >= first_id
                AND connection_id < end_id
            ORDER BY connection_id DESC
            LIMIT 10000
        )
    ) AS oldest_id
SELECT
    ['below -1000', '-1000 to -500', '-500 to -200', '-200 to -100', '-100 to -50', '-50 to -20', '-20 to -10', '-10 to 0',
        '0 to 10', '10 to 100', '100 to 1000', 'above 1000'][class] AS gap_ms,
    sum(found) AS connections,
    if(total = 0, NULL, 100 * sum(sum(found)) OVER (ORDER BY class DESC) / any(total)) AS covered_percent
FROM (
    SELECT
        arrayJoin(range(1, 13)) AS class,
        countIf(class = arrayFirstIndex(bound -> gap < bound, [-1000, -500, -200, -100, -50, -20, -10, 0, 10, 100, 1000, inf])) AS found,
        count() AS total
    FROM (
        SELECT
            (toInt64(first_message_ns) - multiIf(
                mapContains(phases, 'ready'), toInt64(connected_ns) + toInt64(phases['ready'] * 1e6),
                toInt64(ready_ns))) / 1e6 AS gap
        FROM acceptfirst.handshakes FINAL
        WHERE connection_id >= oldest_id AND connection_id < end_id
            AND connection_id >= first_id
            AND weight > 0 AND first_message_ns > 0 AND (ready_ns > 0 OR mapContains(phases, 'ready'))
            AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
            AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
            AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
    )
    GROUP BY class
)
GROUP BY class, total
ORDER BY class
