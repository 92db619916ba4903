/** Rings as they lie on a flat map: a shape on a globe has no edge at 180°, one on a map goes beyond. */

import type { Position } from 'geojson';

const POLE = 90;

/** Longitudes that never jump; what went around a pole is closed along it. */
export function unrolled(ring: readonly Position[]): Position[] {
  const flat: Position[] = [];
  let turns = 0;
  let before_lng: number | null = null;
  for (const [lng = 0, lat = 0] of ring) {
    if (before_lng !== null && Math.abs(lng - before_lng) > 180) turns += lng < before_lng ? 1 : -1;
    before_lng = lng;
    flat.push([lng + turns * 360, lat]);
  }
  return turns === 0 ? flat : closedAtPole(flat);
}

function closedAtPole(ring: Position[]): Position[] {
  const [first, last] = [ring[0], ring.at(-1)];
  if (!first || !last) return ring;
  const pole = (first[1] ?? 0) < 0 ? -POLE : POLE;
  return [...ring, [last[0] ?? 0, pole], [first[0] ?? 0, pole], first];
}
