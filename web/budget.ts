/** What a reader loads before any tile, and a build that fails when that is too much. */

import type { Plugin, Rolldown } from 'vite';

import { packed } from './packing.ts';

type Bundle = Rolldown.OutputBundle;

/** Asked for by scripts and styles, and not by the bundler's own lists: workers and fonts. */
const NAMED = /assets\/[\w.-]+?\.(?:js|woff2)\b/g;
/** A font of many files, of which a page loads those whose characters it shows. */
const IN_PARTS = /noto-sans-tc/;

export interface Weight {
  readonly file: string;
  readonly bytes: number;
}

/** The files that a page loads at its start, the heaviest first. */
export function firstLoad(bundle: Bundle, page: string): Weight[] {
  const files = new Set([page]);
  const late = new Set<string>();
  // A set that grows while it is walked is walked to its end.
  for (const file of files) {
    const part = bundle[file];
    if (part?.type === 'chunk') part.dynamicImports.forEach((name) => late.add(name));
    for (const name of neededBy(bundle, file)) if (!late.has(name)) files.add(name);
  }
  const weights = [...files].map((file) => ({ file, bytes: weightOf(bundle, file) }));
  return weights.sort((one, other) => other.bytes - one.bytes);
}

export function budget(pages: readonly string[], most_bytes: number): Plugin {
  return {
    name: 'budget',
    generateBundle: {
      order: 'post',
      handler(_, bundle) {
        for (const page of pages) {
          const parts = firstLoad(bundle, page);
          const sum = parts.reduce((so_far, { bytes }) => so_far + bytes, 0);
          const lines = parts.map(({ file, bytes }) => `${kilobytes(bytes)}  ${file}`);
          const said = `${page} loads ${kilobytes(sum)} of at most ${kilobytes(most_bytes)}`;
          if (sum > most_bytes) this.error([said, ...lines].join('\n'));
          this.info([said, ...lines].join('\n'));
        }
      },
    },
  };
}

function neededBy(bundle: Bundle, file: string): string[] {
  const part = bundle[file];
  if (!part) return [];
  if (part.type === 'asset') return file.endsWith('.html') ? linked(bundle, part) : named(part);
  const { importedCss = [], importedAssets = [] } = part.viteMetadata ?? {};
  return [...part.imports, ...importedCss, ...importedAssets, ...workers(part.code)];
}

/** What a page's head names: its script and its styles. */
function linked(bundle: Bundle, page: Rolldown.OutputAsset): string[] {
  const names = String(page.source).match(/assets\/[\w.-]+/g) ?? [];
  return names.filter((name) => name in bundle);
}

function named(style: Rolldown.OutputAsset): string[] {
  if (!style.fileName.endsWith('.css')) return [];
  const names = String(style.source).match(NAMED) ?? [];
  return names.filter((name) => !IN_PARTS.test(name));
}

function workers(code: string): string[] {
  return (code.match(NAMED) ?? []).filter((name) => name.includes('worker'));
}

function weightOf(bundle: Bundle, file: string): number {
  const part = bundle[file];
  if (!part) return 0;
  const content = Buffer.from(part.type === 'chunk' ? part.code : part.source);
  return packed(file, content).length;
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1).padStart(7)} kB`;
}
