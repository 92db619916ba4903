/** What the page asks of the node; the shapes are the node's own, see `api-types.ts`. */

import type { AlertList, Answers } from './api-types';
import { SPANS, type SpanName } from './panel/series';
import type { Place } from './state';

/** The node was reached and refused, or it did not answer, or not in time (`status` 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    path: string,
    /** The node's own words, in English; empty when it had none. */
    readonly said = '',
    /** What stays the same of them; empty when it had none. */
    readonly code = '',
    /** For how long it wants to be left alone; 0 when it did not say. */
    readonly retryAfter_s = 0,
  ) {
    super(`${path}: ${status === 0 ? 'no answer' : status}`);
  }
}

/** What somebody smells or sees. */
export interface NewReport extends Place {
  readonly kind: string;
  readonly note: string;
}

/** Whether the node answers only those who log in, and nobody here has, or no longer. */
export function isUnauthorized(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}

/** When answers that the service worker had kept were said; see `worker/shelf.ts`. */
const KEPT_AT = 'X-Kept-At';
/** Asked when news of it have come: no answer from before will do. */
export const NOW: RequestInit = { cache: 'no-cache' };
/** Asked where only how the node is now will do: nothing that was kept from before is an answer. */
export const OF_THE_NODE: RequestInit = { cache: 'no-store' };
/** A line can be dead without anybody saying so: what has not come by then is asked for again. */
const PATIENCE_MS = 20_000;
/** What has thousands of rows, or is done meanwhile, may take longer. */
const LONG_PATIENCE_MS = 60_000;
/** As many alerts as are usually raised, and the most that the node lists. */
const [USUAL_ALERTS, MOST_ALERTS] = [100, 10_000];
const keptMoments = new WeakMap<object, number>();

export const api = {
  status: (how?: RequestInit) => ask('/api/v1/status', {}, {}, how),
  standard: (how?: RequestInit) => ask('/api/v1/standard', {}, {}, how),
  sensors: (limit: number, how?: RequestInit) =>
    ask('/api/v1/sensors', {}, { limit: String(limit) }, { ...patient(), ...how }),
  sensor: (id: string) => ask('/api/v1/sensors/{sensor_id}', { sensor_id: id }, {}, NOW),
  history: (id: string, span: SpanName, to_ms: number) =>
    ask(
      '/api/v1/sensors/{sensor_id}/history',
      { sensor_id: id },
      spanQuery(span, to_ms),
      patient(),
    ),
  explain: (id: string) => ask('/api/v1/sensors/{sensor_id}/explain', { sensor_id: id }),
  alerts: raisedAlerts,
  readingTiles: () => ask('/tiles/readings.json'),
  basemap: () => nullIfMissing(ask('/basemap.json')),
  reports: () => ask('/api/v1/reports', {}, {}, NOW),
  report: (report: NewReport) => send('POST', '/api/v1/reports', report),
};

/** What the map shows of people's reports: GeoJSON, read by the map itself. */
export const REPORTS_ADDRESS = '/api/v1/reports?format=geojson';

/**
 * All that are raised, before some that were cleared: a hundred sensors that fell silent must not
 * hide the one alert that is about the air.
 */
async function raisedAlerts(how?: RequestInit): Promise<AlertList> {
  const upTo = (limit: number) =>
    ask('/api/v1/alerts', {}, { limit: String(limit) }, { ...patient(), ...how });
  const first = await upTo(USUAL_ALERTS);
  return first.raised > first.count ? upTo(Math.min(first.raised, MOST_ALERTS)) : first;
}

function patient(): RequestInit {
  return { signal: AbortSignal.timeout(LONG_PATIENCE_MS) };
}

function spanQuery(span: SpanName, to_ms: number): Record<string, string> {
  const { length_s, resolution } = SPANS[span];
  const from = new Date(to_ms - length_s * 1000).toISOString();
  return { from, to: new Date(to_ms).toISOString(), resolution };
}

/** GET a path of the node's, with what stands in its braces and after its question mark. */
export async function ask<Path extends keyof Answers>(
  path: Path,
  parts: Readonly<Record<string, string>> = {},
  query: Readonly<Record<string, string>> = {},
  how: RequestInit = {},
): Promise<Answers[Path]> {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(parts[name] ?? ''));
  const search = new URLSearchParams(query).toString();
  const address = search ? `${filled}?${search}` : filled;
  const response = await reached(address, { ...how, headers: { Accept: 'application/json' } });
  const answer = (await bodyOf(response, address)) as Answers[Path];
  const keptAt = response.headers.get(KEPT_AT);
  if (keptAt !== null) keptMoments.set(answer, Number(keptAt));
  return answer;
}

/** When the node said this, in ms since 1970: just now, unless it was kept from an earlier time. */
export function saidAt(answer: object): number {
  return keptMoments.get(answer) ?? Date.now();
}

/** Change something; the answer's shape is the caller's to know. */
export async function send(method: 'POST' | 'DELETE', address: string, body?: unknown) {
  const headers = { 'Content-Type': 'application/json' };
  const request = body === undefined ? { method } : { method, headers, body: JSON.stringify(body) };
  return bodyOf(await reached(address, { ...patient(), ...request }), address);
}

async function reached(address: string, request: RequestInit): Promise<Response> {
  const limited = { signal: AbortSignal.timeout(PATIENCE_MS), ...request };
  const response = await fetch(address, limited).catch(() => {
    throw new ApiError(0, address);
  });
  if (response.ok) return response;
  const retryAfter_s = Number(response.headers.get('Retry-After')) || 0;
  throw new ApiError(response.status, address, ...(await saidIn(response)), retryAfter_s);
}

/** An answer may break off, or stand still, after its head. */
async function bodyOf(response: Response, address: string): Promise<unknown> {
  return response.json().catch(() => {
    throw new ApiError(0, address);
  });
}

/** The message and the code of a refusal. */
async function saidIn(response: Response): Promise<[string, string]> {
  const body = (await response.json().catch(() => null)) as {
    error?: { message?: unknown; code?: unknown };
  } | null;
  return [String(body?.error?.message ?? ''), String(body?.error?.code ?? '')];
}

async function nullIfMissing<Answer>(answer: Promise<Answer>): Promise<Answer | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}
