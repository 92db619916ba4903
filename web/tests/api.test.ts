import { afterEach, expect, test, vi } from 'vitest';

import { api, ApiError, isUnauthorized } from '../src/api';

afterEach(() => vi.unstubAllGlobals());

/** A node that answers so; what it was asked for, in order. */
function node(answer: (address: string) => unknown): string[] {
  const asked: string[] = [];
  vi.stubGlobal('fetch', (address: string) => {
    asked.push(address);
    return Promise.resolve(Response.json(answer(address)));
  });
  return asked;
}

test('no alert that is raised is left out because many others are newer', async () => {
  const limitOf = (address: string) =>
    Number(new URL(address, 'http://node').searchParams.get('limit'));
  const asked = node((address) => {
    const count = Math.min(limitOf(address), 250);
    return { alerts: Array.from({ length: count }, (_, id) => ({ id })), count, raised: 250 };
  });
  expect((await api.alerts()).alerts).toHaveLength(250);
  expect(asked.map(limitOf)).toEqual([100, 250]);
});

test('the list of alerts is asked for once while all that are raised are in it', async () => {
  const asked = node(() => ({ alerts: [], count: 100, raised: 100 }));
  await api.alerts();
  expect(asked).toHaveLength(1);
});

test('every request has an end', async () => {
  const signals: unknown[] = [];
  vi.stubGlobal('fetch', (_: string, { signal }: RequestInit) => {
    signals.push(signal);
    return Promise.resolve(Response.json({ alerts: [], count: 0, raised: 0 }));
  });
  await Promise.all([api.status(), api.sensors(10), api.alerts({ cache: 'no-store' })]);
  await api.report({ lat: 0, lng: 0, kind: 'smoke', note: '' });
  expect(signals).toHaveLength(4);
  for (const signal of signals) expect(signal).toBeInstanceOf(AbortSignal);
});

test('an answer that breaks off is none', async () => {
  const broken = () => new ReadableStream({ pull: (body) => body.error(new TypeError('gone')) });
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(broken())));
  await expect(api.status()).rejects.toMatchObject({ status: 0 });
});

test('a node that wants a login is not one that is gone', async () => {
  vi.stubGlobal('fetch', () => Promise.resolve(new Response('{}', { status: 401 })));
  expect(await api.status().catch(isUnauthorized)).toBe(true);
  expect(isUnauthorized(new ApiError(0, '/'))).toBe(false);
});
