/** The images of markers: drawn when they are missed, and not kept for ever. */

import type { Map as MapLibre } from 'maplibre-gl';

import { drawMarker, MARKER_PIXEL_RATIO, type MarkerInput } from './marker';

/** So many stay in any case, of 16 to 40 kB each. A screen that hangs for weeks sees every number. */
const FEWEST = 64;
const LOOK_MS = 10_000;

export class MarkerImages {
  readonly #map: MapLibre;
  readonly #names = new Set<string>();
  #input: MarkerInput;
  #most = FEWEST;
  #hasForgotten = false;
  readonly #looks: number;

  constructor(map: MapLibre, input: MarkerInput) {
    this.#map = map;
    this.#input = input;
    map.setMissingStyleImageResolver((name) => this.#add(name));
    this.#looks = window.setInterval(() => this.#lookAtCount(), LOOK_MS);
  }

  /** The map goes. */
  end(): void {
    window.clearInterval(this.#looks);
  }

  /** Other colours, for those that are there and those to come. */
  redraw(input: MarkerInput): void {
    this.#input = input;
    for (const name of this.#names) {
      const image = drawMarker(name, input);
      if (image && this.#map.hasImage(name)) this.#map.updateImage(name, image);
    }
  }

  async #add(name: string): Promise<void> {
    // Drawn before the font is there, a number would stay in the wrong one.
    await document.fonts.load('650 13px Inter').catch(() => []);
    const image = drawMarker(name, this.#input);
    if (!image || this.#map.hasImage(name)) return;
    this.#map.addImage(name, image, { pixelRatio: MARKER_PIXEL_RATIO });
    this.#names.add(name);
  }

  /**
   * Forget all once they are too many; those in view are missed, and drawn again, at once.
   *
   * Twice what is in view may stay: a view that needs more than the fewest is not drawn for ever.
   */
  #lookAtCount(): void {
    if (this.#hasForgotten) {
      this.#most = Math.max(FEWEST, 2 * this.#names.size);
      this.#hasForgotten = false;
    } else if (this.#names.size > this.#most) {
      for (const name of this.#names) if (this.#map.hasImage(name)) this.#map.removeImage(name);
      this.#names.clear();
      this.#hasForgotten = true;
    }
  }
}
