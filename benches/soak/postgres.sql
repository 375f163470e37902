-- What has ended lies in a table a day, which is dropped as a whole when it is over, and its steps with it.
WITH tables AS (
    SELECT relname LIKE 'history%' OR relname = 'steps' AS is_of_day, pg_total_relation_size(relid)::float8 / 1e6 AS size,
        n_live_tup::float8 AS rows
    FROM pg_stat_user_tables WHERE schemaname = 'soak'
)
SELECT (SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend')::float8,
    sum(size) FILTER (WHERE NOT is_of_day), sum(rows) FILTER (WHERE NOT is_of_day), sum(size) FILTER (WHERE is_of_day)
FROM tables
