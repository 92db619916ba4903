/** Land and borders of the whole world, for a map without streets. */

import type { Feature, FeatureCollection } from 'geojson';
import { feature, mesh } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';
import atlasUrl from 'world-atlas/countries-50m.json?url';

import { unrolled } from './antimeridian';

type Atlas = Topology<{ countries: GeometryCollection; land: GeometryCollection }>;

/** Natural Earth at 1:50,000,000; `kind` is 'land' or 'border'. Empty when it cannot be read. */
export async function readFloor(): Promise<FeatureCollection> {
  const response = await fetch(atlasUrl).catch(() => null);
  if (!response?.ok) return { type: 'FeatureCollection', features: [] };
  const atlas = (await response.json()) as Atlas;
  // A line that two countries share is a border; all others are coasts, which the land has.
  const borders = mesh(atlas, atlas.objects.countries, (one, other) => one !== other);
  return {
    type: 'FeatureCollection',
    features: [
      ...landMasses(atlas),
      { type: 'Feature', geometry: borders, properties: { kind: 'border' } },
    ],
  };
}

/**
 * Each as a feature of its own: of one feature, the first ring in a tile tells which way round land
 * lies, and an island that simplifying has turned over would sink all others in that tile.
 */
function landMasses(atlas: Atlas): Feature[] {
  return feature(atlas, atlas.objects.land).features.flatMap(({ geometry }) => {
    const polygons = geometry.type === 'MultiPolygon' ? geometry.coordinates : [];
    return polygons.map((coordinates) => ({
      type: 'Feature' as const,
      geometry: { type: 'Polygon' as const, coordinates: coordinates.map(unrolled) },
      properties: { kind: 'land' },
    }));
  });
}
