import { expect, test } from 'vitest';

import { parseServerMessage } from '../src/live';
import { waitBeforeAttempt } from '../src/patience';
import { readingRow } from './samples';

test('an update is read, rows that are none are left out', () => {
  const frame = JSON.stringify({
    type: 'grid-update',
    gridId: 'z12-x2331-y1185',
    data: { count: 2, readings: [readingRow('a'), { sensor_id: 7 }, null] },
    seq: 5,
    boot: 'b',
  });
  const message = parseServerMessage(frame);
  expect(message).toMatchObject({ type: 'grid-update', gridId: 'z12-x2331-y1185', seq: 5 });
  expect(message).toHaveProperty('readings', [readingRow('a')]);
});

test('garbage is something else, never an error', () => {
  const frames = ['', '{', 'null', '[]', '7', '{"type":"grid-update"}', '{"type":"pong"}'];
  for (const frame of [...frames, new Blob(), undefined]) {
    expect(parseServerMessage(frame)).toEqual({ type: 'other' });
  }
});

test('waits grow to a bound and differ from screen to screen', () => {
  const shortest = [0, 1, 2, 10, 1000].map((attempt) => waitBeforeAttempt(attempt, 0));
  expect(shortest).toEqual([250, 500, 1000, 7500, 7500]);
  expect(waitBeforeAttempt(1000, 0.5)).toBe(11_250);
});
