-- A page of runs, newest first, in the place of whose arms stand queries for ids: each one range of one index.
WITH page(id) AS MATERIALIZED (SELECT id FROM (/* arms */) ORDER BY id DESC LIMIT ?7)
