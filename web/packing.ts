/** What travels packed is packed where it is built, and not by each node at each start. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, gzipSync } from 'node:zlib';

import type { Plugin } from 'vite';

/** Text travels packed, fonts are packed already. */
const TEXT = /\.(js|css|html|json|svg|txt)$/;

/** A file as it travels. */
export function packed(file: string, content: Uint8Array): Uint8Array {
  return TEXT.test(file) ? gzipSync(content, { level: constants.Z_BEST_COMPRESSION }) : content;
}

/** Lays the packed form of each text beside it; after all who write. */
export function packing(): Plugin {
  return {
    name: 'packing',
    writeBundle: {
      order: 'post',
      sequential: true,
      handler({ dir = '' }, bundle) {
        for (const name of Object.keys(bundle).filter((file) => TEXT.test(file))) {
          const path = join(dir, name);
          writeFileSync(`${path}.gz`, packed(name, readFileSync(path)));
        }
      },
    },
  };
}
