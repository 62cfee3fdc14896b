-- The table that the other queries read: one row a span, out of files that `-o file:PATH` or a collector's file exporter wrote.
-- DuckDB 1.3 or later: duckdb -c "SET VARIABLE files = 'spans.jsonl'" -f deploy/queries/spans.sql -f deploy/queries/tokens.sql
--
-- A value is the text of whichever field of OTLP it came in; arrays keep their brackets.
CREATE OR REPLACE MACRO value_of(v) AS coalesce(
    v->>'stringValue', v->>'intValue', v->>'doubleValue', v->>'boolValue',
    CAST(list_transform(CAST(v->'arrayValue'->'values' AS JSON[]), lambda x: x->>'stringValue') AS VARCHAR));
CREATE OR REPLACE MACRO map_of(list) AS map_from_entries(
    list_transform(CAST(list AS JSON[]), lambda a: struct_pack(k := a->>'key', v := value_of(a->'value'))));

CREATE OR REPLACE TABLE spans AS
WITH resources AS (
    SELECT unnest(CAST(json->'resourceSpans' AS JSON[])) AS r
    FROM read_ndjson_objects(getvariable('files'))
),
scopes AS (
    SELECT coalesce(map_of(r->'resource'->'attributes'), MAP {}) AS resource, unnest(CAST(r->'scopeSpans' AS JSON[])) AS s
    FROM resources
),
rows AS (
    SELECT resource, unnest(CAST(s->'spans' AS JSON[])) AS span
    FROM scopes
)
SELECT
    span->>'name' AS name,
    span->>'traceId' AS trace_id,
    span->>'spanId' AS span_id,
    make_timestamp_ns(CAST(span->>'startTimeUnixNano' AS BIGINT)) AS started,
    (CAST(span->>'endTimeUnixNano' AS BIGINT) - CAST(span->>'startTimeUnixNano' AS BIGINT)) / 1e9 AS seconds,
    coalesce(CAST(span->'status'->>'code' AS INTEGER), 0) = 2 AS failed,
    resource,
    coalesce(map_of(span->'attributes'), MAP {}) AS attributes
FROM rows;
