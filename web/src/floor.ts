/** Land and borders of the whole world, for a map without streets. */

import type { FeatureCollection } from 'geojson';
import { feature, mesh } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';
import atlasUrl from 'world-atlas/countries-50m.json?url';

type Atlas = Topology<{ countries: GeometryCollection; land: GeometryCollection }>;

/** Natural Earth at 1:50,000,000; `kind` is 'land' or 'border'. Empty when it cannot be read. */
export async function readFloor(): Promise<FeatureCollection> {
  const response = await fetch(atlasUrl).catch(() => null);
  if (!response?.ok) return { type: 'FeatureCollection', features: [] };
  const atlas = (await response.json()) as Atlas;
  const land = feature(atlas, atlas.objects.land).features;
  // A line that two countries share is a border; all others are coasts, which the land has.
  const borders = mesh(atlas, atlas.objects.countries, (one, other) => one !== other);
  return {
    type: 'FeatureCollection',
    features: [
      ...land.map((one) => ({ ...one, properties: { kind: 'land' } })),
      { type: 'Feature', geometry: borders, properties: { kind: 'border' } },
    ],
  };
}
