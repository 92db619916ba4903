/** What the node answers, as far as this page reads it. */

export interface NodeStatus {
  node: { id: string; name: string };
  version: string;
  boot: string;
  demo: boolean;
  aqi_standard: string;
  time_zone: string;
  flush_interval_s: number;
  sensors: { total: number; reporting: number };
  bounds: { minLat: number; maxLat: number; minLng: number; maxLng: number } | null;
}

/** Indexes from `low` to `high` inclusive; the last band of a standard may be open. */
export interface Band {
  level: number;
  word: string;
  low: number;
  high: number | null;
  color: string;
}

export interface Standard {
  id: string;
  name: string;
  publisher: string;
  document: string;
  bands: Band[];
}

export interface LatestReading {
  timestamp: string;
  aqi_value: number | null;
  level: number | null;
  dominant: string | null;
  flags: string[];
}

export interface SensorEntry {
  id: string;
  name: string;
  /** Null until the sensor's place is known. */
  lat: number | null;
  lng: number | null;
  source: string;
  latest: LatestReading | null;
}

export interface SensorList {
  sensors: SensorEntry[];
  count: number;
}

export interface MeasuredValue {
  value: number;
  unit: string;
  aqi?: number | null;
}

export interface SensorDetail extends Omit<SensorEntry, 'latest'> {
  registered_at: string;
  latest: (LatestReading & { source: string; values: Record<string, MeasuredValue> }) | null;
}

/** A row as `/ws` and the grids answer it; quantities stand beside these fields by name. */
export interface ReadingRow {
  sensor_id: string;
  lat: number;
  lng: number;
  aqi_value: number | null;
  level: number | null;
  timestamp: string;
  flags: string[];
  source: string;
  [field: string]: unknown;
}

/** The parts of TileJSON 3 that a map needs. */
export interface TileJson {
  tiles: string[];
  minzoom?: number;
  maxzoom?: number;
  bounds?: [number, number, number, number];
  attribution?: string;
  vector_layers?: { id: string }[];
}
