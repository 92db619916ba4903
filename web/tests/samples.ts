/** Answers of a node, as short as the tests allow. */

import type { LatestReading, ReadingRow, SensorEntry, Standard } from '../src/api-types';

/** The six bands of EPA-454/B-24-002. */
export const usEpa: Standard = {
  id: 'us-epa-2024',
  name: 'US AQI',
  publisher: 'US Environmental Protection Agency',
  document: 'EPA-454/B-24-002',
  bands: [
    { level: 1, word: 'Good', low: 0, high: 50, color: '#00e400' },
    { level: 2, word: 'Moderate', low: 51, high: 100, color: '#ffff00' },
    {
      level: 3,
      word: 'Unhealthy for Sensitive Groups',
      low: 101,
      high: 150,
      color: '#ff7e00',
    },
    { level: 4, word: 'Unhealthy', low: 151, high: 200, color: '#ff0000' },
    { level: 5, word: 'Very Unhealthy', low: 201, high: 300, color: '#8f3f97' },
    { level: 6, word: 'Hazardous', low: 301, high: null, color: '#7e0023' },
  ],
};

export const NOON = '2026-06-01T12:00:00Z';
export const NOON_MS = Date.parse(NOON);
export const MINUTE_MS = 60_000;

export function latestReading(changes: Partial<LatestReading> = {}): LatestReading {
  return { timestamp: NOON, aqi_value: 42, level: 1, dominant: 'pm25', flags: [], ...changes };
}

export function sensorEntry(id: string, latest: LatestReading | null): SensorEntry {
  return { id, name: `Sensor ${id}`, lat: 60.17, lng: 24.94, source: 'api', latest };
}

export function readingRow(sensorId: string, changes: Partial<ReadingRow> = {}): ReadingRow {
  return {
    sensor_id: sensorId,
    lat: 60.17,
    lng: 24.94,
    aqi_value: 56,
    level: 2,
    timestamp: '2026-06-01T12:01:00Z',
    flags: [],
    source: 'api',
    pm25: 12.3,
    pm25_aqi: 56,
    pm10: 20.1,
    pm10_aqi: 19,
    temperature: 4.5,
    humidity: null,
    ...changes,
  };
}
