/** The screen in a hall: one site at a time, large; nothing to touch, and nothing that stops it. */

import { kioskSites, kioskStop, liveAddress } from '../address';
import { createFormat, type Format } from '../format';
import { gridId, tileAt } from '../grid';
import { createWords, loadFont, localeFor } from '../i18n';
import { KioskScreen } from './screen';
import { Knowledge, type Foundation } from '../knowledge';
import { Live } from '../live';
import { MapView } from '../map/map';
import { rememberedLanguage } from '../preferences';
import { recoverFromErrors, startFreshNightly } from '../recovery';
import { initialState, withLink, withReadings, type Link, type State } from '../state';
import { standBy } from '../standby';
import { Store } from '../store';
import { isNight, nextStop, sameStop, sites, type Stop } from './tour';
import '../page.css';
import '../side.css';
import './kiosk.css';

const TICK_MS = 1000;
/** Live updates only tell of the sites on the screen. */
const LIST_EVERY_MS = 60_000;

const store = new Store<State>(initialState);
const knowledge = new Knowledge(store, { tellsAlerts: false });
const words = createWords(rememberedLanguage());
const screen = new KioskScreen();
const wanted = kioskSites();
const stop_ms = kioskStop();

let format: Format = createFormat(localeFor(words.language, navigator.languages));
let map: MapView | null = null;
let live: Live | null = null;
let stop: Stop | null = null;
let stopUntil_ms = 0;

async function start(): Promise<void> {
  recoverFromErrors();
  startFreshNightly();
  standBy(isQuiet, () => void knowledge.foundation());
  document.documentElement.lang = words.language;
  document.body.append(screen.element);
  screen.element.addEventListener('click', openOffice);
  void loadFont(words.language);
  window.setInterval(tick, TICK_MS);
  tick();
  const foundation = await knowledge.foundation();
  const { status, standard } = foundation;
  store.update((state) => ({
    ...withLink(state, 'connecting', Date.now()),
    status,
    standard,
  }));
  format = createFormat(localeFor(words.language, navigator.languages), status.time_zone);
  document.title = words.say('page.title', { place: status.node.name });
  openMap(foundation);
  live = new Live(liveAddress(), {
    onUpdate: ({ readings }) =>
      store.update((state) => ({ ...withReadings(state, readings), heardAt: Date.now() })),
    onLink: setLink,
    onGap: () => {
      void knowledge.refresh();
      void beginAnewIfRuledOtherwise(foundation);
    },
  });
  watch();
  window.setInterval(() => void knowledge.refresh(), LIST_EVERY_MS);
}

/** By other rules than the node's its words would be wrong. */
async function beginAnewIfRuledOtherwise(begun: Foundation): Promise<void> {
  if (await knowledge.isRuledOtherwise(begun)) location.reload();
}

/** Without WebGL the screen is as good; only the ground is plain. */
function openMap({ status, standard, readings, basemap }: Foundation): void {
  const now_s = Math.floor(Date.now() / 1000);
  const shown = {
    theme: theme(),
    language: words.language,
    pollutant: null,
    hour: null,
    reports: false,
  };
  const input = { ...shown, standard, readings, basemap, now_s };
  const covered = { top: 0, right: 0, bottom: 0, left: 0 };
  try {
    map = new MapView(screen.map, input, { bounds: status.bounds, covered, isStill: true }, {});
  } catch {
    return;
  }
  screen.placeControls(map.controls);
  go();
}

function tick(): void {
  const now_ms = Date.now();
  const found = sites(store.value, wanted, now_ms);
  const isOver = now_ms >= stopUntil_ms;
  const before = stop?.site ?? null;
  stop = isOver ? nextStop(found, before) : sameStop(found, before);
  if (stop?.site.id !== before?.id || isOver) {
    stopUntil_ms = now_ms + stop_ms;
    watch();
    go();
  } else if (stop && stop.site.latest !== before?.latest) {
    map?.select(stop.site);
  }
  dim();
  screen.render({ state: store.value, words, format, now_ms }, stop);
}

/** A site that has just come is being read; one that has stood for half its time was. */
function isQuiet(): boolean {
  return stop === null || stopUntil_ms - Date.now() < stop_ms / 2;
}

/** The map follows, unless the reader asked for no motion: then it is there at once. */
function go(): void {
  const place = stop?.site.place;
  if (place) map?.glideTo(place, screen.covered());
  map?.select(stop?.site ?? null);
}

function watch(): void {
  const shown = stop ? [stop.site, ...stop.beside] : [];
  const grids = shown.flatMap(({ place }) =>
    place ? [gridId(tileAt(place.lat, place.lng, 18))] : [],
  );
  live?.watch(grids);
}

function dim(): void {
  const before = document.documentElement.dataset['theme'];
  document.documentElement.dataset['theme'] = theme();
  if (before !== theme()) map?.restyle({ theme: theme() });
}

function theme(): 'light' | 'dark' {
  return isNight(Date.now(), store.value.status?.time_zone) ? 'dark' : 'light';
}

function setLink(link: Link): void {
  store.update((state) => withLink(state, link, Date.now()));
}

/** Whoever touches the screen gets the map; it goes back when they leave it alone. */
function openOffice(): void {
  const query = new URLSearchParams(location.search);
  query.set('from', 'kiosk');
  location.assign(`/?${query}`);
}

void start();
