/**
 * What the node answers, made of its OpenAPI document; to make it anew, run
 * `.venv/bin/python -m scripts.api_types`.
 */

export interface Alert {
  id: number;
  rule_id: number;
  rule: string;
  when: 'over' | 'under' | 'silent' | 'stuck';
  quantity: string | null;
  threshold: number | null;
  sensor_id: string;
  sensor_name: string;
  lat?: number | null;
  lng?: number | null;
  grid_id?: string | null;
  value?: number | null;
  since?: string | null;
  raised_at: string;
  cleared_at?: string | null;
  cleared_by?: 'value' | 'heard' | 'no_readings' | 'sensor_removed' | 'rule_removed' | null;
}

export interface AlertList {
  alerts: Alert[];
  count: number;
  raised: number;
}

export interface Applied {
  name: string;
  version: number;
  formula: string | null;
  of: Record<string, number>;
  coefficients: Record<string, number> | null;
  document: string | null;
}

export interface Average {
  over: '15min' | '1h' | '8h running' | '24h' | '24h running' | 'NowCast';
  value: number | null;
  hours: number;
  present: number;
  needed: number;
  weights: number[] | null;
  formula: string;
  is_of_index: boolean;
  index: number | null;
  workings: Working[];
}

export interface Averaged {
  unit: string;
  hours: Hour[];
  averages: Average[];
}

export interface Averages {
  until: string;
  nowcast_aqi: number | null;
  overall: Overall;
  quantities: Record<string, Averaged>;
}

export interface AveragingPeriod {
  period: '15min' | '1h' | '8h running' | '24h' | '24h running' | 'NowCast';
  current: '15min' | '1h' | '8h running' | '24h' | '24h running' | 'NowCast';
  unit: string;
  celsius: number | null;
  starts_unit: string;
  starts: BandStart[];
}

export interface BackupState {
  last_at: string | null;
  last_proven_at: string | null;
  proven_readings: number | null;
  has_target: boolean;
  progress: number | null;
  failure: string | null;
}

export interface Band {
  level: number;
  word: string;
  low: number;
  high: number | null;
  color: string;
  assist_color: string;
}

export interface BandStart {
  level: number;
  low: number;
}

export interface Brief {
  until: string;
  aqi_value: number | null;
  level: number | null;
  dominant: string | null;
  nowcast_aqi: number | null;
  nowcast: Record<string, number | null>;
  mean_24h: Record<string, number | null>;
}

export interface Buckets {
  sensor_id: string;
  resolution: string;
  from: string;
  to: string;
  time_zone: string;
  at: string[];
  series: Record<string, Series>;
  truncated?: boolean;
}

export interface DetailedReading {
  values: Record<string, MeasuredValue>;
  timestamp: string;
  aqi_value: number | null;
  level: number | null;
  dominant: string | null;
  flags: string[];
  source: string;
  lat: number;
  lng: number;
  reported_aqi: number | null;
  received_at?: string;
}

export interface Disbelieved {
  sender: string;
  sensor_id: string;
  rule: 'token' | 'basic' | 'address' | 'open';
  messages: number;
  address: string;
  at: string;
}

export interface DiskState {
  free_bytes: number;
  is_low: boolean;
  growth_bytes_per_day: number | null;
  full_in_days: number | null;
}

export interface Explanation {
  sensor_id: string;
  standard: StandardNamed;
  reading: ReadingTold;
  values: Record<string, ValueTold>;
  quality: Flags;
  averages: Averages;
  index: Index;
  grading: Grading;
}

export interface Extent {
  minLat: number;
  maxLat: number;
  minLng: number;
  maxLng: number;
}

export interface Flagged {
  flag: string;
  says: string;
}

export interface Flags {
  flags: Flagged[];
  is_counted: boolean;
  says: string;
}

export interface Found {
  kind: string;
  name: string;
  serial: string;
  sender: string;
  sensor_id: string | null;
  address: string;
  port: number;
  url: string | null;
  model: string;
  firmware: string;
  first_seen_at: string;
  last_seen_at: string;
  is_here: boolean;
  is_asked: boolean;
  misses: number;
}

export interface FoundList {
  devices: Found[];
  here: number;
  known: number;
  turned_away: number;
  limit: number;
}

export interface Grading {
  stored: string | null;
  in_use: string;
  is_same: boolean;
  stored_aqi_value: number | null;
  says: string;
}

export interface Hour {
  at: string;
  mean: number | null;
  count: number;
  flagged: number;
}

export interface Index {
  says: string;
  pollutants: Record<string, Pollutant>;
  overall: Overall;
}

