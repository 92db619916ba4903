/** Puts the parts together: what is known lives in one store, every part is drawn from it. */

import { putSensorInAddress, sensorInAddress, viewInAddress, liveAddress } from './address';
import { api, ApiError } from './api';
import type { NodeStatus, Standard, TileJson } from './api-types';
import { element } from './dom';
import { createFormat } from './format';
import { gridId, tileAt } from './grid';
import { createWords, isLanguage, localeFor, preferredLanguage, type Language } from './i18n';
import { Layout } from './layout';
import { Legend } from './legend';
import { SensorList } from './list';
import { Live, type GridUpdate } from './live';
import { MapView } from './map';
import { Panel } from './panel';
import { untilAnswered } from './patience';
import { remember, remembered } from './preferences';
import {
  initialState,
  SENSOR_LIMIT,
  withDetail,
  withLink,
  withProblem,
  withReadings,
  withSelection,
  withSensorList,
  type Link,
  type State,
} from './state';
import { Store } from './store';
import { ThemeSwitch } from './theme';
import { Topbar } from './topbar';
import type { View } from './view';
import './page.css';

const TICK_MS = 1000;
/** How often all sensors are read again: live updates only tell of those in view. */
const LIST_EVERY_MS = 60_000;
/** How often the map looks again at which sensors have become stale. */
const STALE_CHECK_MS = 30_000;

const store = new Store<State>(initialState);
const theme = new ThemeSwitch(() => restyle());
let words = createWords(rememberedLanguage());
let format = createFormat(localeFor(words.language, navigator.languages));

/** Read before the map writes its own view there. */
const linkedView = viewInAddress();

let map: MapView | null = null;
let live: Live | null = null;
let visibleGrids: string[] = [];
let refreshing = false;

const topbar = new Topbar(theme, {
  onLanguage: speak,
  onTheme: () => {
    theme.next();
    restyle();
  },
  onList: toggleList,
});
const panel = new Panel(closeTopmost);
const list = new SensorList(chooseFromList, toggleList);
const legend = new Legend();
const layout = new Layout({ topbar, panel, list, legend }, (levels) => map?.zoomBy(levels));

function assemble(): void {
  document.body.append(layout.element);
  document.addEventListener('keydown', (event) => event.key === 'Escape' && closeTopmost());
  store.listen(render);
  window.setInterval(render, TICK_MS);
  window.setInterval(() => map?.setNow(epochSeconds()), STALE_CHECK_MS);
  render();
}

function render(): void {
  const view: View = { state: store.value, words, format, now_ms: Date.now() };
  layout.render(view);
  const place = view.state.status?.node.name;
  if (place) document.title = words.say('page.title', { place });
  document.documentElement.lang = words.language;
}

async function start(): Promise<void> {
  const [status, standard, readings, basemap] = await Promise.all([
    answered(api.status),
    answered(api.standard),
    answered(api.readingTiles),
    answered(api.basemap),
  ]);
  store.update((state) => ({
    ...withLink(state, 'connecting', Date.now()),
    status,
    standard,
  }));
  chooseFormat();
  await readSensors();
  openMap(status, standard, readings, basemap);
  live = new Live(liveAddress(), { onUpdate: takeUpdate, onLink: setLink, onGap: catchUp });
  watch();
  selectFromAddress();
  window.setInterval(() => void refreshSensors(), LIST_EVERY_MS);
  document.addEventListener('visibilitychange', () => void refreshSensors());
}

/** Until the node answers, the page says that it does not. */
function answered<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  return untilAnswered(ask, () => setLink('lost'));
}

function openMap(
  status: NodeStatus,
  standard: Standard,
  readings: TileJson,
  basemap: TileJson | null,
): void {
  render();
  const looks = { theme: theme.theme, language: words.language, now_s: epochSeconds() };
  const start = { bounds: linkedView ? null : status.bounds, covered: layout.covered() };
  try {
    map = new MapView(layout.map, { ...looks, basemap, readings, standard }, start, {
      onChoose: choose,
      onView: (gridIds) => {
        visibleGrids = gridIds;
        watch();
      },
    });
  } catch {
    layout.map.append(element('p', { class: 'broken' }, words.say('map.broken')));
    return;
  }
  layout.placeControls(map.controls);
  map.canvas.setAttribute('aria-label', words.say('map.label'));
}

