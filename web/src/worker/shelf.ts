/** Answers kept for later, up to a size; what was used longest ago goes first. */

/** When an answer was kept, in ms since 1970: the page says how old it is. */
export const KEPT_AT = 'X-Kept-At';
const KEPT_BYTES = 'X-Kept-Bytes';
/** An answer that is new every few seconds is not written to the disk every few seconds. */
const KEEP_AGAIN_MS = 60_000;

interface Entry {
  readonly bytes: number;
  readonly at: number;
}

export class Shelf {
  readonly #name: string;
  readonly #limit_bytes: number;
  /** In the order of use. A cache keeps its own in the order of writing, for the next start. */
  #known: Promise<Map<string, Entry>> | null = null;
  /** The same once it has been read. */
  #atHand: Map<string, Entry> | null = null;

  constructor(name: string, limit_bytes: number) {
    this.#name = name;
    this.#limit_bytes = limit_bytes;
  }

  async find(key: string): Promise<Response | undefined> {
    const known = await this.#entries();
    const entry = known.get(key);
    if (!entry) return undefined;
    known.delete(key);
    known.set(key, entry);
    return (await caches.open(this.#name)).match(key);
  }

  /** Whether it may be time to keep what this key names: not if that was done a moment ago. */
  wants(key: string): boolean {
    return Date.now() - (this.#atHand?.get(key)?.at ?? 0) >= KEEP_AGAIN_MS;
  }

  /** Keep an answer; a storage that is full loses half of the shelf, and the answer is not kept. */
  async keep(key: string, answer: Response): Promise<void> {
    const known = await this.#entries();
    const at = Date.now();
    if (at - (known.get(key)?.at ?? 0) < KEEP_AGAIN_MS) return;
    const body = await answer.arrayBuffer();
    const bytes = body.byteLength;
    if (bytes > this.#limit_bytes / 4) return;
    try {
      const cache = await caches.open(this.#name);
      await cache.put(key, dated(answer, body, at));
      known.delete(key);
      known.set(key, { bytes, at });
      await this.#shrink(known, this.#limit_bytes);
    } catch {
      await this.#shrink(known, total(known) / 2);
    }
  }

  async forget(): Promise<void> {
    this.#known = this.#atHand = null;
    await caches.delete(this.#name);
  }

  async #shrink(known: Map<string, Entry>, limit_bytes: number): Promise<void> {
    let held = total(known);
    if (held <= limit_bytes) return;
    const cache = await caches.open(this.#name);
    for (const [key, { bytes }] of known) {
      if (held <= limit_bytes) return;
      known.delete(key);
      held -= bytes;
      await cache.delete(key);
    }
  }

  #entries(): Promise<Map<string, Entry>> {
    return (this.#known ??= this.#read());
  }

  async #read(): Promise<Map<string, Entry>> {
    const cache = await caches.open(this.#name);
    const known = new Map<string, Entry>();
    for (const request of await cache.keys()) {
      const headers = (await cache.match(request))?.headers;
      const { pathname, search } = new URL(request.url);
      known.set(pathname + search, {
        bytes: Number(headers?.get(KEPT_BYTES)),
        at: Number(headers?.get(KEPT_AT)),
      });
    }
    return (this.#atHand = known);
  }
}

function total(known: ReadonlyMap<string, Entry>): number {
  let bytes = 0;
  for (const entry of known.values()) bytes += entry.bytes;
  return bytes;
}

/** The body is unpacked by now, and an answer of no bytes may have no body. */
function dated(answer: Response, body: ArrayBuffer, at: number): Response {
  const headers = new Headers(answer.headers);
  headers.delete('Content-Encoding');
  headers.set(KEPT_AT, String(at));
  headers.set(KEPT_BYTES, String(body.byteLength));
  return new Response(body.byteLength > 0 ? body : null, { status: answer.status, headers });
}