export interface LatestReading {
  timestamp: string;
  aqi_value: number | null;
  level: number | null;
  dominant: string | null;
  flags: string[];
  source: string;
  lat: number;
  lng: number;
  reported_aqi: number | null;
  received_at?: string;
}

export interface Letter {
  id: number;
  rejected_at: string;
  code: string;
  message: string;
  payload: unknown;
}

export interface LetterList {
  letters: Letter[];
  count: number;
}

export interface Line {
  concentration_low: number;
  concentration_high: number | null;
  index_low: number;
  index_high: number;
}

export interface LoggedIn {
  token_id: number;
  scope: 'sensor' | 'gateway' | 'operator' | 'admin' | 'sync';
  name: string;
}

export interface MeasuredValue {
  value: number;
  unit: string;
  aqi: number | null;
}

export interface NodeName {
  id: string;
  name: string;
}

export interface NodeStatus {
  node: NodeName;
  version: string;
  boot: string;
  now: string;
  demo: boolean;
  aqi_standard: string;
  time_zone: string;
  flush_interval_s: number;
  sensors: SensorCount;
  bounds: Extent | null;
  started_at: string;
  clock_in_doubt_since: string | null;
  faults: string[];
  quarantined: number;
  backup: BackupState;
  disk: DiskState;
  sync: SyncState;
  pulls: PullStates;
  totals: Totals;
  summary: Summary;
}

export interface Overall {
  aqi_value: number | null;
  dominant: string | null;
  level: number | null;
  word: string | null;
  word_key: string | null;
  color: string | null;
  assist_color: string | null;
}

export interface Pollutant {
  unit: string;
  concentration: number | null;
  workings: Working[];
  index: number | null;
}

export interface PullState {
  name: string;
  kind: string;
  succeeded_at: string | null;
  failures: number;
  failure: string | null;
}

export interface PullStates {
  sources: PullState[];
  found: number;
  failing: number;
}

export interface ReadingTold {
  id: string;
  timestamp: string;
  received_at: string;
  clock: 'sensor' | 'node' | 'node_in_doubt';
  says: string;
  source: string;
  lat: number;
  lng: number;
}

export interface Readings {
  sensor_id: string;
  resolution: string;
  from: string;
  to: string;
  time_zone: string;
  at: string[];
  flags: string[][];
  series: Record<string, Values>;
  truncated: boolean;
  next_from: string | null;
}

export interface ReportList {
  reports: Shown[];
  count: number;
}

export interface Row {
  id: string;
  grid_id: string;
  sensor_id: string;
  lat: number;
  lng: number;
  aqi_value: number | null;
  timestamp: string;
  received_at: string;
  source: string;
  pollution_type: string;
  level: number | null;
  pm25_aqi: number | null;
  pm10_aqi: number | null;
  o3_aqi: number | null;
  no2_aqi: number | null;
  so2_aqi: number | null;
  co_aqi: number | null;
  reported_aqi: number | null;
  pm1: number | null;
  pm25: number | null;
  pm10: number | null;
  o3: number | null;
  no2: number | null;
  so2: number | null;
  co: number | null;
  temperature: number | null;
  humidity: number | null;
  pressure: number | null;
  flags: string[];
  correction?: string;
  pm1_raw?: number;
  pm25_raw?: number;
  pm10_raw?: number;
  o3_raw?: number;
  no2_raw?: number;
  so2_raw?: number;
  co_raw?: number;
  temperature_raw?: number;
  humidity_raw?: number;
  pressure_raw?: number;
}

export interface RuleList {
  rules: ShownRule[];
  count: number;
}

export interface Sender {
  sender: string;
  protocol: string;
  address: string;
  first_seen_at: string;
  last_seen_at: string;
  messages: number;
  kept: number;
  bytes: number;
  dropped: number;
  last: unknown;
}

export interface SenderList {
  senders: Sender[];
  count: number;
  ignored: Record<string, string>;
  disbelieved: Disbelieved[];
  turned_away: TurnedAway[];
  limits: Record<string, number>;
}

export interface SensorCount {
  total: number;
  reporting: number;
}

export interface SensorDetail {
  id: string;
  name: string;
  lat: number | null;
  lng: number | null;
  source: string;
  registered_at: string;
  latest: DetailedReading | null;
  averages: Brief;
}

export interface SensorEntry {
  id: string;
  name: string;
  lat: number | null;
  lng: number | null;
  source: string;
  registered_at: string;
  latest: LatestReading | null;
}

export interface SensorList {
  sensors: SensorEntry[];
  count: number;
  total: number;
}

