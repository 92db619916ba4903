/**
 * The map's style: basemap below, readings on top.
 *
 * A marker is one image, number and all, named by what it shows (`marker.ts` draws it when a tile
 * first asks for that name). Text and circle as two layers would let the number of one sensor lie
 * over the circle of another, and a symbol's text could not follow feature state.
 */

import type {
  ExpressionSpecification,
  FilterSpecification,
  LayerSpecification,
  SourceSpecification,
  StyleSpecification,
} from 'maplibre-gl';

import { REPORTS_ADDRESS } from '../api';
import type { Standard, TileJson } from '../api-types';
import { backgroundLayer, basemapLayers, basemapSource, isDrawable } from './basemap-style';
import { BASEMAP, palettes, type Theme } from './ink';
import { floorLayers, floorSources } from './floor-style';
import { NO_NUMBER, STALE } from './marker-name';
import { STALE_AFTER_S } from '../state';

export const READINGS = 'readings';
export const SELECTION = 'selection';
export const REPORTS = 'reports';
export const SENSOR_LAYER = 'sensors';
export const REPORT_LAYER = 'reports';
export const CLUSTER_LAYER = 'clusters';

/** From this zoom on sensors stand for themselves; below it clusters stand for them. */
export const SENSOR_ZOOM = 12;

/** Name of the global state that holds the present, in epoch seconds; it moves ages on. */
export const NOW = 'now';

export interface StyleInput {
  readonly theme: Theme;
  readonly language: string;
  readonly basemap: TileJson | null;
  readonly readings: TileJson;
  readonly standard: Standard;
  /** Whose own index the tiles carry; none: the overall one. */
  readonly pollutant: string | null;
  /** The hour since 1970 whose means are shown; none: the latest readings. */
  readonly hour: number | null;
  /** Whether people's reports are shown. */
  readonly reports: boolean;
  readonly now_s: number;
}

export function buildStyle(input: StyleInput): StyleSpecification {
  const { basemap, theme, language, now_s } = input;
  return {
    version: 8,
    state: { [NOW]: { default: input.hour === null ? now_s : input.hour * 3600 } },
    sources: sources(input),
    layers: [
      backgroundLayer(theme),
      ...(isDrawable(basemap)
        ? basemapLayers(basemap, theme, language)
        : floorLayers(palettes[theme])),
      ageLayer(theme),
      ...(input.reports ? [reportLayer()] : []),
      clusterLayer(input.standard),
      sensorLayer(),
      selectionLayer(),
    ],
  };
}

function sources({
  basemap,
  readings,
  pollutant,
  hour,
  reports,
}: StyleInput): Record<string, SourceSpecification> {
  return {
    ...(isDrawable(basemap) ? { [BASEMAP]: basemapSource(basemap) } : floorSources),
    [READINGS]: {
      type: 'vector',
      tiles: readingTiles(readings, { pollutant, hour }),
      minzoom: readings.minzoom ?? 0,
      maxzoom: readings.maxzoom ?? 16,
    },
    ...(reports && { [REPORTS]: { type: 'geojson' as const, data: REPORTS_ADDRESS } }),
    [SELECTION]: { type: 'geojson', data: { type: 'FeatureCollection', features: [] } },
  };
}

/** The addresses of tiles of the latest readings, of one pollutant of them, or of an hour. */
export function readingTiles(
  { tiles }: TileJson,
  { pollutant, hour }: Pick<StyleInput, 'pollutant' | 'hour'>,
): string[] {
  const query = new URLSearchParams();
  if (hour !== null) query.set('at', new Date(hour * 3_600_000).toISOString());
  else if (pollutant !== null) query.set('quantity', pollutant);
  return tiles.map((address) => (query.size > 0 ? `${address}?${query}` : address));
}

/**
 * Filters look at the zoom of the tile, where a layer's `minzoom` would look at the map's: so
 * clusters stay until the tiles with the sensors have come, and the other way round.
 */
const sensorTiles: ExpressionSpecification = ['>=', ['zoom'], SENSOR_ZOOM];
const clusterTiles: ExpressionSpecification = ['<', ['zoom'], SENSOR_ZOOM];

const age_s: ExpressionSpecification = ['-', ['global-state', NOW], ['get', 'at']];
const isStale: ExpressionSpecification = ['>', age_s, STALE_AFTER_S];
const isFlagged: ExpressionSpecification = ['!=', ['coalesce', ['get', 'flags'], ''], ''];

