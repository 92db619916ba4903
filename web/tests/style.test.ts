import {
  createExpression,
  featureFilter,
  validateStyleMin,
  type FilterSpecification,
} from '@maplibre/maplibre-gl-style-spec';
import type { LayerSpecification, StyleSpecification, SymbolLayerSpecification } from 'maplibre-gl';
import { describe, expect, test } from 'vitest';

import type { TileJson } from '../src/api-types';
import { withFloor } from '../src/map/floor-style';
import { palettes } from '../src/map/ink';
import { parseMarkerName, selectedMarkerName } from '../src/map/marker-name';
import { relativeLuminance } from '../src/standard';
import { buildStyle, NOW, readingTiles, type StyleInput } from '../src/map/style';
import { usEpa } from './samples';

const NOW_S = 1_780_000_000;

const basemap: TileJson = {
  tiles: ['/basemap/{z}/{x}/{y}'],
  minzoom: 0,
  maxzoom: 14,
  attribution: '© OpenStreetMap contributors',
  vector_layers: ['water', 'transportation', 'transportation_name', 'building', 'place'].map(
    (id) => ({ id }),
  ),
};

const input: StyleInput = {
  theme: 'light',
  language: 'en',
  basemap,
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
  now_s: NOW_S,
};

function symbolLayer(id: string, change: Partial<StyleInput> = {}): SymbolLayerSpecification {
  const layer = buildStyle({ ...input, ...change }).layers.find((each) => each.id === id);
  if (layer?.type !== 'symbol') throw new Error(`no symbol layer ${id}`);
  return layer;
}

function evaluate(expression: unknown, properties: Record<string, unknown>, zoom = 14): unknown {
  const made = createExpression(expression, 'layers[0].layout.text-field');
  if (made.result === 'error') throw new Error(JSON.stringify(made.value));
  const globals = { zoom, globalState: { now: NOW_S } };
  return made.value.evaluate(globals, { type: 'Point', properties });
}

function passes(layer: LayerSpecification, properties: Record<string, unknown>, zoom: number) {
  if (!('filter' in layer)) return true;
  const filter = featureFilter(layer.filter as FilterSpecification, 'layers[0].filter');
  const globals = { zoom, globalState: { now: NOW_S } };
  return filter.filter(globals as never, { type: 1, properties } as never);
}

describe.each(['light', 'dark'] as const)('the %s style', (theme) => {
  test('is valid by the specification', () => {
    expect(validateStyleMin(buildStyle({ ...input, theme }))).toEqual([]);
  });

  test('is valid without a basemap', () => {
    const style = buildStyle({ ...input, theme, basemap: null });
    expect(validateStyleMin(style)).toEqual([]);
    expect(Object.keys(style.sources)).toEqual(['floor', 'graticule', 'readings', 'selection']);
  });

  test('writes labels that can be read: contrast of 4.5 with ground and water', () => {
    const { label, ground, water } = palettes[theme];
    for (const under of [ground, water]) expect(contrast(label, under)).toBeGreaterThan(4.5);
  });
});

test('the land that was laid stays when another style comes, as long as it has a floor', () => {
  const bare = buildStyle({ ...input, basemap: null });
  const land = { type: 'geojson' as const, data: '/land.geojson' };
  const laid: StyleSpecification = { ...bare, sources: { ...bare.sources, floor: land } };
  const dark = buildStyle({ ...input, basemap: null, theme: 'dark', pollutant: 'pm10' });
  const next = withFloor(laid, dark);
  expect(next.sources['floor']).toBe(land);
  expect({ ...next, sources: null }).toEqual({ ...dark, sources: null });
  expect(next.sources['readings']).toBe(dark.sources['readings']);
  const streets = buildStyle(input);
  expect(withFloor(laid, streets)).toEqual(streets);
  expect(withFloor(undefined, dark)).toEqual(dark);
});

test('only layers that the basemap holds are drawn', () => {
  const drawn = buildStyle(input).layers.flatMap((layer) =>
    'source' in layer && layer.source === 'basemap' ? [layer['source-layer']] : [],
  );
  expect(new Set(drawn)).toEqual(
    new Set(['water', 'transportation', 'transportation_name', 'building', 'place']),
  );
});

test('what is green in an old Protomaps file is drawn, although it names the layer otherwise', () => {
  const vector_layers = ['earth', 'natural', 'land', 'water', 'roads'].map((id) => ({ id }));
  const old = { ...basemap, schema: 'protomaps-old' as const, vector_layers };
  const layers = buildStyle({ ...input, basemap: old }).layers;
  const greens = layers.find(({ id }) => id === 'landuse')!;
  expect(passes(greens, { 'pmap:kind': 'park', leisure: 'garden' }, 14)).toBe(true);
  expect(passes(greens, { 'pmap:kind': 'other', landuse: 'grass' }, 14)).toBe(true);
  expect(passes(greens, { 'pmap:kind': 'hospital' }, 14)).toBe(false);
  expect(validateStyleMin(buildStyle({ ...input, basemap: old }))).toEqual([]);
});

test("a street is named in the reader's language, else as it is called there", () => {
  const name = symbolLayer('street-name', { language: 'de' }).layout?.['text-field'];
  expect(evaluate(name, { 'name:de': 'Nordstraße', name: 'North Street' })).toBe('Nordstraße');
  expect(evaluate(name, { name: 'North Street' })).toBe('North Street');
});

