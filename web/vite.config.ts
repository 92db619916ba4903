import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { defineConfig, type Plugin } from 'vite';

import { budget } from './budget.ts';
import { packing } from './packing.ts';

/** `npm run dev` shows a node that runs on its default port. */
const NODE = 'http://localhost:8080';

/** What the bundle contains of others, with the licence texts that must travel along. */
const BUNDLED = {
  'MapLibre GL JS': 'maplibre-gl/LICENSE.txt',
  uPlot: 'uplot/LICENSE',
  'TopoJSON Client': 'topojson-client/LICENSE',
  'World Atlas TopoJSON (map data of Natural Earth, public domain)': 'world-atlas/LICENSE',
  Inter: '@fontsource-variable/inter/LICENSE',
  'Noto Sans TC': '@fontsource-variable/noto-sans-tc/LICENSE',
};

function licences(): Plugin {
  return {
    name: 'licences',
    generateBundle() {
      const texts = Object.entries(BUNDLED).map(([name, path]) => {
        const text = readFileSync(new URL(`node_modules/${path}`, import.meta.url), 'utf8');
        return `${name}\n${'='.repeat(name.length)}\n\n${text.trim()}\n`;
      });
      this.emitFile({ type: 'asset', fileName: 'licences.txt', source: texts.join('\n\n') });
    },
  };
}

/** Where the pages are answered, by their file. */
const PAGES: Readonly<Record<string, string>> = {
  'index.html': '/',
  'kiosk.html': '/kiosk',
  'admin.html': '/admin',
};
/** The Chinese font is many files, of which a reader needs few: they are kept as they are used. */
const NOT_IN_SHELL = /noto-sans-tc|licences\.txt|^sw\.js$/;

/**
 * Tells the service worker which files make up this version, each with the hash it must have.
 *
 * A worker that alone has changed is another version, too: it would fill the cache of the one in use,
 * and throw it away when that fails.
 */
function shell(): Plugin {
  return {
    name: 'shell',
    writeBundle({ dir = '' }, bundle) {
      const names = Object.keys(bundle).filter((name) => !NOT_IN_SHELL.test(name));
      const files = names.sort().map((name) => {
        const hash = createHash('sha256').update(readFileSync(join(dir, name)));
        return [PAGES[name] ?? `/${name}`, `sha256-${hash.digest('base64')}`];
      });
      const worker = join(dir, 'sw.js');
      const script = readFileSync(worker, 'utf8');
      const whole = createHash('sha256').update(JSON.stringify(files)).update(script);
      const version = whole.digest('hex').slice(0, 12);
      writeFileSync(worker, `self.SHELL=${JSON.stringify({ version, files })};\n${script}`);
    },
  };
}

/** Of what a page loads before any tile: on a slow line of 4 Mbit/s that takes 3 s. */
const FIRST_LOAD_BYTES = 1_500_000;

export default defineConfig({
  base: '/',
  plugins: [licences(), budget(Object.keys(PAGES), FIRST_LOAD_BYTES), shell(), packing()],
  build: {
    outDir: '../urbanos_edge/static',
    emptyOutDir: true,
    // A data: address would be refused by the page's Content-Security-Policy.
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: ['index.html', 'kiosk.html', 'admin.html', 'src/worker/sw.ts'],
      output: {
        // A service worker is known by its address, which must not change.
        entryFileNames: ({ name }) => (name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js'),
      },
    },
    modulePreload: { polyfill: false },
    // MapLibre alone is 1.1 MB before compression.
    chunkSizeWarningLimit: 1400,
  },
  server: {
    proxy: {
      // As it was asked for: the node takes what changes something from its own pages only.
      '/api': { target: NODE, changeOrigin: false },
      '/tiles': NODE,
      '/basemap': NODE,
      '/schema/': NODE,
      '/ws': { target: NODE, ws: true },
    },
  },
});
