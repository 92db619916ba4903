/** Asks ahead for what the map will want next, as long as it costs nobody anything. */

/** Most at a time: the ring around a large screen. */
const MOST = 40;

interface Connection {
  readonly saveData?: boolean;
}

export class Prefetch {
  #running = new AbortController();

  /**
   * Bring these addresses into the browser's cache, one after the other; whatever was asked for
   * before and has not come is given up. Nothing is asked for on a line that is to be spared.
   */
  fetch(addresses: readonly string[]): void {
    this.stop();
    const { connection } = navigator as Navigator & { connection?: Connection };
    if (connection?.saveData || document.hidden || !navigator.onLine) return;
    this.#running = new AbortController();
    void fetchAll(addresses.slice(0, MOST), this.#running.signal);
  }

  stop(): void {
    this.#running.abort();
  }
}

async function fetchAll(addresses: readonly string[], signal: AbortSignal): Promise<void> {
  try {
    for (const address of addresses) {
      const answer = await fetch(address, { signal, priority: 'low' });
      await answer.arrayBuffer();
    }
  } catch {
    // It will be asked for again once it is wanted.
  }
}
