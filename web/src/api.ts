/** What the page asks of the node; the shapes are the node's own, see `api-types.ts`. */

import type { Answers } from './api-types';
import type { NewReport } from './report-form';
import { SPANS, type SpanName } from './series';

/** The node was reached and refused, or was not reached at all (`status` 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    path: string,
  ) {
    super(`${path}: ${status === 0 ? 'no answer' : status}`);
  }
}

export const api = {
  status: () => ask('/api/v1/status'),
  standard: () => ask('/api/v1/standard'),
  sensors: (limit: number) => ask('/api/v1/sensors', {}, { limit: String(limit) }),
  sensor: (id: string) => ask('/api/v1/sensors/{sensor_id}', { sensor_id: id }),
  history: (id: string, span: SpanName, to_ms: number) =>
    ask('/api/v1/sensors/{sensor_id}/history', { sensor_id: id }, spanQuery(span, to_ms)),
  explain: (id: string) => ask('/api/v1/sensors/{sensor_id}/explain', { sensor_id: id }),
  alerts: () => ask('/api/v1/alerts', {}, { limit: '100' }),
  readingTiles: () => ask('/tiles/readings.json'),
  basemap: () => nullIfMissing(ask('/basemap.json')),
  report: (report: NewReport) => send('/api/v1/reports', report),
};

/** What the map shows of people's reports: GeoJSON, read by the map itself. */
export const REPORTS_ADDRESS = '/api/v1/reports?format=geojson';

function spanQuery(span: SpanName, to_ms: number): Record<string, string> {
  const { length_s, resolution } = SPANS[span];
  const from = new Date(to_ms - length_s * 1000).toISOString();
  return { from, to: new Date(to_ms).toISOString(), resolution };
}

/** GET a path of the node's, with what stands in its braces and after its question mark. */
async function ask<Path extends keyof Answers>(
  path: Path,
  parts: Readonly<Record<string, string>> = {},
  query: Readonly<Record<string, string>> = {},
): Promise<Answers[Path]> {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(parts[name] ?? ''));
  const search = new URLSearchParams(query).toString();
  const address = search ? `${filled}?${search}` : filled;
  const response = await reached(address, { headers: { Accept: 'application/json' } });
  return (await response.json()) as Answers[Path];
}

async function send(address: string, body: unknown): Promise<void> {
  const headers = { 'Content-Type': 'application/json' };
  await reached(address, { method: 'POST', headers, body: JSON.stringify(body) });
}

async function reached(address: string, request: RequestInit): Promise<Response> {
  const response = await fetch(address, request).catch(() => {
    throw new ApiError(0, address);
  });
  if (!response.ok) throw new ApiError(response.status, address);
  return response;
}

async function nullIfMissing<Answer>(answer: Promise<Answer>): Promise<Answer | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}
