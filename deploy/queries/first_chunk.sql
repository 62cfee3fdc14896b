-- How long people wait for a streamed answer to begin.
SELECT
    attributes['gen_ai.request.model'] AS model,
    count(*) AS streams,
    quantile_cont(CAST(attributes['gen_ai.response.time_to_first_chunk'] AS DOUBLE), 0.5) AS half_within,
    quantile_cont(CAST(attributes['gen_ai.response.time_to_first_chunk'] AS DOUBLE), 0.95) AS most_within
FROM spans
WHERE attributes['gen_ai.response.time_to_first_chunk'] IS NOT NULL
GROUP BY model
ORDER BY most_within DESC;
