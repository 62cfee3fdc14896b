-- The few calls that went wrong: cut by a limit, broken off, stood still, or never came to their end.
SELECT
    attributes['gen_ai.request.model'] AS model,
    attributes['gen_ai.provider.name'] AS provider,
    count(*) AS calls,
    count(*) FILTER (WHERE list_contains(CAST(attributes['gen_ai.response.finish_reasons'] AS VARCHAR[]), 'length')) AS cut_by_length,
    count(*) FILTER (WHERE list_contains(CAST(attributes['gen_ai.response.finish_reasons'] AS VARCHAR[]), 'error')) AS broke_off,
    count(*) FILTER (WHERE attributes['plainspan.stream.stalled'] = 'true') AS stood_still,
    count(*) FILTER (WHERE attributes['plainspan.call.ended'] <> 'complete') AS not_ended
FROM spans
WHERE attributes['gen_ai.operation.name'] IS NOT NULL
GROUP BY model, provider
HAVING cut_by_length + broke_off + stood_still + not_ended > 0
ORDER BY not_ended + broke_off DESC;
