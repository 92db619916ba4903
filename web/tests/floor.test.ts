import { validateStyleMin } from '@maplibre/maplibre-gl-style-spec';
import { describe, expect, test } from 'vitest';

import type { TileJson } from '../src/api-types';
import { graticule } from '../src/map/graticule';
import { buildStyle, type StyleInput } from '../src/map/style';
import { usEpa } from './samples';

const input: StyleInput = {
  theme: 'dark',
  language: 'de',
  basemap: null,
  readings: {
    tiles: ['/tiles/readings/{z}/{x}/{y}.mvt'],
    minzoom: 0,
    maxzoom: 16,
    attribution: '',
  },
  standard: usEpa,
  pollutant: null,
  hour: null,
  reports: false,
  now_s: 1_780_000_000,
};

function basemap(schema: NonNullable<TileJson['schema']>): TileJson {
  return { tiles: ['/basemap/{z}/{x}/{y}'], schema, minzoom: 0, maxzoom: 14, attribution: '' };
}

describe('lines of degrees', () => {
  const label = ({ properties }: { properties: unknown }) =>
    (properties as { label: string }).label;

  test('are five or so across the view, and say what they stand for', () => {
    const view = { minLat: 60.1, maxLat: 60.3, minLng: 24.9, maxLng: 25.35 };
    expect(graticule(view).features.map(label)).toEqual(
      [
        '24.90° E',
        '25.00° E',
        '25.10° E',
        '25.20° E',
        '25.30° E',
        '60.10° N',
        '60.20° N',
        '60.30° N',
      ].map((text) => text.replace('0°', '°')),
    );
  });

  test('go on beyond the antimeridian', () => {
    const view = { minLat: -1, maxLat: 1, minLng: 170, maxLng: 190 };
    expect(graticule(view).features.map(label)).toEqual(
      expect.arrayContaining(['175° E', '180° W', '175° W', '0°']),
    );
  });
});

describe('the ground', () => {
  test.each(['openmaptiles', 'protomaps', 'protomaps-old', 'raster', 'other'] as const)(
    'of %s tiles is a style that MapLibre takes',
    (schema) => {
      expect(validateStyleMin(buildStyle({ ...input, basemap: basemap(schema) }))).toEqual([]);
    },
  );

  test.each([
    ['protomaps', 'roads'],
    ['protomaps-old', 'roads'],
    ['openmaptiles', 'transportation'],
  ] as const)('of %s tiles has streets from the layer %s', (schema, layer) => {
    const { layers } = buildStyle({ ...input, basemap: basemap(schema) });
    const streets = layers.filter((each) => each.id.startsWith('road-'));
    expect(streets.length).toBeGreaterThan(5);
    expect(streets.every((each) => 'source-layer' in each && each['source-layer'] === layer)).toBe(
      true,
    );
  });

  test.each([null, basemap('other')])(
    'is land and degrees where tiles cannot be drawn',
    (tiles) => {
      const style = buildStyle({ ...input, basemap: tiles });
      expect(Object.keys(style.sources)).toEqual(expect.arrayContaining(['floor', 'graticule']));
      expect(validateStyleMin(style)).toEqual([]);
    },
  );
});
