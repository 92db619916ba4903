/** What a muted map is drawn with, whatever the schema of its tiles: colours, areas, lines, names. */

import type { ExpressionSpecification, LayerSpecification } from 'maplibre-gl';

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
