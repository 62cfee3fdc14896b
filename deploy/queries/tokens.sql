-- Tokens by service, operation and model.
SELECT
    resource['service.name'] AS service,
    attributes['gen_ai.operation.name'] AS operation,
    attributes['gen_ai.request.model'] AS model,
    count(*) AS calls,
    sum(CAST(attributes['gen_ai.usage.input_tokens'] AS BIGINT)) AS input_tokens,
    sum(CAST(attributes['gen_ai.usage.cache_read.input_tokens'] AS BIGINT)) AS of_them_cached,
    sum(CAST(attributes['gen_ai.usage.output_tokens'] AS BIGINT)) AS output_tokens
FROM spans
WHERE attributes['gen_ai.operation.name'] IS NOT NULL
GROUP BY ALL
ORDER BY output_tokens DESC NULLS LAST;