export interface Sentence {
  level: 'well' | 'look' | 'act';
  code: 'flush_failed' | 'disk_low' | 'spool_full' | 'uptime_kept' | 'uptime_broken' | 'sensors_none' | 'sensors_silent' | 'sensors_reporting' | 'senders_waiting' | 'disk_refusing' | 'disk_filling' | 'disk_free' | 'files_damaged' | 'backup_failed' | 'backup_unproven' | 'backup_old' | 'backup_proven' | 'clock_in_doubt' | 'broker_failing' | 'https_failing' | 'merging_failing' | 'centre_unreached' | 'sources_failing' | 'receivers_failing' | 'reports_waiting';
  text: string;
  details: Record<string, string | number>;
}

export interface Series {
  unit: string;
  count: number[];
  avg: (number | null)[];
  min: (number | null)[];
  max: (number | null)[];
  flagged: number[];
}

export interface SettingList {
  settings: ShownSetting[];
  count: number;
}

export interface Shown {
  id: number;
  kind: 'smoke' | 'burning' | 'traffic' | 'industrial' | 'chemical' | 'dust' | 'sewage' | 'other';
  note: string;
  lat: number;
  lng: number;
  at: string;
}

export interface ShownRule {
  when: 'over' | 'under' | 'silent' | 'stuck';
  quantity?: string | null;
  threshold?: number | null;
  margin?: number;
  for_s?: number;
  clear_for_s?: number;
  sensor_id?: string | null;
  grid_id?: string | null;
  bbox?: number[] | null;
  name?: string;
  url?: string | null;
  id: number;
  created_at: string;
  raised: number;
}

export interface ShownSetting {
  name: string;
  value: unknown;
  source: 'default' | 'file' | 'environment' | 'flag';
  is_secret: boolean;
}

export interface Standard {
  id: string;
  name: string;
  publisher: string;
  document: string;
  date: string;
  version: string;
  assist: string;
  pollutants: string[];
  periods: Record<string, AveragingPeriod[]>;
  bands: Band[];
}

export interface StandardNamed {
  id: string;
  version: string;
  name: string;
  publisher: string;
  document: string;
  date: string;
}

export interface Summary {
  level: 'well' | 'look' | 'act';
  headline: string;
  sentences: Sentence[];
}

export interface SyncState {
  state: 'off' | 'starting' | 'failing' | 'sending' | 'in_sync';
  centre: string | null;
  mode: string;
  failure: string | null;
  failing_since: string | null;
  heard_at: string | null;
  pending_hours: number;
  lag_s: number;
}

export interface TileJson {
  tiles: string[];
  format?: string;
  schema?: 'openmaptiles' | 'protomaps' | 'protomaps-old' | 'raster' | 'other';
  minzoom: number;
  maxzoom: number;
  bounds?: number[];
  attribution: string;
  vector_layers?: VectorLayer[];
}

export interface Totals {
  stored: number;
  duplicates: number;
  rejected: number;
  dead_letters: number;
}

export interface TurnedAway {
  address: string;
  door: string;
  device: string;
  status: number;
  message: string;
  times: number;
  first_at: string;
  last_at: string;
}

export interface ValueTold {
  unit: string;
  raw: number;
  correction: Applied | null;
  value: number;
}

export interface Values {
  unit: string;
  value: (number | null)[];
}

export interface VectorLayer {
  id: string;
}

export interface Working {
  period: '15min' | '1h' | '8h running' | '24h' | '24h running' | 'NowCast';
  current: '15min' | '1h' | '8h running' | '24h' | '24h running' | 'NowCast';
  concentration: number;
  unit: string;
  celsius: number | null;
  per_unit: number;
  rounding: 'down' | 'half up';
  step: number;
  rounded: number;
  line: Line | null;
  is_beyond: boolean;
  highest: number;
  formula: string;
  index: number | null;
}

export interface Answers {
  '/api/v1/alert-rules': RuleList;
  '/api/v1/alerts': AlertList;
  '/api/v1/dead-letters': LetterList;
  '/api/v1/discovered': FoundList;
  '/api/v1/inbox': SenderList;
  '/api/v1/reports': ReportList;
  '/api/v1/sensors': SensorList;
  '/api/v1/sensors/{sensor_id}': SensorDetail;
  '/api/v1/sensors/{sensor_id}/explain': Explanation;
  '/api/v1/sensors/{sensor_id}/history': Readings | Buckets;
  '/api/v1/session': LoggedIn;
  '/api/v1/settings': SettingList;
  '/api/v1/standard': Standard;
  '/api/v1/status': NodeStatus;
  '/basemap.json': TileJson;
  '/tiles/readings.json': TileJson;
}
