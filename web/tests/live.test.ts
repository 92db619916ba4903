import { afterEach, expect, test, vi } from 'vitest';

import { ApiError } from '../src/api';
import { Live, parseServerMessage, pulse } from '../src/live';
import { waitAfter, waitBeforeAttempt } from '../src/patience';
import { readingRow } from './samples';

afterEach(() => vi.unstubAllGlobals());

class FakeSocket extends EventTarget {
  hear(message: object): void {
    this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(message) }));
  }
}

function connected(onGap: () => void): FakeSocket {
  const socket = new FakeSocket();
  vi.stubGlobal('window', { setInterval: () => 0, addEventListener: () => null });
  vi.stubGlobal('WebSocket', function () {
    return socket;
  });
  new Live('ws://node/ws', { onUpdate: () => null, onLink: () => null, onGap });
  return socket;
}

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

test('a node that began anew is caught up with once', () => {
  const gaps = vi.fn();
  const socket = connected(gaps);
  const update = { type: 'grid-update', gridId: 'z1-x0-y0', data: { readings: [] } };
  socket.hear({ ...update, seq: 7, boot: 'before' });
  expect(gaps).not.toHaveBeenCalled();
  socket.hear({ type: 'resync', seq: 0, boot: 'after' });
  socket.hear({ ...update, seq: 1, boot: 'after' });
  expect(gaps).toHaveBeenCalledOnce();
});

const SECOND = 1000;

test('a connection is left when a question stays without an answer, not for its silence', () => {
  const open = { isOpen: true, heardAt: 0, askedAt: -SECOND };
  expect(pulse(open, 15 * SECOND)).toBe('well');
  expect(pulse(open, 25 * SECOND)).toBe('silent');
  // In a hidden tab a timer may come once a minute, or later.
  expect(pulse(open, 90 * SECOND)).toBe('silent');
  const asked = { ...open, askedAt: 90 * SECOND };
  expect(pulse(asked, 100 * SECOND)).toBe('well');
  expect(pulse(asked, 120 * SECOND)).toBe('dead');
  expect(pulse({ ...asked, heardAt: 91 * SECOND }, 100 * SECOND)).toBe('well');
});

test('a connection that never opens is given up', () => {
  const opening = { isOpen: false, heardAt: 0, askedAt: -SECOND };
  expect(pulse(opening, 15 * SECOND)).toBe('well');
  expect(pulse(opening, 25 * SECOND)).toBe('dead');
});

test('waits begin at 1 s, grow to 5 s and differ from screen to screen', () => {
  const attempts = [0, 1, 2, 10, 1000];
  const shortest = attempts.map((attempt) => waitBeforeAttempt(attempt, 0));
  const longest = attempts.map((attempt) => waitBeforeAttempt(attempt, 1));
  expect(shortest).toEqual([1000, 2000, 2500, 2500, 2500]);
  expect(longest).toEqual([2000, 4000, 5000, 5000, 5000]);
});

test('who has to log in is asked for at a slow pace', () => {
  const [refused, gone] = [new ApiError(401, '/'), new ApiError(0, '/')];
  expect([0, 1].map((random) => waitAfter(refused, 0, random))).toEqual([15_000, 30_000]);
  expect(waitAfter(gone, 0, 0)).toBe(waitBeforeAttempt(0, 0));
});