describe('a sensor', () => {
  const fresh = { id: 'a', aqi: 57, level: 2, at: NOW_S - 20, flags: '' };
  const marker = (properties: object) =>
    evaluate(symbolLayer('sensors').layout?.['icon-image'], { ...properties });

  test('is named by its condition, level and index', () => {
    expect(marker(fresh)).toBe('sensor|fresh|2|57');
    expect(marker({ ...fresh, flags: 'stuck,spike' })).toBe('sensor|flagged|2|57');
  });

  test('becomes stale when 15 minutes have passed', () => {
    expect(marker({ ...fresh, at: NOW_S - 900 })).toBe('sensor|fresh|2|57');
    expect(marker({ ...fresh, at: NOW_S - 901 })).toBe('sensor|stale|2|57');
    expect(marker({ ...fresh, at: NOW_S - 901, flags: 'clock' })).toBe('sensor|stale-flagged|2|57');
  });

  test('without an index shows a dash', () => {
    expect(marker({ id: 'a', at: NOW_S, flags: '' })).toBe('sensor|fresh|0|–');
  });

  test('is drawn the same when it is chosen', () => {
    const latest = { at: NOW_S * 1000, index: 57, level: 2, dominant: 'pm25', flags: [] };
    const chosen = selectedMarkerName(latest, NOW_S * 1000);
    expect(chosen).toBe(`${String(marker(fresh))}|selected`);
  });

  test('lies over better ones, and trusted ones over all others', () => {
    const key = symbolLayer('sensors').layout?.['symbol-sort-key'];
    expect(evaluate(key, fresh)).toBe(57);
    expect(evaluate(key, { ...fresh, aqi: 499, flags: 'range' })).toBe(-1);
  });

  test('that is stale shows its age', () => {
    const ages = symbolLayer('ages');
    const age = (seconds: number) =>
      evaluate(ages.layout?.['text-field'], { ...fresh, at: NOW_S - seconds });
    expect(age(25 * 60 + 59)).toBe('25\u00a0min');
    expect(age(3 * 3600)).toBe('3\u00a0h');
    expect(age(49 * 3600)).toBe('2\u00a0d');
    expect(passes(ages, fresh, 14)).toBe(false);
    expect(passes(ages, { ...fresh, at: NOW_S - 901 }, 14)).toBe(true);
  });
});

describe('a cluster', () => {
  const layer = symbolLayer('clusters');
  const marker = (properties: object) =>
    evaluate(layer.layout?.['icon-image'], { ...properties }, 10);

  test('is named by its size, the levels of mean and worst, and the mean', () => {
    const mixed = { sensors: 12, at: NOW_S, latest_aqi: 50.4, latest_max_aqi: 160 };
    expect(marker(mixed)).toBe('cluster|3|1|4|50');
    const even = { sensors: 1, at: NOW_S, latest_aqi: 50.5, latest_max_aqi: 50 };
    expect(marker(even)).toBe('cluster|1|2|1|51');
  });

  test('without a trusted value shows a dash', () => {
    expect(marker({ sensors: 2, at: NOW_S })).toBe('cluster|2|0|0|–');
  });

  test('becomes stale when its newest reading is 15 minutes old, and lies below current ones', () => {
    const key = (properties: object) =>
      evaluate(layer.layout?.['symbol-sort-key'], { ...properties }, 10);
    const bad = { sensors: 12, latest_aqi: 250, latest_max_aqi: 300, at: NOW_S - 900 };
    expect(marker(bad)).toBe('cluster|3|5|5|250');
    expect(key(bad)).toBe(250);
    const stale = { ...bad, at: NOW_S - 901 };
    expect(marker(stale)).toBe('cluster|3|stale|stale|250');
    expect(key(stale)).toBe(-1);
  });

  test('stands in tiles below zoom 12, sensors from there on', () => {
    const sensors = symbolLayer('sensors');
    const cluster = { sensors: 3 };
    expect([11, 12].map((zoom) => passes(layer, cluster, zoom))).toEqual([true, false]);
    expect([11, 12].map((zoom) => passes(sensors, {}, zoom))).toEqual([false, true]);
  });

  test('of sensors that have all gone is not drawn', () => {
    expect(passes(layer, { sensors: 0 }, 10)).toBe(false);
  });
});

test('marker names say what is drawn', () => {
  expect(parseMarkerName('sensor|stale|2|57|selected')).toEqual({
    kind: 'sensor',
    condition: 'stale',
    level: 2,
    number: '57',
    selected: true,
  });
  expect(parseMarkerName('cluster|4|1|6|38')).toEqual({
    kind: 'cluster',
    size: 4,
    stale: false,
    level: 1,
    worstLevel: 6,
    number: '38',
  });
  expect(parseMarkerName('cluster|4|stale|stale|38')).toMatchObject({ stale: true, number: '38' });
  expect(parseMarkerName('some-sprite')).toBeNull();
});

function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [one, other].map(relativeLuminance).sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

test('tiles are asked for of one pollutant or of an hour that is over', () => {
  const [plain] = readingTiles(input.readings, { pollutant: null, hour: null });
  const [ofPm10] = readingTiles(input.readings, { pollutant: 'pm10', hour: null });
  const [ofHour] = readingTiles(input.readings, { pollutant: null, hour: 494_448 });
  expect(plain).toBe('/tiles/readings/{z}/{x}/{y}.mvt');
  expect(ofPm10).toBe('/tiles/readings/{z}/{x}/{y}.mvt?quantity=pm10');
  // 494,448 h after 1970 it is 29 May 2026, midnight.
  expect(ofHour).toBe('/tiles/readings/{z}/{x}/{y}.mvt?at=2026-05-29T00%3A00%3A00.000Z');
});

test('in the past the present stands still, so that nothing seems old', () => {
  const style = buildStyle({ ...input, hour: 494_448 });
  expect(style.state?.[NOW]?.default).toBe(494_448 * 3600);
});
