/** Answers of a node, as short as the tests allow. */

import type { LatestReading, Row, SensorEntry, Standard } from '../src/api-types';

/** The six bands of EPA-454/B-24-002. */
export const usEpa: Standard = {
  id: 'us-epa-2024',
  name: 'US AQI',
  publisher: 'US Environmental Protection Agency',
  document: 'EPA-454/B-24-002',
  date: '2024-05',
  version: '1',
  assist: 'EPA-454/B-24-002, table 3',
  pollutants: ['pm25', 'pm10', 'o3', 'no2', 'so2', 'co'],
  periods: {},
  bands: [
    { level: 1, word: 'Good', low: 0, high: 50, color: '#00e400', assist_color: '#9eff91' },
    { level: 2, word: 'Moderate', low: 51, high: 100, color: '#ffff00', assist_color: '#ffc905' },
    {
      level: 3,
      word: 'Unhealthy for Sensitive Groups',
      low: 101,
      high: 150,
      color: '#ff7e00',
      assist_color: '#ff8205',
    },
    { level: 4, word: 'Unhealthy', low: 151, high: 200, color: '#ff0000', assist_color: '#f02200' },
    {
      level: 5,
      word: 'Very Unhealthy',
      low: 201,
      high: 300,
      color: '#8f3f97',
      assist_color: '#890997',
    },
    {
      level: 6,
      word: 'Hazardous',
      low: 301,
      high: null,
      color: '#7e0023',
      assist_color: '#640015',
    },
  ],
};

export const NOON = '2026-06-01T12:00:00Z';
export const NOON_MS = Date.parse(NOON);
export const MINUTE_MS = 60_000;

export function latestReading(changes: Partial<LatestReading> = {}): LatestReading {
  return {
    timestamp: NOON,
    aqi_value: 42,
    level: 1,
    dominant: 'pm25',
    flags: [],
    source: 'api',
    lat: 60.17,
    lng: 24.94,
    reported_aqi: null,
    ...changes,
  };
}

export function sensorEntry(id: string, latest: LatestReading | null): SensorEntry {
  return {
    id,
    name: `Sensor ${id}`,
    lat: 60.17,
    lng: 24.94,
    source: 'api',
    registered_at: NOON,
    latest,
  };
}

export function readingRow(sensorId: string, changes: Partial<Row> = {}): Row {
  return {
    id: '00000000-0000-5000-8000-000000000000',
    grid_id: 'z12-x2331-y1185',
    sensor_id: sensorId,
    lat: 60.17,
    lng: 24.94,
    aqi_value: 56,
    level: 2,
    timestamp: '2026-06-01T12:01:00Z',
    flags: [],
    source: 'api',
    received_at: '2026-06-01T12:01:01Z',
    pollution_type: 'air',
    reported_aqi: null,
    pm25: 12.3,
    pm25_aqi: 56,
    pm10: 20.1,
    pm10_aqi: 19,
    temperature: 4.5,
    ...{ pm1: null, o3: null, no2: null, so2: null, co: null, humidity: null, pressure: null },
    ...{ o3_aqi: null, no2_aqi: null, so2_aqi: null, co_aqi: null },
    ...changes,
  };
}
