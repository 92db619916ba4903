/**
 * The map itself.
 *
 * How it stays live: readings are vector tiles, and an update names the grid it touched. The tiles
 * over that grid are asked for again (`refreshTiles`), which keeps the old ones on screen until
 * the new ones are parsed in the worker, so nothing blinks and the main thread only swaps buffers.
 * Replacing the whole source, or drawing 7,000 sensors from GeoJSON, would do that work for every
 * sensor at every update. Tiles may be cached for 10 s, so each is asked for with the newest known
 * sequence number: never older than what this page has already heard. MapLibre's own refresh by
 * `max-age` stays on: it brings news where WebSockets do not get through.
 */

import type { Feature } from 'geojson';
import {
  AttributionControl,
  Map as MapLibre,
  Popup,
  ScaleControl,
  setWorkerUrl,
  type ErrorEvent,
  type GeoJSONSource,
  type MapMouseEvent,
  type RequestParameters,
  type VectorTileSource,
} from 'maplibre-gl';
import 'maplibre-gl/dist/maplibre-gl.css';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';

import { REPORTS_ADDRESS } from '../api';
import {
  atMostZoom,
  gridId,
  parseGridId,
  tilesAround,
  tilesInBounds,
  type Bounds,
  type Tile,
} from '../grid';
import { isDrawable } from './basemap-style';
import { BASEMAP } from './ink';
import { FLOOR, GRATICULE, withFloor } from './floor-style';
import { graticule } from './graticule';
import { MarkerImages } from './marker-images';
import { selectedMarkerName } from './marker-name';
import { Prefetch } from './prefetch';
import type { Place, Sensor } from '../state';
import {
  buildStyle,
  readingTiles,
  CLUSTER_LAYER,
  NOW,
  READINGS,
  REPORT_LAYER,
  REPORTS,
  SELECTION,
  SENSOR_LAYER,
  type StyleInput,
} from './style';

const DEEPEST_GRID_ZOOM = 18;
const MAX_ZOOM = 19;
/** Below `MAX_ZOOM` by this many levels MapLibre stops splitting tiles, and stretches them. */
const STRETCHED_LEVELS = 4;
const REFRESH_DELAY_MS = 150;
/** How long a view stands before what lies around it is fetched. */
const AHEAD_AFTER_MS = 500;
const GLIDE_ZOOM = 15;
const GLIDE_MS = 3000;
/** How often the map looks again at which sensors have become stale, also without the node. */
const STALE_CHECK_MS = 10_000;

/** Pixels at each side of the map that something floats over. */
export interface Insets {
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  readonly left: number;
}

/** What the map shows at first, unless its address says otherwise. */
export interface Start {
  readonly bounds: Bounds | null;
  readonly covered: Insets;
  /** Nobody moves it, and its address stays as it is. */
  readonly isStill?: boolean;
  /** Unless false, the page's address tells what is seen of it. */
  readonly hasAddress?: boolean;
}

export interface MapHandlers {
  /** Somewhere was clicked; true when that place was what was wanted, and nothing else. */
  onPlace(place: Place): boolean;
  /** A sensor was clicked. */
  onChoose(id: string): void;
  /** What somebody reported was clicked: its fields as the node gives them. */
  onReport(report: Readonly<Record<string, unknown>>): HTMLElement;
  /** The view changed; these grids are in it now. */
  onView(gridIds: string[]): void;
}

/** What MapLibre's errors about tiles carry, without a type of its own. */
interface FailedTile {
  state: string;
  unloadVectorData(): void;
}

export class MapView {
  readonly #map: MapLibre;
  readonly #handlers: Partial<MapHandlers>;
  readonly #isMovable: boolean;
  readonly #images: MarkerImages;
  #input: StyleInput;
  #tiles: string[];
  #version = '';
  #touched = new Set<string>();
  #refreshTimer = 0;
  #selected: Sensor | null = null;
  #styled = false;
  readonly #prefetch = new Prefetch();
  #aheadTimer = 0;
  readonly #clock: number;

