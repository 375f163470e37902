-- Who holds back what VACUUM may remove, and where it does not come by itself.
SELECT current_setting('autovacuum') = 'off' AS vacuum_is_off,
       (SELECT string_agg(c.relname, ', ' ORDER BY c.relname)
          FROM pg_class c
         WHERE c.relnamespace = to_regnamespace($1)
           AND 'autovacuum_enabled=false' = ANY (c.reloptions)) AS without_vacuum,
       (SELECT format('process %s of user %s (%s), for %s min', a.pid, a.usename,
                      coalesce(nullif(a.application_name, ''), 'without a name'),
                      extract(epoch FROM now() - a.xact_start)::bigint / 60)
          FROM pg_stat_activity a
         WHERE a.backend_xmin IS NOT NULL
           AND a.xact_start < now() - make_interval(secs => $2)
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
         WHERE NOT s.active) AS idle_slots
