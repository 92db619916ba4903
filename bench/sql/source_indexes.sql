-- The source design's indexes.
ALTER TABLE pollution_data ADD PRIMARY KEY (id, created_date);
CREATE INDEX idx_pollution_grid_time ON pollution_data (grid_id, timestamp DESC);
CREATE INDEX idx_pollution_location ON pollution_data USING GIST (location);
CREATE INDEX idx_pollution_timestamp ON pollution_data (timestamp DESC);
