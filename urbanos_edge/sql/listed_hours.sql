-- Per hour of a span: the file that answers for it, and its mark as changed; one may be absent.
SELECT hour, path, since_us, changed_us, revision
FROM counted_hours FULL JOIN changed_hours USING (hour)
WHERE hour BETWEEN ? AND ?
