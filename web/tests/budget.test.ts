import type { Rolldown } from 'vite';
import { expect, test } from 'vitest';

import { firstLoad } from '../budget';

const NOISE_BYTES = 4096;

/** Bytes that no packing makes fewer. */
function noise(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(NOISE_BYTES));
}

function chunk(fileName: string, more: object = {}) {
  const none = { code: '', imports: [], dynamicImports: [] };
  return { type: 'chunk', fileName, ...none, ...more };
}

function asset(fileName: string, source: string | Uint8Array) {
  return { type: 'asset', fileName, source };
}

function bundle(...parts: { fileName: string }[]): Rolldown.OutputBundle {
  const named = parts.map((part) => [part.fileName, part]);
  return Object.fromEntries(named) as Rolldown.OutputBundle;
}

test('a first load is what a page names and all that this needs, and nothing that comes later', () => {
  const built = bundle(
    asset('index.html', '<script src="/assets/main.js"></script><link href="/assets/all.css">'),
    chunk('assets/main.js', {
      code: 'new Worker("/assets/map-worker.js"); import("./chart.js")',
      imports: ['assets/shared.js'],
      dynamicImports: ['assets/chart.js'],
    }),
    chunk('assets/shared.js', { viteMetadata: { importedCss: new Set(['assets/all.css']) } }),
    chunk('assets/chart.js', { viteMetadata: { importedCss: new Set(['assets/chart.css']) } }),
    asset('assets/map-worker.js', ''),
    asset('assets/all.css', 'url(/assets/inter.woff2) url(/assets/noto-sans-tc-7.woff2)'),
    asset('assets/chart.css', ''),
    asset('assets/inter.woff2', noise()),
    asset('assets/noto-sans-tc-7.woff2', noise()),
    asset('kiosk.html', ''),
  );
  const loaded = firstLoad(built, 'index.html').map(({ file }) => file);
  expect(loaded.sort()).toEqual([
    'assets/all.css',
    'assets/inter.woff2',
    'assets/main.js',
    'assets/map-worker.js',
    'assets/shared.js',
    'index.html',
  ]);
});

test('text weighs what is left of it when packed, a font what it is', () => {
  const built = bundle(
    asset('index.html', '<link href="/assets/all.css">'),
    asset('assets/all.css', `url(/assets/inter.woff2) ${'a{color:red}'.repeat(1000)}`),
    asset('assets/inter.woff2', noise()),
  );
  const weights = new Map(firstLoad(built, 'index.html').map(({ file, bytes }) => [file, bytes]));
  expect(weights.get('assets/inter.woff2')).toBe(NOISE_BYTES);
  expect(weights.get('assets/all.css')).toBeLessThan(12_000 / 10);
});
