/** How the world looks without a basemap: land where the scale bears it, and lines of degrees. */

import type { LayerSpecification, SourceSpecification, StyleSpecification } from 'maplibre-gl';

import type { Palette } from './ink';

export const FLOOR = 'floor';
export const GRATICULE = 'graticule';

/** From this zoom on a coast drawn for 1:50,000,000 would put sensors into the sea. */
const COARSE_ZOOM = 9;

const EMPTY = {
  type: 'geojson' as const,
  data: { type: 'FeatureCollection' as const, features: [] },
};

export const floorSources: Readonly<Record<string, SourceSpecification>> = {
  [FLOOR]: { ...EMPTY, attribution: 'Natural Earth' },
  [GRATICULE]: EMPTY,
};

/** The next style with what was laid on the floor since: a style of its own has none of it. */
export function withFloor(
  laid: StyleSpecification | undefined,
  next: StyleSpecification,
): StyleSpecification {
  const kept = Object.entries(laid?.sources ?? {}).filter(
    ([name]) => name in floorSources && name in next.sources,
  );
  return { ...next, sources: { ...next.sources, ...Object.fromEntries(kept) } };
}

export function floorLayers(colors: Palette): LayerSpecification[] {
  return [
    {
      id: 'floor-water',
      type: 'background',
      maxzoom: COARSE_ZOOM,
      paint: { 'background-color': colors.water },
    },
    {
      id: 'floor-land',
      type: 'fill',
      source: FLOOR,
      maxzoom: COARSE_ZOOM,
      filter: ['==', ['get', 'kind'], 'land'],
      paint: { 'fill-color': colors.ground },
    },
    {
      id: 'floor-border',
      type: 'line',
      source: FLOOR,
      maxzoom: COARSE_ZOOM,
      filter: ['==', ['get', 'kind'], 'border'],
      paint: { 'line-color': colors.boundary, 'line-width': 1 },
    },
    {
      id: 'graticule',
      type: 'line',
      source: GRATICULE,
      paint: { 'line-color': colors.boundary, 'line-opacity': 0.6, 'line-width': 0.7 },
    },
    {
      id: 'graticule-labels',
      type: 'symbol',
      source: GRATICULE,
      layout: {
        'text-field': ['get', 'label'],
        'text-font': ['Inter'],
        'text-size': 12,
        'symbol-placement': 'line-center',
      },
      paint: {
        'text-color': colors.label,
        'text-halo-color': colors.halo,
        'text-halo-width': 1.4,
      },
    },
  ];
}
