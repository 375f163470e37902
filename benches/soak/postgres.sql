-- What has ended lies in a table a day, which is dropped as a whole when it is over.
SELECT (SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend')::float8,
    sum(pg_total_relation_size(relid)) FILTER (WHERE relname NOT LIKE 'history%')::float8 / 1e6,
    sum(n_live_tup) FILTER (WHERE relname NOT LIKE 'history%')::float8,
    sum(pg_total_relation_size(relid)) FILTER (WHERE relname LIKE 'history%')::float8 / 1e6
FROM pg_stat_user_tables WHERE schemaname = 'soak'
