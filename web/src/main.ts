/** Puts the parts together: what is known lives in one store, every part is drawn from it. */

import {
  isEmbedded,
  kioskBehind,
  liveAddress,
  putSensorInAddress,
  sensorInAddress,
  viewInAddress,
} from './address';
import { withAlertsSeen } from './alerts';
import { api } from './api';
import { Banner } from './banner';
import { element } from './dom';
import { createFormat } from './format';
import { gridId, tileAt } from './grid';
import { createWords, loadFont, localeFor, type Language } from './i18n';
import { Knowledge, type Foundation } from './knowledge';
import { Layout } from './layout';
import { Legend } from './legend';
import { SensorList } from './list';
import { Live, type GridUpdate } from './live';
import { MapView } from './map/map';
import { Panel } from './panel/panel';
import { remember, rememberedLanguage, rememberedPalette } from './preferences';
import { Replay } from './replay';
import { ReportForm } from './reports/form';
import { reportCard } from './reports/card';
import { colored, type Palette } from './standard';
import {
  initialState,
  SENSOR_LIMIT,
  shownLatest,
  withLink,
  withReadings,
  withSelection,
  type Link,
  type State,
} from './state';
import { quietWatch, returnWhenIdle } from './idle';
import { standBy } from './standby';
import { Store } from './store';
import { ThemeSwitch } from './theme';
import { Topbar } from './topbar';
import type { View } from './view';
import './page.css';
import './side.css';

const TICK_MS = 1000;
/** How often all sensors are read again: live updates only tell of those in view. */
const LIST_EVERY_MS = 60_000;

const store = new Store<State>({ ...initialState, palette: rememberedPalette() });
const knowledge = new Knowledge(store, { tellsAlerts: true });
const theme = new ThemeSwitch(() => restyle());
let words = createWords(rememberedLanguage());
let format = createFormat(localeFor(words.language, navigator.languages));

/** Read before the map writes its own view there. */
const linkedView = viewInAddress();

let foundation: Foundation | null = null;
let map: MapView | null = null;
let live: Live | null = null;
let visibleGrids: string[] = [];
/** The node goes by other rules than this page by now, whose words would be wrong. */
let isOutdated = false;

const topbar = new Topbar(theme, {
  onLanguage: speak,
  onTheme: () => {
    theme.next();
    restyle();
  },
  onSide: toggleSide,
});
const banner = new Banner({ onSensor: chooseByName, onClose: () => store.update(withAlertsSeen) });
const panel = new Panel({ history: api.history, explain: api.explain, onClose: closeTopmost });
const list = new SensorList({
  reports: api.reports,
  onChoose: chooseByName,
  onClose: () => toggleSide('list'),
});
const reportForm = new ReportForm({
  place: pointedPlace,
  send: api.report,
  onClose: () => toggleSide('report'),
});
const legend = new Legend({
  onPollutant: (pollutant) => showDifferently({ pollutant, replayedHour: null }),
  onPalette: choosePalette,
  onReports: (reportsShown) => showDifferently({ reportsShown }),
});
/** Of past hours only the overall index is known, so one choice ends the other. */
const replay = new Replay((replayedHour) => showDifferently({ replayedHour, pollutant: null }));
const layout = new Layout({ topbar, banner, panel, list, reportForm, replay, legend }, (levels) =>
  map?.zoomBy(levels),
);

function assemble(): void {
  document.body.append(layout.element);
  document.body.classList.toggle('embedded', isEmbedded());
  document.addEventListener('keydown', (event) => event.key === 'Escape' && closeTopmost());
  const kiosk = kioskBehind();
  if (kiosk) returnWhenIdle(kiosk);
  store.listen(render);
  window.setInterval(render, TICK_MS);
  render();
}

function render(): void {
  const view: View = { state: store.value, words, format, now_ms: Date.now() };
  layout.render(view);
  const place = view.state.status?.node.name;
  if (place) document.title = words.say('page.title', { place });
  document.documentElement.lang = words.language;
  // Not from under somebody who writes; and once, because a second time would begin it again.
  if (isOutdated && view.state.side !== 'report') {
    isOutdated = false;
    location.reload();
  }
}

async function start(): Promise<void> {
  foundation = await knowledge.foundation();
  const { status, standard } = foundation;
  store.update((state) => ({
    ...withLink(state, 'connecting', Date.now()),
    status,
    standard: colored(standard, state.palette),
  }));
  chooseFormat();
  openMap(foundation);
  live = new Live(liveAddress(), {
    onUpdate: takeUpdate,
    onNews: (kind) => (kind === 'alert' ? void knowledge.readAlerts() : refreshReports()),
    onLink: setLink,
    onGap: () => {
      catchUp();
      void lookAtRules();
    },
  });
  watch();
  selectFromAddress();
  void knowledge.readAlerts();
  window.setInterval(() => void refresh(), LIST_EVERY_MS);
  document.addEventListener('visibilitychange', () => void refresh());
}

