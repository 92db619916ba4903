-- Daily partitions, by UTC day. Made ahead, for past days that a late node brings, and for what had
-- to wait in a default partition; dropped when they are older than `retention` says.

CREATE FUNCTION kept_since(parent TEXT)
RETURNS DATE
LANGUAGE SQL STABLE PARALLEL SAFE
RETURN (
    SELECT greatest(r.kept_since, (now() AT TIME ZONE 'UTC')::DATE - r.kept_days)
    FROM retention AS r
    WHERE r.table_name = parent
);

-- What stands in the bounds of a partition for the beginning of a UTC day.
CREATE FUNCTION partition_bound(parent TEXT, day DATE)
RETURNS TEXT
LANGUAGE SQL STABLE
RETURN (
    SELECT CASE r.key_column WHEN 'created_date' THEN day::TEXT ELSE day::TEXT || ' 00:00:00+00' END
    FROM retention AS r
    WHERE r.table_name = parent
);

-- Makes the partition of one day and moves what waits in the default partition there. Attaching
-- leaves readers and writers of other partitions alone, which PARTITION OF would not. The default
-- partition is locked first: nothing of that day may come into it between the move and the end. Who
-- was about to write that day there gets a check violation, and succeeds when it tries again. While it
-- waits for who reads there, all others do: hence the short time-out.
CREATE FUNCTION attach_partition(parent TEXT, day DATE)
RETURNS BOOLEAN
LANGUAGE plpgsql
SET search_path = public, pg_temp
SET lock_timeout = '1s'
AS $$
DECLARE
    partition_name TEXT := parent || '_' || to_char(day, 'YYYY_MM_DD');
    start_bound TEXT := partition_bound(parent, day);
    end_bound TEXT := partition_bound(parent, day + 1);
    key_column TEXT := (SELECT r.key_column FROM retention AS r WHERE r.table_name = parent);
    columns TEXT := (
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)
        FROM pg_attribute
        WHERE attrelid = parent::REGCLASS AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    );
BEGIN
    IF to_regclass(quote_ident(partition_name)) IS NOT NULL THEN
        RETURN FALSE;
    END IF;
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_default');
    IF to_regclass(quote_ident(partition_name)) IS NOT NULL THEN  -- made while we waited
        RETURN FALSE;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', partition_name, parent);
    EXECUTE format(
        'WITH moved AS (DELETE FROM %1$I WHERE %2$I >= %3$L AND %2$I < %4$L RETURNING %5$s)
         INSERT INTO %6$I (%5$s) SELECT %5$s FROM moved',
        parent || '_default', key_column, start_bound, end_bound, columns, partition_name
    );
    EXECUTE format(
        'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        parent, partition_name, start_bound, end_bound
    );
    RETURN TRUE;
END;
$$;

-- For both tables and the days from first to last, as far as they are kept and at most a week
-- ahead; returns how many were made. Nodes call it before they send: it is safe at any time. Where the
-- default partition is being read, it takes the day's rows until the next call. More days at once would
-- need more locks than PostgreSQL has unless it is told.
CREATE FUNCTION create_daily_partitions(first_day DATE, last_day DATE)
RETURNS INTEGER
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
    latest DATE := least(last_day, (now() AT TIME ZONE 'UTC')::DATE + 7);
    parent TEXT;
    day DATE;
    made INTEGER := 0;
BEGIN
    IF last_day - first_day >= 100 THEN
        RAISE EXCEPTION 'at most 100 days at once, not % to %', first_day, last_day;
    END IF;
    FOR parent IN SELECT table_name FROM retention ORDER BY table_name LOOP
        day := greatest(first_day, kept_since(parent));
        WHILE day <= latest LOOP
            BEGIN
                made := made + attach_partition(parent, day)::INTEGER;
            EXCEPTION WHEN lock_not_available THEN
                RAISE WARNING '%_default is being read; % gets its partition the next time', parent, day;
            END;
            day := day + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END;
$$;

-- What the source design runs daily. Without a day: today, the two days to come, and every day that
-- has rows in a default partition.
CREATE FUNCTION create_daily_partition(partition_date DATE DEFAULT NULL)
RETURNS VOID
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
DECLARE
    today DATE := (now() AT TIME ZONE 'UTC')::DATE;
    waiting DATE;
BEGIN
    IF partition_date IS NOT NULL THEN
        PERFORM create_daily_partitions(partition_date, partition_date);
        RETURN;
    END IF;
    PERFORM create_daily_partitions(today, today + 2);
    FOR waiting IN
        SELECT created_date FROM pollution_data_default
        UNION
        SELECT (bucket_start AT TIME ZONE 'UTC')::DATE FROM pollution_aggregates_default
    LOOP
        PERFORM create_daily_partitions(waiting, waiting);
    END LOOP;
END;
$$;

-- Drops all partitions older than `retention` keeps, not only one day's; returns how many. One that
-- somebody reads for longer than the time-out is dropped the next time.
CREATE FUNCTION delete_old_partitions()
RETURNS INTEGER
LANGUAGE plpgsql
SET search_path = public, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
    kept RECORD;
    partition_name TEXT;
    dropped INTEGER := 0;
BEGIN
    FOR kept IN
        SELECT table_name, key_column, kept_since(table_name) AS since
        FROM retention
        ORDER BY table_name
    LOOP
        FOR partition_name IN
            SELECT c.relname
            FROM pg_inherits AS i
            JOIN pg_class AS c ON c.oid = i.inhrelid
            WHERE i.inhparent = kept.table_name::REGCLASS
                AND c.relname ~ '_\d{4}_\d{2}_\d{2}$'
                AND to_date(right(c.relname, 10), 'YYYY_MM_DD') < kept.since
            ORDER BY c.relname
        LOOP
            BEGIN
                EXECUTE format('DROP TABLE %I', partition_name);
                dropped := dropped + 1;
            EXCEPTION WHEN lock_not_available THEN
                RAISE WARNING '% is being read; it is dropped the next time', partition_name;
            END;
        END LOOP;
        EXECUTE format(
            'DELETE FROM %I WHERE %I < %L',
            kept.table_name || '_default', kept.key_column, partition_bound(kept.table_name, kept.since)
        );
        UPDATE retention SET kept_since = kept.since WHERE table_name = kept.table_name;
    END LOOP;
    RETURN dropped;
END;
$$;
