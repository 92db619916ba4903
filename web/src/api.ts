import type { NodeStatus, SensorDetail, SensorList, Standard, TileJson } from './api-types';

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
  status: () => getJson<NodeStatus>('/api/v1/status'),
  standard: () => getJson<Standard>('/api/v1/standard'),
  sensors: (limit: number) => getJson<SensorList>(`/api/v1/sensors?limit=${limit}`),
  sensor: (id: string) => getJson<SensorDetail>(`/api/v1/sensors/${encodeURIComponent(id)}`),
  readingTiles: () => getJson<TileJson>('/tiles/readings.json'),
  basemap: () => nullIfMissing(getJson<TileJson>('/basemap.json')),
};

async function getJson<Answer>(path: string): Promise<Answer> {
  const response = await fetch(path, { headers: { Accept: 'application/json' } }).catch(() => {
    throw new ApiError(0, path);
  });
  if (!response.ok) throw new ApiError(response.status, path);
  return (await response.json()) as Answer;
}

async function nullIfMissing<Answer>(answer: Promise<Answer>): Promise<Answer | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}
