-- What is known of the store itself. $1 frozen time, $2 how many leases of a lane are counted at most.
WITH clock AS MATERIALIZED (SELECT riqle.now($1) AS now)
SELECT clock.now,
       (SELECT coalesce(sum(r.runs), 0)::bigint FROM riqle.lanes l CROSS JOIN LATERAL (
            SELECT count(*) AS runs FROM (
                SELECT 1 FROM riqle.runs
                WHERE lane = l.lane AND state = 'running' AND lease_until <= clock.now LIMIT $2) expired
        ) r) AS expired_leases,
       (SELECT max(number) FROM riqle.migrations) AS schema,
       (SELECT n_dead_tup FROM pg_stat_all_tables WHERE relid = 'riqle.runs'::regclass) AS dead_rows,
       (SELECT n_live_tup FROM pg_stat_all_tables WHERE relid = 'riqle.runs'::regclass) AS live_rows,
       (SELECT extract(epoch FROM max(clock_timestamp() - xact_start))::bigint FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
          AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)) AS oldest_transaction
FROM clock
