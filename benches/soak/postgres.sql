SELECT (SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend')::float8,
    sum(pg_total_relation_size(relid))::float8 / 1e6,
    sum(pg_indexes_size(relid))::float8 / 1e6,
    sum(n_live_tup)::float8
FROM pg_stat_user_tables WHERE schemaname = 'riqle'
