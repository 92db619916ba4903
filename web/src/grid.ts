/** Web Mercator tiles and their grid ids, `z{z}-x{x}-y{y}`; the node computes the same ones. */

export interface Tile {
  readonly z: number;
  readonly x: number;
  readonly y: number;
}

/** Degrees, WGS 84. West of the antimeridian `minLng` may lie above `maxLng`, or below -180. */
export interface Bounds {
  readonly minLat: number;
  readonly maxLat: number;
  readonly minLng: number;
  readonly maxLng: number;
}

/** The latitude at which the square Mercator world ends. */
export const LAST_LATITUDE = 85.0511287798066;

export function gridId({ z, x, y }: Tile): string {
  return `z${z}-x${x}-y${y}`;
}

export function parseGridId(id: string): Tile | null {
  const match = /^z(\d{1,2})-x(\d+)-y(\d+)$/.exec(id);
  if (!match) return null;
  return { z: Number(match[1]), x: Number(match[2]), y: Number(match[3]) };
}

export function tileAt(lat: number, lng: number, zoom: number): Tile {
  const size = 2 ** zoom;
  return { z: zoom, x: wrap(column(lng, size), size), y: row(lat, size) };
}

/** Every tile that these bounds touch, each once, however often the world is repeated in view. */
export function tilesInBounds(bounds: Bounds, zoom: number): Tile[] {
  const size = 2 ** zoom;
  const west = column(bounds.minLng, size);
  const east = Math.min(column(bounds.maxLng, size), west + size - 1);
  const tiles: Tile[] = [];
  for (let y = row(bounds.maxLat, size); y <= row(bounds.minLat, size); y++) {
    for (let x = west; x <= east; x++) tiles.push({ z: zoom, x: wrap(x, size), y });
  }
  return tiles;
}

/** The tiles around these, each once and none of these: where the view may go next. */
export function tilesAround(tiles: readonly Tile[]): Tile[] {
  const inView = new Set(tiles.map(gridId));
  const around = new Map<string, Tile>();
  for (const { z, x, y } of tiles) {
    const size = 2 ** z;
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        const tile = { z, x: wrap(x + dx, size), y: y + dy };
        const id = gridId(tile);
        if (tile.y >= 0 && tile.y < size && !inView.has(id)) around.set(id, tile);
      }
    }
  }
  return [...around.values()];
}

/** The tile itself when it is no deeper than `zoom`, else the one at `zoom` that contains it. */
export function atMostZoom(tile: Tile, zoom: number): Tile {
  const levels = Math.max(0, tile.z - zoom);
  return { z: tile.z - levels, x: tile.x >> levels, y: tile.y >> levels };
}

function column(lng: number, size: number): number {
  return Math.floor(((lng + 180) / 360) * size);
}

function row(lat: number, size: number): number {
  const radians = (clamp(lat, -LAST_LATITUDE, LAST_LATITUDE) * Math.PI) / 180;
  const fraction = (1 - Math.asinh(Math.tan(radians)) / Math.PI) / 2;
  return clamp(Math.floor(fraction * size), 0, size - 1);
}

function wrap(x: number, size: number): number {
  return ((x % size) + size) % size;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
