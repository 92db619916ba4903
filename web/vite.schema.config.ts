import { defineConfig } from 'vite';

import { budget } from './budget.ts';
import { packing } from './packing.ts';

const PAGE = 'schema.html';
/** Fonts, which the other pages have too, are most of it. */
const FIRST_LOAD_BYTES = 160_000;

/**
 * The page of the API, built by itself into the same folder: few readers open it, so nobody else
 * loads a part of it, and a server that has no other page needs these files only.
 */
export default defineConfig({
  base: '/',
  plugins: [budget([PAGE], FIRST_LOAD_BYTES), packing()],
  build: {
    outDir: '../urbanos_edge/static',
    emptyOutDir: false,
    // A data: address would be refused by the page's Content-Security-Policy.
    assetsInlineLimit: 0,
    rolldownOptions: { input: [PAGE] },
    modulePreload: { polyfill: false },
  },
});