function sensorLayer(): LayerSpecification {
  return {
    id: SENSOR_LAYER,
    type: 'symbol',
    source: READINGS,
    'source-layer': 'sensors',
    filter: sensorTiles as FilterSpecification,
    layout: {
      'icon-image': sensorMarker(),
      'icon-allow-overlap': true,
      'icon-padding': 0,
      // The worst lies on top; what is not to be trusted as current lies below all others.
      'symbol-sort-key': ['case', ['any', isStale, isFlagged], -1, index('aqi')],
    },
  };
}

/** How old a stale number is, where there is room under its circle. */
function ageLayer(theme: Theme): LayerSpecification {
  return {
    id: 'ages',
    type: 'symbol',
    source: READINGS,
    'source-layer': 'sensors',
    filter: ['all', sensorTiles, isStale] as FilterSpecification,
    layout: {
      'text-field': shortAge(),
      'text-font': ['Inter'],
      'text-size': 12,
      'text-anchor': 'top',
      'text-offset': [0, 1.45],
      'text-padding': 0,
    },
    paint: {
      'text-color': palettes[theme].label,
      'text-halo-color': palettes[theme].halo,
      'text-halo-width': 1.6,
    },
  };
}

function clusterLayer(standard: Standard): LayerSpecification {
  return {
    id: CLUSTER_LAYER,
    type: 'symbol',
    source: READINGS,
    'source-layer': 'clusters',
    filter: ['all', clusterTiles, ['>', ['get', 'sensors'], 0]] as FilterSpecification,
    layout: {
      'icon-image': clusterMarker(standard),
      'icon-allow-overlap': true,
      'symbol-sort-key': ['case', isStale, -1, index('latest_aqi')],
    },
  };
}

/** Neither round nor coloured like a measurement, and below all of them. */
function reportLayer(): LayerSpecification {
  return {
    id: REPORT_LAYER,
    type: 'symbol',
    source: REPORTS,
    layout: { 'icon-image': 'report', 'icon-allow-overlap': true },
  };
}

/** The chosen sensor is drawn once more, on top of all, from what the panel knows. */
function selectionLayer(): LayerSpecification {
  return {
    id: 'selection',
    type: 'symbol',
    source: SELECTION,
    layout: {
      'icon-image': ['get', 'marker'],
      'icon-allow-overlap': true,
      'icon-ignore-placement': true,
    },
  };
}

/** sensor|condition|level|number, as `selectedMarkerName` builds it for one sensor. */
function sensorMarker(): ExpressionSpecification {
  return [
    'concat',
    'sensor|',
    ['case', isStale, ['case', isFlagged, 'stale-flagged', 'stale'], isFlagged, 'flagged', 'fresh'],
    '|',
    ['to-string', ['max', 0, ['coalesce', ['get', 'level'], 0]]],
    '|',
    number('aqi'),
  ];
}

/** cluster|size|level of the mean|level of the worst|mean; of a stale one without levels. */
function clusterMarker(standard: Standard): ExpressionSpecification {
  return [
    'concat',
    'cluster|',
    ['step', ['get', 'sensors'], '1', 2, '2', 10, '3', 100, '4'],
    '|',
    ['case', isStale, STALE, levelOf(standard, 'latest_aqi')],
    '|',
    ['case', isStale, STALE, levelOf(standard, 'latest_max_aqi')],
    '|',
    number('latest_aqi'),
  ];
}

function index(property: string): ExpressionSpecification {
  return ['coalesce', ['get', property], -1];
}

function number(property: string): ExpressionSpecification {
  const written: ExpressionSpecification = ['to-string', ['round', index(property)]];
  return ['case', ['<', index(property), 0], NO_NUMBER, written];
}

/** The level of an index as text, '0' where there is none. */
function levelOf(standard: Standard, property: string): ExpressionSpecification {
  const steps = standard.bands.flatMap(({ low, level }) => [low - 0.5, String(level)]);
  return ['step', index(property), '0', ...steps] as ExpressionSpecification;
}

/** '25 min', '3 h', '2 d': SI's symbols, the same in every language. */
function shortAge(): ExpressionSpecification {
  const ageIn = (unit_s: number, symbol: string): ExpressionSpecification => [
    'concat',
    ['to-string', ['floor', ['/', age_s, unit_s]]],
    `\u00a0${symbol}`,
  ];
  return ['step', age_s, ageIn(60, 'min'), 3600, ageIn(3600, 'h'), 48 * 3600, ageIn(86_400, 'd')];
}
