/** Lines of latitude and longitude: where nothing else is drawn, they tell where one is. */

import type { Feature, FeatureCollection } from 'geojson';

import { LAST_LATITUDE, type Bounds } from '../grid';

/** Degrees between two lines, the widest first. */
const STEPS = [30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
/** Fewer lines than this across the view say too little. */
const FEWEST = 4;

/** A line on the very edge is in view: 60.3 / 0.1 comes out a little below 603. */
const ROUNDING = 1e-9;

/** The lines within a view, each with the degrees it stands for as its `label`. */
export function graticule({ minLat, maxLat, minLng, maxLng }: Bounds): FeatureCollection {
  const south = Math.max(minLat, -LAST_LATITUDE);
  const north = Math.min(maxLat, LAST_LATITUDE);
  const width = maxLng - minLng;
  const step = STEPS.find((degrees) => width / degrees >= FEWEST) ?? 0.001;
  const decimals = Math.max(0, -Math.floor(Math.log10(step)));
  const written = (value: number, positive: string, negative: string) =>
    `${Math.abs(value).toFixed(decimals)}° ${value === 0 ? '' : value > 0 ? positive : negative}`.trim();
  const features = [
    ...multiples(minLng, maxLng, step).map((lng) =>
      line(written(wrapped(lng), 'E', 'W'), [lng, south], [lng, north]),
    ),
    ...multiples(south, north, step).map((lat) =>
      line(written(lat, 'N', 'S'), [minLng, lat], [maxLng, lat]),
    ),
  ];
  return { type: 'FeatureCollection', features };
}

/** Counted in whole steps, so that no rounding adds up. */
function multiples(from: number, to: number, step: number): number[] {
  const first = Math.ceil(from / step - ROUNDING);
  const last = Math.floor(to / step + ROUNDING);
  return Array.from(
    { length: Math.max(0, last - first + 1) },
    (_, place) => (first + place) * step,
  );
}

function wrapped(lng: number): number {
  return ((((lng + 180) % 360) + 360) % 360) - 180;
}

function line(label: string, from: [number, number], to: [number, number]): Feature {
  return {
    type: 'Feature',
    geometry: { type: 'LineString', coordinates: [from, to] },
    properties: { label },
  };
}
