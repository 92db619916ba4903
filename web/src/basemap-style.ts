/** A muted basemap: streets to find one's way by, no colours of its own. */

import type {
  ExpressionSpecification,
  LayerSpecification,
  RasterSourceSpecification,
  VectorSourceSpecification,
} from 'maplibre-gl';

import type { TileJson } from './api-types';
import { protomapsLayers } from './protomaps-style';

export const BASEMAP = 'basemap';

export type Theme = 'light' | 'dark';

export interface Palette {
  readonly ground: string;
  readonly green: string;
  readonly built: string;
  readonly water: string;
  readonly building: string;
  readonly buildingEdge: string;
  readonly road: string;
  readonly roadEdge: string;
  readonly path: string;
  readonly rail: string;
  readonly boundary: string;
  readonly label: string;
  readonly halo: string;
}

export const palettes: Readonly<Record<Theme, Palette>> = {
  light: {
    ground: '#efeeea',
    green: '#e3e6da',
    built: '#eae8e3',
    water: '#d2d9dc',
    building: '#e2dfd8',
    buildingEdge: '#d6d2c9',
    road: '#ffffff',
    roadEdge: '#d9d6cf',
    path: '#dcd9d2',
    rail: '#d9d6cf',
    boundary: '#b9b5ac',
    label: '#5d5b56',
    halo: '#f5f4f1',
  },
  dark: {
    ground: '#0f141a',
    green: '#111a1b',
    built: '#11171e',
    water: '#0a1d2b',
    building: '#171e26',
    buildingEdge: '#1e2730',
    road: '#26303a',
    roadEdge: '#0c1015',
    path: '#1d252d',
    rail: '#222b34',
    boundary: '#3a4550',
    label: '#8f9ba6',
    halo: '#0f141a',
  },
};

/** Road classes of the schema by how wide they are drawn. */
const MAJOR = ['motorway', 'trunk', 'primary'];
const MIDDLE = ['secondary', 'tertiary'];
const MINOR = ['minor', 'service', 'track', 'busway', 'raceway'];
const PATHS = ['path', 'pedestrian', 'footway'];
/** Lines that carry names in this schema but are no streets. */
const NOT_STREETS = ['rail', 'transit', 'ferry'];

/** Whether these tiles can be drawn here; what is of no known schema cannot. */
export function isDrawable(basemap: TileJson | null): basemap is TileJson {
  return basemap !== null && basemap.schema !== 'other';
}

export function basemapSource(
  basemap: TileJson,
): VectorSourceSpecification | RasterSourceSpecification {
  const { tiles, minzoom = 0, maxzoom = 14, bounds, attribution } = basemap;
  const source = {
    tiles,
    minzoom,
    maxzoom,
    ...(bounds && { bounds: bounds as [number, number, number, number] }),
    ...(attribution && { attribution }),
  };
  if (basemap.schema === 'raster') return { type: 'raster', tileSize: 256, ...source };
  return { type: 'vector', ...source };
}

/** The layers that this basemap has data for; all of them when it does not say what it holds. */
export function basemapLayers(
  basemap: TileJson,
  theme: Theme,
  language: string,
): LayerSpecification[] {
  if (basemap.schema === 'raster') return [rasterLayer(theme)];
  // Old Protomaps files call their layer `landuse` `land` in what they say of themselves.
  const isToldWrong = basemap.schema === 'protomaps-old';
  const held = isToldWrong ? undefined : basemap.vector_layers?.map((layer) => layer.id);
  return schemaLayers(basemap, palettes[theme], language).filter(
    (layer) => !held || !('source-layer' in layer) || held.includes(layer['source-layer'] ?? ''),
  );
}

function schemaLayers(
  { schema }: TileJson,
  colors: Palette,
  language: string,
): LayerSpecification[] {
  if (schema?.startsWith('protomaps')) return protomapsLayers(colors, language);
  return [...areas(colors), ...roads(colors), ...labels(colors, language)];
}

/** Pictures have colours of their own: only the air's may be bright. */
function rasterLayer(theme: Theme): LayerSpecification {
  const isDark = theme === 'dark';
  return {
    id: 'pictures',
    type: 'raster',
    source: BASEMAP,
    paint: {
      'raster-saturation': -0.8,
      ...(isDark && { 'raster-brightness-min': 0.3, 'raster-brightness-max': 0 }),
    },
  };
}

export function backgroundLayer(theme: Theme): LayerSpecification {
  return {
    id: 'ground',
    type: 'background',
    paint: { 'background-color': palettes[theme].ground },
  };
}

