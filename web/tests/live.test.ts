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

test('waits begin at 1 s, grow to 5 s and differ from screen to screen', () => {
  const attempts = [0, 1, 2, 10, 1000];
  const shortest = attempts.map((attempt) => waitBeforeAttempt(attempt, 0));
  const longest = attempts.map((attempt) => waitBeforeAttempt(attempt, 1));
  expect(shortest).toEqual([1000, 2000, 2500, 2500, 2500]);
  expect(longest).toEqual([2000, 4000, 5000, 5000, 5000]);
});
