import { expect, test } from 'vitest';

import { atMostZoom, gridId, parseGridId, tileAt, tilesAround, tilesInBounds } from '../src/grid';

test('Helsinki lies in the grid that the node gives it', () => {
  expect(gridId(tileAt(60.171, 24.941, 12))).toBe('z12-x2331-y1185');
});

test('places beyond the edge of the projection lie in its outermost tiles', () => {
  expect(tileAt(90, 180, 3)).toEqual({ z: 3, x: 0, y: 0 });
  expect(tileAt(-90, -180, 3)).toEqual({ z: 3, x: 0, y: 7 });
});

test('bounds are covered row by row, each tile once', () => {
  const ids = tilesInBounds({ minLat: -10, maxLat: 10, minLng: -10, maxLng: 10 }, 2).map(gridId);
  expect(ids).toEqual(['z2-x1-y1', 'z2-x2-y1', 'z2-x1-y2', 'z2-x2-y2']);
});

test('a view across the antimeridian continues on the other side', () => {
  const tiles = tilesInBounds({ minLat: 1, maxLat: 2, minLng: 170, maxLng: 190 }, 3);
  expect(tiles.map(({ x }) => x)).toEqual([7, 0]);
});

test('a world that repeats itself is counted once', () => {
  expect(tilesInBounds({ minLat: 1, maxLat: 2, minLng: -500, maxLng: 500 }, 1)).toHaveLength(2);
});

test('around a view there is one tile more on each side', () => {
  const view = tilesInBounds({ minLat: 1, maxLat: 40, minLng: 1, maxLng: 40 }, 4);
  expect(view.map(gridId)).toEqual(['z4-x8-y6', 'z4-x9-y6', 'z4-x8-y7', 'z4-x9-y7']);
  const ring = tilesAround(view).map(gridId);
  expect(new Set(ring).size).toBe(12);
  expect(ring).toContain('z4-x7-y5');
  expect(ring).not.toContain('z4-x8-y6');
});

test('there is nothing beyond the poles, and the other side beyond the antimeridian', () => {
  expect(tilesAround([{ z: 3, x: 0, y: 0 }]).map(gridId)).toEqual([
    'z3-x7-y0',
    'z3-x1-y0',
    'z3-x7-y1',
    'z3-x0-y1',
    'z3-x1-y1',
  ]);
  expect(tilesAround([{ z: 0, x: 0, y: 0 }])).toEqual([]);
});

test('a grid deeper than the tiles belongs to the tile around it', () => {
  expect(atMostZoom({ z: 18, x: 149_223, y: 75_871 }, 16)).toEqual({ z: 16, x: 37_305, y: 18_967 });
  expect(atMostZoom({ z: 4, x: 3, y: 2 }, 16)).toEqual({ z: 4, x: 3, y: 2 });
});

test('a grid id is read back, anything else is not', () => {
  expect(parseGridId('z12-x2331-y1185')).toEqual({ z: 12, x: 2331, y: 1185 });
  for (const id of ['z12', 'z99-x-1-y0', '', 'z1-x2-y3-z4']) expect(parseGridId(id)).toBeNull();
});
