-- What blocks VACUUM, and where it does not run. $1 schema, $2 age in seconds.
SELECT current_setting('autovacuum') = 'off' AS vacuum_is_off,
       (SELECT string_agg(c.relname, ', ' ORDER BY c.relname)
          FROM pg_class c
         WHERE c.relnamespace = to_regnamespace($1)
           AND EXISTS (SELECT FROM pg_options_to_table(c.reloptions) o
                        WHERE o.option_name = 'autovacuum_enabled' AND NOT o.option_value::boolean)) AS without_vacuum,
       -- A transaction of another database does not count, nor does a VACUUM.
       (SELECT format('process %s of user %s (%s), for %s min', a.pid, a.usename,
                      coalesce(nullif(a.application_name, ''), 'no application name'),
                      extract(epoch FROM now() - a.xact_start)::bigint / 60)
          FROM pg_stat_activity a
         WHERE a.backend_type = 'client backend'
           AND a.datname = current_database()
           AND a.backend_xmin IS NOT NULL
           AND a.xact_start < now() - make_interval(secs => $2)
           AND a.pid NOT IN (SELECT v.pid FROM pg_stat_progress_vacuum v)
         ORDER BY a.xact_start
         LIMIT 1) AS oldest_snapshot,
       (SELECT format('%s, for %s min', p.gid, extract(epoch FROM now() - p.prepared)::bigint / 60)
          FROM pg_prepared_xacts p
         WHERE p.database = current_database()
           AND p.prepared < now() - make_interval(secs => $2)
         ORDER BY p.prepared
         LIMIT 1) AS oldest_prepared,
       (SELECT string_agg(s.slot_name, ', ' ORDER BY s.slot_name)
          FROM pg_replication_slots s
         WHERE NOT s.active AND s.restart_lsn IS NOT NULL AND s.wal_status IS DISTINCT FROM 'lost') AS idle_slots
