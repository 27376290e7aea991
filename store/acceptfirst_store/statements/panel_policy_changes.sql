-- For: the boards' annotation of policy changes.
-- Parameters: since, until, environments (array; one that holds an empty text: any).
-- Columns: time, text, tags.
SELECT
    happened_at AS time,
    concat('Policy of ', environment, ': ', action, ' ', version, if(share > 0 AND share < 1, concat(' for ', toString(round(100 * share, 1)), ' %'), ''),
        ' by ', actor, if(reason = '', '', concat(': ', leftUTF8(reason, 200)))) AS text,
    'policy' AS tags
FROM acceptfirst.policy_events
WHERE happened_at >= {since:DateTime64(6, 'UTC')} AND happened_at < {until:DateTime64(6, 'UTC')}
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
ORDER BY time
LIMIT 200