  constructor(
    container: HTMLElement,
    input: StyleInput,
    start: Start,
    handlers: Partial<MapHandlers>,
  ) {
    setWorkerUrl(workerUrl);
    this.#input = input;
    this.#tiles = readingTiles(input.readings, input);
    this.#handlers = handlers;
    this.#isMovable = !start.isStill;
    this.#map = new MapLibre({
      container,
      style: buildStyle(input),
      ...(start.bounds && { bounds: corners(start.bounds) }),
      fitBoundsOptions: { padding: padded(start.covered), maxZoom: 15 },
      hash: !start.isStill && start.hasAddress !== false,
      interactive: !start.isStill,
      maxZoom: MAX_ZOOM,
      zoomLevelsToOverscale: STRETCHED_LEVELS,
      attributionControl: false,
      dragRotate: false,
      touchPitch: false,
      pitchWithRotate: false,
      transformRequest: (url) => this.#ownRequest(url),
    });
    if (!start.isStill) {
      this.#map.touchZoomRotate.disableRotation();
      this.#map.keyboard.disableRotation();
    }
    this.#images = new MarkerImages(this.#map, input);
    this.#listen();
    if (!isDrawable(input.basemap)) void this.#layFloor();
    this.#clock = window.setInterval(
      () => this.#setNow(Math.floor(Date.now() / 1000)),
      STALE_CHECK_MS,
    );
  }

  /** A map that is only taken from the page keeps its timers, and one of the few WebGL contexts. */
  remove(): void {
    this.#images.end();
    this.#prefetch.stop();
    window.clearInterval(this.#clock);
    window.clearTimeout(this.#aheadTimer);
    window.clearTimeout(this.#refreshTimer);
    // What is still under way finds no style to draw in.
    this.#styled = false;
    this.#map.remove();
  }

  /** MapLibre's controls, to be placed where the page has room for them. */
  get controls(): HTMLElement[] {
    const scale = new ScaleControl({ maxWidth: 96 });
    const attribution = new AttributionControl({ compact: false });
    return [scale, attribution].map((control) => control.onAdd(this.#map));
  }

  get canvas(): HTMLCanvasElement {
    return this.#map.getCanvas();
  }

  zoomBy(levels: number): void {
    this.#map.easeTo({ zoom: this.#map.getZoom() + levels, duration: 200 });
  }

  /** These grids have changed; `version` is new whenever anything has. */
  refresh(gridIds: Iterable<string>, version: string): void {
    this.#version = version;
    for (const id of gridIds) this.#touched.add(id);
    this.#refreshTimer ||= window.setTimeout(() => this.#refreshTouched(), REFRESH_DELAY_MS);
  }

  /** Anything may have changed. */
  refreshAll(): void {
    this.#whenStyled(() => {
      this.#map.refreshTiles(READINGS);
      if (isDrawable(this.#input.basemap)) this.#map.refreshTiles(BASEMAP);
    });
  }

  /** What people report has changed. */
  refreshReports(): void {
    const source = this.#map.getSource<GeoJSONSource>(REPORTS);
    source?.setData(REPORTS_ADDRESS);
  }

  /** The place at a point of the screen, in pixels from its left and top. */
  placeAt(x: number, y: number): Place {
    const { lat, lng } = this.#map.unproject([x, y]).wrap();
    return { lat, lng };
  }

  restyle(change: Partial<StyleInput>): void {
    this.#input = { ...this.#input, ...change };
    this.#whenStyled(() => {
      this.#changeTiles();
      this.#map.setStyle(buildStyle(this.#input), { diff: true, transformStyle: withFloor });
      this.#images.redraw(this.#input);
      this.#drawSelected();
    });
  }

  /** Ring a sensor; none, or one without a place, takes the ring away. */
  select(sensor: Sensor | null): void {
    this.#selected = sensor;
    this.#whenStyled(() => this.#drawSelected());
  }

  /** Bring a place out from under what floats over the map, moving no more than is needed. */
  reveal(place: Place, insets: Insets): void {
    const { clientWidth: width, clientHeight: height } = this.#map.getContainer();
    const { x, y } = this.#map.project(place);
    const free = padded(insets);
    const isFree =
      x > free.left && x < width - free.right && y > free.top && y < height - free.bottom;
    if (isFree) return;
    const offset: [number, number] = [
      (insets.left - insets.right) / 2,
      (insets.top - insets.bottom) / 2,
    ];
    this.#map.easeTo({ center: place, offset, duration: 300 });
  }

  /** Go slowly to where a place lies in the middle of what is free. */
  glideTo(place: Place, insets: Insets): void {
    const padding = padded(insets);
    this.#map.easeTo({ center: place, zoom: GLIDE_ZOOM, padding, duration: GLIDE_MS });
  }

  /** Go to the place of a sensor that a link names. */
  jumpTo(place: Place): void {
    this.#map.jumpTo({ center: place, zoom: Math.max(15, this.#map.getZoom()) });
  }

  /** Move ages on: what was fresh may be stale by now. */
  #setNow(now_s: number): void {
    this.#input = { ...this.#input, now_s };
    if (this.#input.hour !== null) return;
    this.#whenStyled(() => this.#map.setGlobalStateProperty(NOW, now_s));
  }

  /** Another layer, with the old one on screen until it has come: a new source would blink. */
  #changeTiles(): void {
    const wanted = readingTiles(this.#input.readings, this.#input);
    if (wanted.join() === this.#tiles.join()) return;
    this.#tiles = wanted;
    this.#map.getSource<VectorTileSource>(READINGS)?.setTiles(wanted);
  }

  async #layFloor(): Promise<void> {
    const { readFloor } = await import('./floor');
    const land = await readFloor();
    this.#whenStyled(() => this.#map.getSource<GeoJSONSource>(FLOOR)?.setData(land));
  }

  #listen(): void {
    const map = this.#map;
    map.once('style.load', () => (this.#styled = true));
    map.on('load', () => this.#reportView());
    map.on('moveend', () => this.#reportView());
    map.on('movestart', () => this.#prefetch.stop());
    map.on('click', (event) => this.#click(event));
    map.on('error', (event) => dropUnplaced(event));
    for (const layer of [SENSOR_LAYER, CLUSTER_LAYER, REPORT_LAYER]) {
      map.on('mouseenter', layer, () => (this.canvas.style.cursor = 'pointer'));
      map.on('mouseleave', layer, () => (this.canvas.style.cursor = ''));
    }
  }

  #reportView(): void {
    const visible = this.#visible();
    this.#map.getSource<GeoJSONSource>(GRATICULE)?.setData(graticule(visible));
    this.#handlers.onView?.(this.#tilesInView(DEEPEST_GRID_ZOOM, visible).map(gridId));
    if (this.#isMovable) this.#fetchAroundSoon();
  }

  /** What is in view comes first. */
  #fetchAroundSoon(): void {
    window.clearTimeout(this.#aheadTimer);
    this.#aheadTimer = window.setTimeout(() => {
      if (this.#map.areTilesLoaded()) this.#fetchAround();
      else this.#fetchAroundSoon();
    }, AHEAD_AFTER_MS);
  }

  /** Have at hand what a step to any side would show. */
  #fetchAround(): void {
    const around = tilesAround(this.#tilesInView(this.#deepestTiles, this.#visible()));
    const [template] = this.#tiles;
    if (template === undefined) return;
    this.#prefetch.fetch(around.map((tile) => this.#ownAddress(filled(template, tile))));
  }

  #visible(): Bounds {
    const bounds = this.#map.getBounds();
    return {
      minLat: bounds.getSouth(),
      maxLat: bounds.getNorth(),
      minLng: bounds.getWest(),
      maxLng: bounds.getEast(),
    };
  }

  #tilesInView(deepest: number, visible: Bounds): Tile[] {
    const zoom = Math.min(Math.floor(this.#map.getZoom()), deepest);
    return tilesInBounds(visible, Math.max(0, zoom));
  }

  get #deepestTiles(): number {
    return Math.max(this.#input.readings.maxzoom ?? 16, MAX_ZOOM - STRETCHED_LEVELS);
  }

  #click(event: MapMouseEvent): void {
    const { lat, lng } = event.lngLat.wrap();
    if (this.#handlers.onPlace?.({ lat, lng })) return;
    const known = [SELECTION, SENSOR_LAYER, CLUSTER_LAYER, REPORT_LAYER];
    const layers = known.filter((id) => this.#map.getLayer(id));
    const [top] = this.#map.queryRenderedFeatures(event.point, { layers });
    if (!top) return;
    if (top.layer.id === REPORT_LAYER) return this.#openReport(event, top.properties);
    if (top.layer.id !== CLUSTER_LAYER) return this.#handlers.onChoose?.(String(top.properties.id));
    this.#map.easeTo({ center: event.lngLat, zoom: this.#map.getZoom() + 2, duration: 300 });
  }

  #openReport(event: MapMouseEvent, report: Readonly<Record<string, unknown>>): void {
    const card = this.#handlers.onReport?.(report);
    if (!card) return;
    const popup = new Popup({ closeButton: false, maxWidth: '280px' });
    popup.setLngLat(event.lngLat).setDOMContent(card).addTo(this.#map);
  }

  #refreshTouched(): void {
    this.#refreshTimer = 0;
    const tiles = [...this.#touched]
      .map(parseGridId)
      .filter((tile) => tile !== null)
      .map((tile) => atMostZoom(tile, this.#deepestTiles));
    this.#touched.clear();
    this.#whenStyled(() => this.#map.refreshTiles(READINGS, tiles));
  }

  #drawSelected(): void {
    const sensor = this.#selected;
    const features = sensor?.place ? [selectedFeature(sensor, sensor.place)] : [];
    const source = this.#map.getSource<GeoJSONSource>(SELECTION);
    source?.setData({ type: 'FeatureCollection', features });
  }

  #whenStyled(action: () => void): void {
    if (this.#styled) action();
    else this.#map.once('style.load', action);
  }

  #ownRequest(url: string): RequestParameters {
    const own = this.#ownAddress(url);
    // Asked for when there are others: the browser's own answer from before is none.
    return own === location.origin + REPORTS_ADDRESS
      ? { url: own, cache: 'no-cache' }
      : { url: own };
  }

  /** Every request goes to the node that served this page, whatever a TileJSON may say. */
  #ownAddress(url: string): string {
    const address = new URL(url, location.origin);
    if (this.#version && address.pathname.startsWith('/tiles/readings/')) {
      address.searchParams.set('v', this.#version);
    }
    return location.origin + address.pathname + address.search;
  }
}

function filled(template: string, { z, x, y }: Tile): string {
  return template.replace('{z}', `${z}`).replace('{x}', `${x}`).replace('{y}', `${y}`);
}

/** Room for a marker between the edge of what floats and the marker's middle. */
function padded({ top, right, bottom, left }: Insets): Insets {
  const room = 32;
  return { top: top + room, right: right + room, bottom: bottom + room, left: left + room };
}

/**
 * Of a tile whose last request failed MapLibre uploads what came before, but does not place it; it
 * throws when a refresh then counts the tile as one that is shown.
 */
function dropUnplaced(event: ErrorEvent & { tile?: FailedTile }): void {
  console.error(event.error);
  if (!event.tile) return;
  event.tile.unloadVectorData();
  event.tile.state = 'errored';
}

function corners(bounds: Bounds): [number, number, number, number] {
  return [bounds.minLng, bounds.minLat, bounds.maxLng, bounds.maxLat];
}

function selectedFeature(sensor: Sensor, { lng, lat }: Place): Feature {
  return {
    type: 'Feature',
    geometry: { type: 'Point', coordinates: [lng, lat] },
    properties: { id: sensor.id, marker: selectedMarkerName(sensor.latest, Date.now()) },
  };
}
