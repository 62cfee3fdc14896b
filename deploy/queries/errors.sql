-- Calls that failed, by provider and by what it says.
SELECT
    attributes['gen_ai.provider.name'] AS provider,
    attributes['error.type'] AS error,
    attributes['http.response.status_code'] AS status,
    count(*) AS calls,
    max(started) AS latest
FROM spans
WHERE failed AND attributes['gen_ai.operation.name'] IS NOT NULL
GROUP BY 1, 2, 3
ORDER BY calls DESC;