function areas(colors: Palette): LayerSpecification[] {
  return [
    area('landuse', colors.built),
    area('landcover', colors.green),
    area('park', colors.green),
    area('water', colors.water),
    line('waterway', 'waterway', colors.water, 1, 4),
    area('aeroway', colors.built),
    {
      ...area('building', colors.building),
      minzoom: 13,
      paint: {
        'fill-color': colors.building,
        'fill-outline-color': colors.buildingEdge,
        'fill-opacity': ['interpolate', ['linear'], ['zoom'], 13, 0, 14.5, 1],
      },
    },
  ];
}

function roads(colors: Palette): LayerSpecification[] {
  return [
    { ...road('path', PATHS, colors.path, 0.5, 5), minzoom: 14 },
    { ...road('rail', ['rail', 'transit'], colors.rail, 0.6, 3), minzoom: 11 },
    { ...road('minor-edge', MINOR, colors.roadEdge, 0.8, 14), minzoom: 13 },
    road('middle-edge', MIDDLE, colors.roadEdge, 1.4, 21),
    road('major-edge', MAJOR, colors.roadEdge, 2.2, 28),
    { ...road('minor', MINOR, colors.road, 0.4, 12), minzoom: 12 },
    road('middle', MIDDLE, colors.road, 0.8, 19),
    road('major', MAJOR, colors.road, 1.4, 25),
    {
      ...line('boundary', 'boundary', colors.boundary, 0.8, 2),
      filter: ['<=', ['get', 'admin_level'], 8],
    },
  ];
}

function labels(colors: Palette, language: string): LayerSpecification[] {
  const name = localName(language);
  const streets = labelLayer('street-name', 'transportation_name', name, colors, {
    minzoom: 13,
    isAlongLine: true,
  });
  return [
    { ...streets, filter: ['!', ['in', ['get', 'class'], ['literal', NOT_STREETS]]] },
    labelLayer('water-name', 'water_name', name, colors, {}),
    labelLayer('place-name', 'place', name, colors, { maxzoom: 16, size: placeSize }),
  ];
}

export function labelLayer(
  id: string,
  sourceLayer: string,
  name: ExpressionSpecification,
  colors: Palette,
  how: {
    readonly minzoom?: number;
    readonly maxzoom?: number;
    readonly size?: ExpressionSpecification;
    readonly isAlongLine?: boolean;
  },
): LayerSpecification & { type: 'symbol' } {
  const { minzoom, maxzoom, size = 13, isAlongLine } = how;
  return {
    id,
    type: 'symbol',
    source: BASEMAP,
    'source-layer': sourceLayer,
    ...(minzoom !== undefined && { minzoom }),
    ...(maxzoom !== undefined && { maxzoom }),
    layout: {
      'text-field': name,
      'text-font': ['Inter'],
      'text-size': isAlongLine ? ['interpolate', ['linear'], ['zoom'], 13, 10, 18, 14] : size,
      ...(isAlongLine && { 'symbol-placement': 'line' as const }),
    },
    paint: {
      'text-color': colors.label,
      'text-halo-color': colors.halo,
      'text-halo-width': 1.4,
    },
  };
}

/** Towns larger than their parts. */
const placeSize: ExpressionSpecification = [
  'match',
  ['get', 'class'],
  ['city', 'town'],
  15,
  ['village', 'suburb', 'quarter'],
  13,
  12,
];

/** Makers of tiles name the local name differently; the reader's language comes first. */
export function localName(language: string): ExpressionSpecification {
  return [
    'coalesce',
    ['get', `name:${language}`],
    ['get', 'name'],
    ['get', 'name:latin'],
    ['get', 'ref'],
    '',
  ];
}

export function area(sourceLayer: string, color: string): LayerSpecification & { type: 'fill' } {
  return {
    id: sourceLayer,
    type: 'fill',
    source: BASEMAP,
    'source-layer': sourceLayer,
    paint: { 'fill-color': color },
  };
}

function road(id: string, classes: string[], color: string, thin: number, thick: number) {
  return {
    ...line(`road-${id}`, 'transportation', color, thin, thick),
    filter: ['in', ['get', 'class'], ['literal', classes]],
  } satisfies LayerSpecification;
}

/** A line `thin` px wide at zoom 10, growing to `thick` px at zoom 18. */
export function line(
  id: string,
  sourceLayer: string,
  color: string,
  thin: number,
  thick: number,
): LayerSpecification & { type: 'line' } {
  return {
    id,
    type: 'line',
    source: BASEMAP,
    'source-layer': sourceLayer,
    layout: { 'line-cap': 'round', 'line-join': 'round' },
    paint: {
      'line-color': color,
      'line-width': ['interpolate', ['exponential', 1.6], ['zoom'], 10, thin, 18, thick],
    },
  };
}
