/** What the page asks of the node; the shapes are the node's own, see `api-types.ts`. */

import type { Answers } from './api-types';
import { SPANS, type SpanName } from './panel/series';
import type { Place } from './state';

/** The node was reached and refused, or was not reached at all (`status` 0). */
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

/** When answers that the service worker had kept were said; see `worker/shelf.ts`. */
const KEPT_AT = 'X-Kept-At';
/** Asked when news of it have come: no answer from before will do. */
const NOW: RequestInit = { cache: 'no-cache' };
const keptMoments = new WeakMap<object, number>();

export const api = {
  status: (how?: RequestInit) => ask('/api/v1/status', {}, {}, how),
  standard: () => ask('/api/v1/standard'),
  sensors: (limit: number, how?: RequestInit) =>
    ask('/api/v1/sensors', {}, { limit: String(limit) }, how),
  sensor: (id: string) => ask('/api/v1/sensors/{sensor_id}', { sensor_id: id }, {}, NOW),
  history: (id: string, span: SpanName, to_ms: number) =>
    ask('/api/v1/sensors/{sensor_id}/history', { sensor_id: id }, spanQuery(span, to_ms)),
  explain: (id: string) => ask('/api/v1/sensors/{sensor_id}/explain', { sensor_id: id }),
  alerts: (how?: RequestInit) => ask('/api/v1/alerts', {}, { limit: '100' }, how),
  readingTiles: () => ask('/tiles/readings.json'),
  basemap: () => nullIfMissing(ask('/basemap.json')),
  reports: () => ask('/api/v1/reports'),
  report: (report: NewReport) => send('POST', '/api/v1/reports', report),
};

/** What the map shows of people's reports: GeoJSON, read by the map itself. */
export const REPORTS_ADDRESS = '/api/v1/reports?format=geojson';

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
  const answer = (await response.json()) as Answers[Path];
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
  const response = await reached(address, request);
  return (await response.json()) as unknown;
}

async function reached(address: string, request: RequestInit): Promise<Response> {
  const response = await fetch(address, request).catch(() => {
    throw new ApiError(0, address);
  });
  if (response.ok) return response;
  const retryAfter_s = Number(response.headers.get('Retry-After')) || 0;
  throw new ApiError(response.status, address, ...(await saidIn(response)), retryAfter_s);
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