async function readSensors(): Promise<void> {
  const { sensors } = await answered(() => api.sensors(SENSOR_LIMIT));
  store.update((state) => ({ ...withSensorList(state, sensors), heardAt: Date.now() }));
}

/** One attempt, no complaint: the connection's state already says when the node is gone. */
async function refreshSensors(): Promise<void> {
  if (document.hidden || refreshing) return;
  refreshing = true;
  try {
    const { sensors } = await api.sensors(SENSOR_LIMIT);
    store.update((state) => ({ ...withSensorList(state, sensors), heardAt: Date.now() }));
    drawSelected();
    await readSelected();
  } catch {
    return;
  } finally {
    refreshing = false;
  }
}

function takeUpdate(update: GridUpdate): void {
  const known = store.value.sensors;
  store.update((state) => ({ ...withReadings(state, update.readings), heardAt: Date.now() }));
  map?.refresh([update.gridId], `${update.boot}-${update.seq}`);
  if (update.readings.some((row) => row.sensor_id === store.value.selection?.id)) drawSelected();
  if (update.readings.some((row) => !known.has(row.sensor_id))) void refreshSensors();
}

function setLink(link: Link): void {
  store.update((state) => withLink(state, link, Date.now()));
}

function catchUp(): void {
  map?.refreshAll();
  void refreshSensors();
}

/** Live updates are wanted for what is in view, and for the chosen sensor wherever it is. */
function watch(): void {
  const place = selectedSensor()?.place;
  const extra = place ? [gridId(tileAt(place.lat, place.lng, 18))] : [];
  live?.watch([...visibleGrids, ...extra]);
}

function choose(id: string | null): void {
  store.update((state) => withSelection(state, id));
  putSensorInAddress(id);
  render();
  drawSelected();
  watch();
  void readSelected().then(revealSelected);
}

/** Only now the panel has its full height, which tells what it covers. */
function revealSelected(): void {
  render();
  const place = selectedSensor()?.place;
  if (place) map?.reveal(place, layout.covered());
}

function chooseFromList(id: string): void {
  choose(id);
  panel.focus();
}

function selectFromAddress(): void {
  const id = sensorInAddress();
  if (id === null) return;
  const place = store.value.sensors.get(id)?.place;
  if (place && !linkedView) map?.jumpTo(place);
  choose(id);
}

async function readSelected(): Promise<void> {
  const id = store.value.selection?.id;
  if (id === undefined) return;
  try {
    const detail = await api.sensor(id);
    store.update((state) => withDetail(state, detail));
    drawSelected();
  } catch (error) {
    const unknown = error instanceof ApiError && error.status === 404;
    store.update((state) => withProblem(state, id, unknown ? 'unknown' : 'unreachable'));
  }
}

function closeTopmost(): void {
  const { selection, listOpen } = store.value;
  if (selection) {
    choose(null);
    if (listOpen) list.focus();
    else map?.canvas.focus();
  } else if (listOpen) {
    toggleList();
  }
}

function toggleList(): void {
  store.update((state) => ({ ...state, listOpen: !state.listOpen }));
  if (store.value.listOpen && store.value.selection) choose(null);
  render();
  if (store.value.listOpen) list.focus();
  else topbar.listButton.focus();
}

function speak(language: Language): void {
  remember('language', language);
  words = createWords(language);
  chooseFormat();
  map?.canvas.setAttribute('aria-label', words.say('map.label'));
  restyle();
}

function chooseFormat(): void {
  const locale = localeFor(words.language, navigator.languages);
  format = createFormat(locale, store.value.status?.time_zone);
}

function restyle(): void {
  map?.restyle({ theme: theme.theme, language: words.language });
  render();
}

function drawSelected(): void {
  map?.select(selectedSensor());
}

function selectedSensor() {
  const { selection, sensors } = store.value;
  return (selection && sensors.get(selection.id)) ?? null;
}

function rememberedLanguage(): Language {
  const known = remembered('language');
  return known && isLanguage(known) ? known : preferredLanguage(navigator.languages);
}

function epochSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

assemble();
void start();
