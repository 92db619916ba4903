/** What the page knows, and the pure steps from one state of knowledge to the next. */

import type {
  Alert,
  LatestReading,
  MeasuredValue,
  NodeStatus,
  Row,
  SensorDetail,
  SensorEntry,
  Standard,
} from './api-types';
import { QUANTITIES } from './quantities';
import { bandOfIndex, type Palette } from './standard';

/** The most sensors the page keeps. The map, which draws tiles, shows those beyond it all the same. */
export const SENSOR_LIMIT = 10_000;

/** A link that is back sooner than this was not worth a word. */
const LINK_PATIENCE_MS = 2000;

/** A sensor is stale when its latest reading is older than this. */
export const STALE_AFTER_S = 15 * 60;

/** The latest reading of a sensor that arrives later than this was stamped by a doubtful clock. */
const LATE_AFTER_MS = 3_600_000;

/** A sensor's latest reading: `at` in ms since 1970, `index` null when nothing could be graded. */
export interface Latest {
  readonly at: number;
  readonly index: number | null;
  readonly level: number | null;
  readonly dominant: string | null;
  readonly flags: readonly string[];
  /** When it arrived, where that is known. */
  readonly arrivedAt?: number;
}

/** Degrees, WGS 84. */
export interface Place {
  readonly lat: number;
  readonly lng: number;
}

export interface Sensor {
  readonly id: string;
  readonly name: string;
  /** Where its latest reading was measured, as on the map; of a silent one, where it is registered. */
  readonly place: Place | null;
  readonly source: string;
  readonly latest: Latest | null;
}

/** One quantity as the panel shows it; `index` is its own sub-index, where it has one. */
export interface Measured {
  readonly quantity: string;
  readonly value: number;
  readonly unit: string;
  readonly index: number | null;
}

/** The chosen sensor. `values` are null until they are known. */
export interface Selection {
  readonly id: string;
  readonly values: readonly Measured[] | null;
  /** The index by the averages that the standard is defined over; null where hours are missing. */
  readonly averagedIndex: number | null;
  readonly problem: 'unknown' | 'unreachable' | null;
}

export type Link = 'connecting' | 'live' | 'lost';

export interface State {
  readonly status: NodeStatus | null;
  readonly standard: Standard | null;
  /** Bounded: what the sensor list answers, at most `SENSOR_LIMIT`. */
  readonly sensors: ReadonlyMap<string, Sensor>;
  readonly selection: Selection | null;
  readonly link: Link;
  /** Whether the node shows its readings only to those who log in, and nobody here has. */
  readonly isBarred: boolean;
  /** Since when the link has been lost, in ms since 1970. */
  readonly lostAt: number | null;
  /** When the node last told us anything, in ms since 1970. */
  readonly heardAt: number | null;
  /** What stands open at the side when no sensor is chosen. */
  readonly side: 'list' | 'report' | null;
  /** Raised alerts that somebody in the street should know of, the newest first. */
  readonly alerts: readonly Alert[];
  /** Those that the reader has put away. */
  readonly seenAlerts: ReadonlySet<number>;
  /** The pollutant whose own index is shown; none: the overall index. */
  readonly pollutant: string | null;
  /** The hour since 1970 that the map shows; none: what is known now. */
  readonly replayedHour: number | null;
  readonly palette: Palette;
  /** Whether the map shows what people reported. */
  readonly reportsShown: boolean;
}

export const initialState: State = {
  status: null,
  standard: null,
  sensors: new Map(),
  selection: null,
  link: 'connecting',
  isBarred: false,
  lostAt: null,
  heardAt: null,
  side: null,
  alerts: [],
  seenAlerts: new Set(),
  pollutant: null,
  replayedHour: null,
  palette: 'standard',
  reportsShown: false,
};

export const byName = new Intl.Collator();

/** Whether the clock that a reading has its time from seems to be behind. */
export function isLate({ at, arrivedAt }: Latest): boolean {
  return arrivedAt !== undefined && arrivedAt - at > LATE_AFTER_MS;
}

export type Condition = 'fresh' | 'flagged' | 'stale' | 'stale-flagged';

export function withSensorList(state: State, entries: readonly SensorEntry[]): State {
  const sensors = new Map(entries.map((entry) => [entry.id, newer(sensorOf(entry), state)]));
  return { ...state, sensors };
}