function openMap({ status, readings, basemap }: Foundation): void {
  render();
  const start = { bounds: linkedView ? null : status.bounds, covered: layout.covered() };
  const input = { ...looks(), readings, basemap, now_s: epochSeconds() };
  try {
    map = new MapView(layout.map, input, start, {
      onChoose: choose,
      onReport: (report) => reportCard(words, format, report),
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

/** How the map looks, as far as the reader decides. */
function looks() {
  const { standard, pollutant, replayedHour: hour, reportsShown: reports } = store.value;
  if (!standard) throw new Error('the map is drawn by a standard');
  return { theme: theme.theme, language: words.language, standard, pollutant, hour, reports };
}

async function refresh(): Promise<void> {
  await knowledge.refresh();
  followSelected();
}

function takeUpdate(update: GridUpdate): void {
  const known = store.value.sensors;
  store.update((state) => ({ ...withReadings(state, update.readings), heardAt: Date.now() }));
  map?.refresh([update.gridId], `${update.boot}-${update.seq}`);
  if (update.readings.some((row) => row.sensor_id === store.value.selection?.id)) followSelected();
  // Beyond the limit it would stay unknown.
  const isNew = (id: string) => known.size < SENSOR_LIMIT && !known.has(id);
  if (update.readings.some((row) => isNew(row.sensor_id))) void refresh();
}

function setLink(link: Link): void {
  store.update((state) => withLink(state, link, Date.now()));
}

function catchUp(): void {
  map?.refreshAll();
  refreshReports();
  void refresh();
}

async function lookAtRules(): Promise<void> {
  if (foundation && (await knowledge.isRuledOtherwise(foundation))) isOutdated = true;
}

function refreshReports(): void {
  map?.refreshReports();
  list.refreshReports();
}

/** Everything once more, now that it is kept for when the node is gone. */
function readAgain(): void {
  void knowledge.foundation();
  catchUp();
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
  followSelected();
  void knowledge.readSelected().then(revealSelected);
}

/** Only now the panel has its full height, which tells what it covers. */
function revealSelected(): void {
  render();
  followSelected();
  const place = selectedSensor()?.place;
  if (place) map?.reveal(place, layout.covered());
}

/** Chosen by its name and not by pointing: the reader goes on in the panel. */
function chooseByName(id: string): void {
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

function closeTopmost(): void {
  const { selection, side } = store.value;
  if (selection) {
    choose(null);
    if (side === 'list') list.focus();
    else map?.canvas.focus();
  } else if (side) {
    toggleSide(side);
  }
}

function toggleSide(side: 'list' | 'report'): void {
  const isOpening = store.value.side !== side;
  store.update((state) => ({ ...state, side: isOpening ? side : null }));
  if (isOpening && store.value.selection) choose(null);
  render();
  if (isOpening) (side === 'list' ? list : reportForm).focus();
  else topbar.button(side).focus();
}

/** The middle of what is seen of the map. */
function pointedPlace() {
  const { x, y } = layout.freeMiddle();
  return map?.placeAt(x, y) ?? null;
}

function speak(language: Language): void {
  remember('language', language);
  words = createWords(language);
  void loadFont(language);
  chooseFormat();
  map?.canvas.setAttribute('aria-label', words.say('map.label'));
  restyle();
}

function chooseFormat(): void {
  const locale = localeFor(words.language, navigator.languages);
  format = createFormat(locale, store.value.status?.time_zone);
}

function choosePalette(palette: Palette): void {
  remember('palette', palette);
  const standard = foundation && colored(foundation.standard, palette);
  showDifferently({ palette, standard });
}

function showDifferently(change: Partial<State>): void {
  store.update((state) => ({ ...state, ...change }));
  restyle();
  drawSelected();
}

function restyle(): void {
  map?.restyle(looks());
  render();
}

/** The chosen sensor may have moved, and news of it come from elsewhere. */
function followSelected(): void {
  drawSelected();
  watch();
}

function drawSelected(): void {
  // What is drawn of it is its latest number, which has no place in the past.
  const sensor = store.value.replayedHour === null ? selectedSensor() : null;
  map?.select(sensor && { ...sensor, latest: shownLatest(store.value, sensor) });
}

function selectedSensor() {
  const { selection, sensors } = store.value;
  return (selection && sensors.get(selection.id)) ?? null;
}

function epochSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

assemble();
void loadFont(words.language);
void start();
const isQuiet = quietWatch();
standBy(() => isQuiet() && store.value.side !== 'report', readAgain);
