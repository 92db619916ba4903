import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import type { NodeStatus } from '../src/api-types';
import { Knowledge, rulesOf } from '../src/knowledge';
import { initialState, withBar, withLink, type State } from '../src/state';
import { Store } from '../src/store';
import { NOON_MS, usEpa } from './samples';

const SENSORS = '/api/v1/sensors?limit=10000';
const status = {
  node: { name: 'Town Hall' },
  time_zone: 'UTC',
  demo: false,
} as NodeStatus;

beforeEach(() => {
  vi.stubGlobal('document', { hidden: false });
  vi.stubGlobal('requestAnimationFrame', () => 0);
});
afterEach(() => vi.unstubAllGlobals());

function known(tellsAlerts = true): { store: Store<State>; knowledge: Knowledge } {
  const store = new Store<State>(initialState);
  return { store, knowledge: new Knowledge(store, { tellsAlerts }) };
}

/** A node that answers when it is told to; which requests it got. */
function slowNode(): { asked: string[]; answer: () => void } {
  const asked: string[] = [];
  const waiting: (() => void)[] = [];
  vi.stubGlobal('fetch', (address: string) => {
    asked.push(address);
    const body = { sensors: [], alerts: [], count: 0, raised: 0 };
    return new Promise((resolve) => waiting.push(() => resolve(Response.json(body))));
  });
  return { asked, answer: () => waiting.splice(0).forEach((go) => go()) };
}

test('who asks while all is being read is not forgotten, and two of them cost one more round', async () => {
  const { asked, answer } = slowNode();
  const { knowledge } = known(false);
  const first = knowledge.refresh();
  await Promise.all([knowledge.refresh(), knowledge.refresh()]);
  expect(asked).toEqual([SENSORS]);
  answer();
  await vi.waitFor(() => expect(asked).toEqual([SENSORS, SENSORS]));
  answer();
  await first;
  expect(asked).toHaveLength(2);
});

test('a screen that shows no alerts reads none', async () => {
  const asked: string[] = [];
  vi.stubGlobal('fetch', (address: string) => {
    asked.push(address);
    return Promise.resolve(Response.json({ sensors: [], alerts: [], count: 0, raised: 0 }));
  });
  await known(false).knowledge.refresh();
  expect(asked).toEqual([SENSORS]);
  await known(true).knowledge.refresh();
  expect(asked.some((address) => address.startsWith('/api/v1/alerts'))).toBe(true);
});

test('a reader without a login is told so until the node shows them its readings', async () => {
  const { store, knowledge } = known();
  let isLoggedIn = false;
  vi.stubGlobal('fetch', () => {
    const body = { sensors: [], alerts: [], count: 0, raised: 0 };
    return Promise.resolve(Response.json(body, { status: isLoggedIn ? 200 : 401 }));
  });
  await knowledge.refresh();
  expect(store.value.isBarred).toBe(true);
  isLoggedIn = true;
  await knowledge.refresh();
  expect(store.value.isBarred).toBe(false);
});

test('a connection that stands was let in', () => {
  const barred = withBar(initialState, true);
  expect(withLink(barred, 'lost', NOON_MS).isBarred).toBe(true);
  expect(withLink(barred, 'live', NOON_MS).isBarred).toBe(false);
});

test('a page begins anew by other rules only: standard, tables, zone, demonstration or name', () => {
  const begun = rulesOf({ status, standard: usEpa });
  expect(rulesOf({ status: { ...status, version: '2', boot: 'b' }, standard: usEpa })).toBe(begun);
  const others = [
    { status, standard: { ...usEpa, id: 'eu-eea-2024' } },
    { status, standard: { ...usEpa, version: '2' } },
    { status: { ...status, time_zone: 'Asia/Taipei' }, standard: usEpa },
    { status: { ...status, demo: true }, standard: usEpa },
    { status: { ...status, node: { ...status.node, name: 'Harbour' } }, standard: usEpa },
  ];
  for (const other of others) expect(rulesOf(other)).not.toBe(begun);
});

test('by which rules the node goes is never told from what was kept', async () => {
  const begun = { status, standard: usEpa, readings: { tiles: [] } as never, basemap: null };
  const caches: unknown[] = [];
  let standard = usEpa;
  vi.stubGlobal('fetch', (address: string, { cache }: RequestInit) => {
    caches.push(cache);
    return Promise.resolve(Response.json(address.endsWith('standard') ? standard : status));
  });
  const { knowledge } = known();
  expect(await knowledge.isRuledOtherwise(begun)).toBe(false);
  standard = { ...usEpa, id: 'eu-eea-2024' };
  expect(await knowledge.isRuledOtherwise(begun)).toBe(true);
  expect(new Set(caches)).toEqual(new Set(['no-store']));
});