/** Take in rows of a live update; one older than what is known changes nothing. */
export function withReadings(state: State, rows: readonly Row[]): State {
  const sensors = new Map(state.sensors);
  for (const row of rows) {
    if (!sensors.has(row.sensor_id) && sensors.size >= SENSOR_LIMIT) continue;
    sensors.set(row.sensor_id, newer(sensorOfRow(row, state), state));
  }
  const chosen = rows.findLast((row) => row.sensor_id === state.selection?.id);
  return { ...state, sensors, selection: chosen ? refreshed(state, chosen) : state.selection };
}

export function withSelection(state: State, id: string | null): State {
  if (state.selection?.id === id) return state;
  return {
    ...state,
    selection: id === null ? null : { id, values: null, averagedIndex: null, problem: null },
  };
}

/**
 * Take in a sensor's full answer, unless another sensor was chosen meanwhile. Values of a reading
 * that is older than the known one are not shown: the index above them would not be theirs.
 */
export function withDetail(state: State, detail: SensorDetail): State {
  const told = sensorOf(detail);
  const sensor = newer(told, state);
  const sensors = new Map(state.sensors).set(sensor.id, sensor);
  const { selection } = state;
  if (selection?.id !== detail.id) return { ...state, sensors };
  if (sensor.latest !== told.latest) {
    return { ...state, sensors, selection: { ...selection, problem: null } };
  }
  const values = measuredValues(detail.latest?.values ?? {});
  const averagedIndex = nonNegative(detail.averages.aqi_value);
  return { ...state, sensors, selection: { id: detail.id, values, averagedIndex, problem: null } };
}

export function withProblem(state: State, id: string, problem: Selection['problem']): State {
  if (state.selection?.id !== id) return state;
  return { ...state, selection: { ...state.selection, problem } };
}

export function withLink(state: State, link: Link, now_ms: number): State {
  const lostAt = link === 'lost' ? (state.lostAt ?? now_ms) : null;
  return { ...state, link, lostAt, isBarred: state.isBarred && link !== 'live' };
}

export function withBar(state: State, isBarred: boolean): State {
  return state.isBarred === isBarred ? state : { ...state, isBarred };
}

/** The latest reading with the index that the map shows: of one pollutant, if one is chosen. */
export function shownLatest(state: State, { id, latest }: Sensor): Latest | null {
  const { pollutant, standard, selection } = state;
  if (!latest || pollutant === null || !standard) return latest;
  const values = selection?.id === id ? (selection.values ?? []) : [];
  const index = values.find(({ quantity }) => quantity === pollutant)?.index ?? null;
  const level = index === null ? null : (bandOfIndex(standard, index)?.level ?? null);
  return { ...latest, index, level };
}

/** Whether the reader should know that nothing new arrives. */
export function isCutOff(state: State, now_ms: number): boolean {
  return state.lostAt !== null && now_ms - state.lostAt >= LINK_PATIENCE_MS;
}

export function conditionOf(latest: Latest, now_ms: number): Condition {
  const stale = now_ms - latest.at > STALE_AFTER_S * 1000;
  if (latest.flags.length > 0) return stale ? 'stale-flagged' : 'flagged';
  return stale ? 'stale' : 'fresh';
}

/** The median index of the sensors that are fresh and unflagged, and how many these are. */
export function cityIndex(state: State, now_ms: number): { index: number; count: number } | null {
  const indexes: number[] = [];
  for (const { latest } of state.sensors.values()) {
    if (latest?.index == null || conditionOf(latest, now_ms) !== 'fresh') continue;
    indexes.push(latest.index);
  }
  if (indexes.length === 0) return null;
  return { index: Math.round(median(indexes)), count: indexes.length };
}

/** How many of the numbers on this page are simulated. */
export type Simulation = 'all' | 'some' | 'none';

export function simulation(state: State): Simulation {
  if (state.status?.demo) return 'all';
  let simulated = 0;
  for (const sensor of state.sensors.values()) if (sensor.source === 'simulated') simulated++;
  if (simulated === 0) return 'none';
  return simulated === state.sensors.size ? 'all' : 'some';
}

