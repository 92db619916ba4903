-- Give up $surplus letters: of each receiver those furthest behind its newest go first, so that
-- whoever has the most waiting loses the most.
DELETE FROM outbox
WHERE id IN (
    SELECT id
    FROM (
        SELECT id, row_number() OVER (PARTITION BY receiver ORDER BY id DESC) AS behind
        FROM outbox
    )
    ORDER BY behind DESC, id
    LIMIT $surplus
)
