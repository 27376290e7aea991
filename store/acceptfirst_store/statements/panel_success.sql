-- For: Overview, panel 2. The share of handshakes within the objective: of those that are over, all but the failed, the timed
-- out, and those that handled a message before they were ready. As in alerts AF-01 and AF-02.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments, services, routes
-- (arrays; one that holds an empty text: any).
-- Columns: success_percent (NULL when none is over), verdict (the same in a word, so that nobody needs to see colours).
SELECT
    100 * (1 - sum(failed + timed_out + ready_early) / nullIf(sum(handshakes - open), 0)) AS success_percent,
    multiIf(isNull(success_percent), '', success_percent >= 99.9, 'OK', success_percent >= 99, 'WARN', 'BAD') AS verdict
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
    AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
    AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