/** The sensors whose name or id contains `filter`, worst current index first. */
export function listedSensors(state: State, filter: string, now_ms: number): Sensor[] {
  const wanted = filter.trim().toLocaleLowerCase();
  const matches = (sensor: Sensor) =>
    sensor.name.toLocaleLowerCase().includes(wanted) || sensor.id.toLowerCase().includes(wanted);
  const rank = ({ latest }: Sensor) =>
    latest && conditionOf(latest, now_ms) === 'fresh' ? (latest.index ?? -1) : -2;
  return [...state.sensors.values()]
    .filter(matches)
    .sort((a, b) => rank(b) - rank(a) || byName.compare(a.name, b.name));
}

/** Other sensors, the nearest first; by name when the place of this one is not known. */
export function nearestSensors(state: State, id: string, most: number): Sensor[] {
  const here = state.sensors.get(id)?.place ?? null;
  const others = [...state.sensors.values()].filter((sensor) => sensor.id !== id);
  const distance = ({ place }: Sensor) => (here && place ? apart(here, place) : Infinity);
  const away = new Map(others.map((sensor) => [sensor.id, distance(sensor)]));
  return others
    .sort((a, b) => (away.get(a.id) ?? 0) - (away.get(b.id) ?? 0) || byName.compare(a.name, b.name))
    .slice(0, most);
}

/** A measure to sort places by: squared, in degrees of latitude, for what lies close together. */
function apart(a: Place, b: Place): number {
  const east = (a.lng - b.lng) * Math.cos((a.lat * Math.PI) / 180);
  return east ** 2 + (a.lat - b.lat) ** 2;
}

function newer(sensor: Sensor, state: State): Sensor {
  const known = state.sensors.get(sensor.id);
  if (!known?.latest || (sensor.latest && sensor.latest.at >= known.latest.at)) return sensor;
  return { ...sensor, place: known.place, latest: known.latest };
}

export function sensorOf(entry: SensorEntry | SensorDetail): Sensor {
  const { id, name, source, latest } = entry;
  const { lat, lng } = latest ?? entry;
  const place = lat === null || lng === null ? null : { lat, lng };
  return { id, name: name || id, place, source, latest: latest && latestOf(latest) };
}

/** A row has no name; a sensor not seen before goes by its id until the list is read again. */
function sensorOfRow(row: Row, state: State): Sensor {
  const { sensor_id: id, lat, lng, source } = row;
  const name = state.sensors.get(id)?.name ?? id;
  const dominant = dominantOf(row);
  return { id, name, place: { lat, lng }, source, latest: latestOf({ ...row, dominant }) };
}

function latestOf(reading: LatestReading): Latest {
  const { timestamp, aqi_value, level, dominant, flags, received_at } = reading;
  return {
    at: Date.parse(timestamp),
    index: nonNegative(aqi_value),
    level: nonNegative(level),
    dominant,
    flags: flags ?? [],
    ...(received_at && { arrivedAt: Date.parse(received_at) }),
  };
}

/** The quantity whose sub-index is the reading's index, in the order that settles a tie. */
function dominantOf(row: Row): string | null {
  const graded = QUANTITIES.find(({ name }) => subIndex(row, name) === row.aqi_value);
  return row.aqi_value === null ? null : (graded?.name ?? null);
}

function refreshed(state: State, row: Row): Selection | null {
  const known = state.sensors.get(row.sensor_id)?.latest;
  if (!state.selection || (known && Date.parse(row.timestamp) < known.at)) return state.selection;
  return { ...state.selection, values: rowValues(row), problem: null };
}

function rowValues(row: Row): Measured[] {
  return QUANTITIES.flatMap(({ name, unit }) => {
    const value = row[name];
    if (typeof value !== 'number') return [];
    return [{ quantity: name, value, unit, index: subIndex(row, name) }];
  });
}

/** The index of one quantity of a row; null where it has none. */
function subIndex(row: Row, name: string): number | null {
  return nonNegative(row[`${name}_aqi` as keyof Row]);
}

function measuredValues(values: Record<string, MeasuredValue>): Measured[] {
  const order: string[] = QUANTITIES.map(({ name }) => name);
  const place = (name: string) => (order.includes(name) ? order.indexOf(name) : order.length);
  return Object.entries(values)
    .sort(([a], [b]) => place(a) - place(b))
    .map(([quantity, { value, unit, aqi }]) => ({
      quantity,
      value,
      unit,
      index: nonNegative(aqi),
    }));
}

function nonNegative(value: unknown): number | null {
  return typeof value === 'number' && value >= 0 ? value : null;
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? 0;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? 0) + upper) / 2 : upper;
}
