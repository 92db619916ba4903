import { readFileSync } from 'node:fs';

import { defineConfig, type Plugin } from 'vite';

/** `npm run dev` shows a node that runs on its default port. */
const NODE = 'http://localhost:8080';

/** What the bundle contains of others, with the licence texts that must travel along. */
const BUNDLED = {
  'MapLibre GL JS': 'maplibre-gl/LICENSE.txt',
  uPlot: 'uplot/LICENSE',
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

export default defineConfig({
  base: '/',
  plugins: [licences()],
  build: {
    outDir: '../urbanos_edge/static',
    emptyOutDir: true,
    // A data: address would be refused by the page's Content-Security-Policy.
    assetsInlineLimit: 0,
    rolldownOptions: { input: ['index.html', 'kiosk.html'] },
    modulePreload: { polyfill: false },
    // MapLibre alone is 1.1 MB before compression.
    chunkSizeWarningLimit: 1400,
  },
  server: {
    proxy: {
      '/api': NODE,
      '/tiles': NODE,
      '/basemap': NODE,
      '/ws': { target: NODE, ws: true },
    },
  },
});
