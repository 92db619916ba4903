import { expect, test } from 'vitest';

import { planFor } from '../src/worker/routes';

const NODE = 'https://node.example';

function keyOf(address: string): string | undefined {
  return planFor(new URL(address, NODE))?.key;
}

function history(from: string, to: string, resolution = '1h'): string {
  return `/api/v1/sensors/a/history?from=${from}&to=${to}&resolution=${resolution}`;
}

test('a week of history is kept apart from a month of it, in the same resolution', () => {
  const week = keyOf(history('2026-06-01T00:00:00.000Z', '2026-06-08T00:00:00.000Z'));
  const month = keyOf(history('2026-05-08T00:00:00.000Z', '2026-06-08T00:00:00.000Z'));
  expect(week).not.toBe(month);
});

test('the same span, asked for later, takes the place of what was kept of it', () => {
  const week = keyOf(history('2026-06-01T00:00:00.000Z', '2026-06-08T00:00:00.000Z'));
  const later = keyOf(history('2026-06-01T00:05:00.000Z', '2026-06-08T00:05:00.000Z'));
  expect(later).toBe(week);
});

test('a tile is kept once, whatever news it was asked for after', () => {
  const [one, other] = ['a-1', 'a-2'].map((v) => keyOf(`/tiles/readings/3/4/2.mvt?v=${v}`));
  expect(one).toBe(other);
  expect(keyOf('/tiles/readings/3/4/2.mvt?quantity=pm10&v=a-1')).not.toBe(one);
});

test('what the node alone answers is not kept', () => {
  expect(planFor(new URL('/api/v1/export?from=a&to=b', NODE))).toBeNull();
  expect(planFor(new URL('/tiles/readings/3/4/2.mvt?at=2026-06-01T00:00:00Z', NODE))).toBeNull();
});
