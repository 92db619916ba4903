/**
 * The service worker: with it the page opens, and shows what it last knew, while the node is gone.
 *
 * The page's files are kept by version. A version is complete or it is not there: each file must
 * have the hash that this script names, so a node that changes while its files are read leaves the
 * old version in place. The version before stays beside the new one, for pages that are still open.
 */

import { planFor, type Plan, type ShelfName } from './routes';
import { Shelf } from './shelf';

/** The build writes it before this script: the pages' files, each with its hash. */
interface Shell {
  readonly version: string;
  readonly files: readonly (readonly [path: string, integrity: string])[];
}

declare const self: ServiceWorkerGlobalScope & { readonly SHELL: Shell };

const MIB = 1 << 20;
/** A node that is cut off does not refuse, it says nothing: then what is kept comes instead. */
const PATIENCE_MS = 3000;
/** Between the page and a node that is gone there may be a proxy, which says so. */
const GONE = [502, 503, 504];
const SHELLS = 'shell-';
const OWN_SHELL = SHELLS + self.SHELL.version;

const shelves: Readonly<Record<ShelfName, Shelf>> = {
  fonts: new Shelf('fonts', 16 * MIB),
  basemap: new Shelf('basemap', 64 * MIB),
  readings: new Shelf('readings', 16 * MIB),
  answers: new Shelf('answers', 32 * MIB),
};

self.addEventListener('install', (event) => event.waitUntil(fillShell()));
self.addEventListener('activate', (event) => event.waitUntil(takeOver()));
self.addEventListener('message', ({ data }) => {
  if (data === 'take over') void self.skipWaiting();
  if (data === 'forget') void forgetAnswers();
});
self.addEventListener('fetch', (event) => {
  const { request } = event;
  const address = new URL(request.url);
  if (request.method !== 'GET' || address.origin !== self.location.origin) return;
  if (request.headers.has('Authorization')) return;
  const plan = planFor(address);
  if (plan) event.respondWith(answer(event, plan));
});

async function fillShell(): Promise<void> {
  const cache = await caches.open(OWN_SHELL);
  try {
    await Promise.all(
      self.SHELL.files.map(async ([path, integrity]) => {
        const file = await fetch(path, { integrity, cache: 'no-cache' });
        if (!file.ok) throw new Error(`${path}: ${file.status}`);
        await cache.put(path, file);
      }),
    );
  } catch (error) {
    await caches.delete(OWN_SHELL);
    throw error;
  }
}

async function takeOver(): Promise<void> {
  const others = (await caches.keys()).filter(
    (name) => name.startsWith(SHELLS) && name !== OWN_SHELL,
  );
  await Promise.all(others.slice(0, -1).map((name) => caches.delete(name)));
  await self.clients.claim();
}

function answer(event: FetchEvent, plan: Plan): Promise<Response> {
  // Whoever asks so has no use for what was kept. `no-cache` is no such word: a reload says it, too.
  if (event.request.cache === 'no-store') return fromNode(event, plan);
  switch (plan.first) {
    case 'shell':
      return fromShell(event, plan);
    case 'kept':
      return keptOr(plan, () => fromAnyShell(event, plan));
    case 'node':
      return nodeFirst(event, plan);
    case 'both':
      return both(event, plan);
  }
}

/** A page that is still open may ask for a file of the version before. */
async function fromShell(event: FetchEvent, { key }: Plan): Promise<Response> {
  const own = await caches.match(key, { cacheName: OWN_SHELL });
  if (event.request.mode === 'navigate') {
    // The node counts what a page asks by a cookie that it gives to who loads the page.
    event.waitUntil(fetch(key, { cache: 'no-cache' }).catch(() => null));
    return own ?? fetch(event.request);
  }
  return own ?? (await caches.match(key)) ?? fetch(event.request);
}

/** Whatever version a file came with: under its name there is no other content. */
async function fromAnyShell(event: FetchEvent, plan: Plan): Promise<Response> {
  return (await caches.match(plan.key)) ?? fromNode(event, plan);
}

async function nodeFirst(event: FetchEvent, plan: Plan): Promise<Response> {
  const asked = fromNode(event, plan);
  const given = await Promise.race([asked.catch(() => null), silence()]);
  if (given && !GONE.includes(given.status)) return given;
  return keptOr(plan, () => asked);
}

function both(event: FetchEvent, plan: Plan): Promise<Response> {
  const asked = fromNode(event, plan);
  event.waitUntil(asked.catch(() => null));
  return keptOr(plan, () => asked);
}

async function keptOr(plan: Plan, otherwise: () => Promise<Response>): Promise<Response> {
  const kept = await shelves[plan.shelf].find(plan.key).catch(() => undefined);
  return kept ?? otherwise();
}

/** What the node answers, which is kept; that there is nothing is an answer, too, for now. */
async function fromNode(event: FetchEvent, { first, shelf, key }: Plan): Promise<Response> {
  const asked = fetch(event.request);
  event.waitUntil(asked.catch(() => null));
  const given = await asked;
  if (given.status === 401) event.waitUntil(forgetAnswers());
  // A copy that nobody reads would be held all the same, with all that is in it.
  const isAnswer = given.ok || (given.status === 404 && first !== 'kept');
  if (isAnswer && shelves[shelf].wants(key)) {
    event.waitUntil(shelves[shelf].keep(key, given.clone()).catch(() => null));
  }
  return given;
}

/** Whoever may not read here any more finds nothing that was read before. */
async function forgetAnswers(): Promise<void> {
  await Promise.all([shelves.answers.forget(), shelves.readings.forget()]);
}

function silence(): Promise<null> {
  return new Promise((resolve) => setTimeout(() => resolve(null), PATIENCE_MS));
}
