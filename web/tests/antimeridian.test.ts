import { expect, test } from 'vitest';

import { unrolled } from '../src/map/antimeridian';

test('a ring across 180° goes on beyond it and comes back', () => {
  const fiji = [
    [179, -16],
    [-179, -16],
    [-179, -17],
    [179, -17],
    [179, -16],
  ];
  expect(unrolled(fiji).map(([lng]) => lng)).toEqual([179, 181, 181, 179, 179]);
});

test('a ring to the west of it goes on beyond -180°', () => {
  expect(
    unrolled([
      [-170, 65],
      [170, 66],
      [-170, 65],
    ]).map(([lng]) => lng),
  ).toEqual([-170, -190, -170]);
});

test('a ring around a pole is closed along the pole', () => {
  const antarctica = [
    [-120, -70],
    [0, -70],
    [120, -70],
    [-120, -70],
  ];
  expect(unrolled(antarctica)).toEqual([
    [-120, -70],
    [0, -70],
    [120, -70],
    [240, -70],
    [240, -90],
    [-120, -90],
    [-120, -70],
  ]);
});
