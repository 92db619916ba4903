/** For who looks after the node: first how it is, then what waits for them, then everything. */

import { desk as node } from './api';
import { ClaimForm, type ClaimInput } from './claim';
import { confirmed } from './confirm';
import { mayAdminister, readDesk } from './desk';
import { isHalfFilled } from './fields';
import { LoginForm } from './login';
import { AdminPage } from './page';
import type { Act, Acts, Desk } from './view';
import { refusalIn, sayIn, textIn } from './words';
import { api, ApiError } from '../api';
import { element } from '../dom';
import { createFormat, type Format } from '../format';
import { createWords, loadFont, localeFor, type Language } from '../i18n';
import { quietWatch } from '../idle';
import { MapView } from '../map/map';
import { remember, rememberedLanguage } from '../preferences';
import { forgetKept, standBy } from '../standby';
import type { Place } from '../state';
import { ThemeSwitch } from '../theme';
import '../page.css';
import '../side.css';
import './admin.css';

const READ_EVERY_MS = 10_000;
/** What hardly changes by itself. */
const READ_ALL_EVERY_MS = 60_000;
/** From then on the reader hears that what is shown is not of now. */
const OLD_AFTER_MS = 60_000;
const UNCOVERED = { top: 0, right: 0, bottom: 0, left: 0 };

const theme = new ThemeSwitch(() => map?.restyle({ theme: theme.theme }));
let words = createWords(rememberedLanguage());
let say = sayIn(words.language);
let format: Format = createFormat(localeFor(words.language, navigator.languages));

let desk: Desk | null = null;
let page: AdminPage | null = null;
let map: MapView | null = null;
let claim: ClaimForm | null = null;
/** The sensor that is ringed on the map; empty: none, or a place that is pointed at. */
let ringed = '';
let login: LoginForm | null = null;
/** Whether the page, or the form, says why nothing new comes. */
let hasComplained = false;
/** Rounds of reading that were begun, and the one that is shown: an older one comes too late. */
let [turns, shown] = [0, 0];
let [readAt_ms, allReadAt_ms, askAgainAt_ms] = [0, 0, 0];
/** While nobody looks nothing is read, and nobody misses it. */
let lookedAtSince_ms = Date.now();
/** Why the last round failed. */
let failure: unknown = null;
/** Acts that are under way, or whose outcome nobody has seen. */
let acting = 0;

const acts: Acts = {
  act,
  claim: openClaim,
  showSensor,
  confirm: (what, go, word) => confirmed(say, what, go, word),
};

/**
 * Read how it is; whoever is not logged in, or no longer is, is asked to.
 *
 * After an act what came of it is shown in all parts (`isDue`), also where something is marked.
 */
async function read(isDue = false): Promise<void> {
  const turn = ++turns;
  const begun_ms = Date.now();
  const before = begun_ms - allReadAt_ms < READ_ALL_EVERY_MS ? desk : null;
  try {
    const who = before?.who ?? (await node.who());
    if (!mayAdminister(who)) return askLogin(say('login.scope', { scope: who.scope }));
    const told = await readDesk(who, before);
    if (turn < shown) return;
    desk = told;
  } catch (error) {
    return turn < shown ? undefined : takeFailure(error);
  }
  [shown, readAt_ms] = [turn, begun_ms];
  if (!before) allReadAt_ms = begun_ms;
  draw(desk, isDue);
}

function draw(known: Desk, isDue: boolean): void {
  if (!page) openPage(known);
  else if (hasComplained) page.tell('');
  hasComplained = false;
  failure = null;
  drawRing();
  const text = textIn(words.language);
  page?.render({ desk: known, say, text, words, format, now_ms: Date.now() }, isDue);
}

/** Asking too often passes by itself: what is shown stays as long as it is hardly older for that. */
function takeFailure(error: unknown): void {
  const { status = 0, retryAfter_s = 0 } = error instanceof ApiError ? error : {};
  if (status === 401) return askLogin();
  askAgainAt_ms = Date.now() + retryAfter_s * 1000;
  failure = error;
  if (status === 429 && Date.now() - readAt_ms < OLD_AFTER_MS) return;
  complain();
}

function complain(): void {
  hasComplained = true;
  tell(complaint(failure));
}

function complaint(error: unknown): string {
  const what = (error instanceof ApiError && reason(error)) || say('refused.no_answer');
  if (!desk) return what;
  const time = format.clock(Date.parse(desk.status.now), Date.now());
  return `${what} ${say('old', { time })}`;
}

function tell(text: string): void {
  if (page) page.tell(text);
  else if (login) login.tell(text);
  else document.body.replaceChildren(element('main', { class: 'login card' }, text));
}

function askLogin(problem = ''): void {
  map?.remove();
  page = desk = map = claim = null;
  ringed = '';
  if (!login) {
    login = new LoginForm(say, words.language, () => void read());
    document.title = say('login.title');
    document.body.replaceChildren(element('main', {}, login.element));
  }
  if (problem || hasComplained) login.tell(problem);
  hasComplained = false;
}

function openPage({ status }: Desk): void {
  const locale = localeFor(words.language, navigator.languages);
  format = createFormat(locale, status.time_zone);
  page = new AdminPage(say, words, acts, { onLogOut: () => void logOut(), onLanguage: speak });
  login = null;
  document.body.replaceChildren(page.element);
  void openMap(page, status.bounds);
}

/** Without WebGL, or before its parts are there, everything else works. */
async function openMap(shown: AdminPage, bounds: Desk['status']['bounds']): Promise<void> {
  try {
    const [standard, readings, basemap] = await Promise.all([
      api.standard(),
      api.readingTiles(),
      api.basemap(),
    ]);
    if (shown !== page) return;
    const now_s = Math.floor(Date.now() / 1000);
    const looks = { theme: theme.theme, language: words.language, pollutant: null, hour: null };
    const input = { ...looks, standard, readings, basemap, reports: false, now_s };
    const start = { bounds, covered: UNCOVERED, hasAddress: false };
    map = new MapView(shown.map, input, start, { onPlace: takePlace, onChoose: showSensor });
  } catch {
    shown.map.replaceChildren(element('p', { class: 'muted' }, words.say('map.broken')));
    return;
  }
  shown.map.append(...map.controls);
  map.canvas.setAttribute('aria-label', say('sensors.map'));
}

function takePlace(place: Place): boolean {
  if (!claim) return false;
  claim.point(place);
  mark(place);
  return true;
}

function mark(place: Place): void {
  ringed = '';
  map?.select({ id: '', name: '', source: '', place, latest: null });
}

function showSensor(id: string): void {
  const sensor = desk?.sensors.find((known) => known.id === id);
  if (!sensor) return;
  ringed = id;
  drawRing();
  if (sensor.place) map?.jumpTo(sensor.place);
  page?.map.scrollIntoView({ block: 'nearest' });
}

/** With the number that it has by now. */
function drawRing(): void {
  const sensor = desk?.sensors.find(({ id }) => id === ringed);
  if (sensor) map?.select(sensor);
}

function openClaim(sender: string): void {
  const known = knownOf(sender);
  claim = new ClaimForm({ say, format, acts, ...known, onPlace: mark, onClose: closeClaim });
  if (known.place) mark(known.place);
  page?.claim.replaceChildren(claim.element);
  claim.focus();
}

/** What the node knows of a sender: of its sensor, or from what it said itself. */
function knownOf(sender: string): Pick<ClaimInput, 'sender' | 'name' | 'place' | 'address'> {
  const { senders = [], disbelieved = [] } = desk?.inbox ?? {};
  const unknown = senders.find((one) => one.sender === sender);
  const refused = disbelieved.find((one) => one.sender === sender);
  const sensor = desk?.sensors.find(({ id }) => id === (refused?.sensor_id ?? sender));
  const said = unknown?.last as { location?: Place | null } | null | undefined;
  const address = (unknown ?? refused)?.address ?? '';
  const place = sensor?.place ?? said?.location ?? null;
  return { sender, name: sensor?.name ?? sender, place, address };
}

function closeClaim(): void {
  claim = null;
  ringed = '';
  page?.claim.replaceChildren();
  map?.select(null);
}

async function act(button: HTMLButtonElement, action: Act): Promise<void> {
  button.disabled = true;
  acting++;
  const told = await action((text) => page?.tell(text)).then(
    (text) => text ?? say('done'),
    (error: unknown) => say('failed', { why: reason(error) }),
  );
  allReadAt_ms = 0;
  await read(true);
  button.disabled = false;
  page?.tellAfter(told, button);
  await seen();
  acting--;
}

/** Somebody looks at the page, at once or once they come back to it. */
function seen(): Promise<void> {
  return new Promise((resolve) => {
    if (!document.hidden) return resolve();
    document.addEventListener('visibilitychange', () => resolve(), { once: true });
  });
}

function reason(error: unknown): string {
  return error instanceof ApiError ? refusalIn(words.language, error) : String(error);
}

async function logOut(): Promise<void> {
  await node.logOut().catch(() => null);
  forgetKept();
  location.reload();
}

function speak(language: Language): void {
  remember('language', language);
  location.reload();
}

/** Whether a new version of the page would take nothing from anybody. */
function isFree(): boolean {
  const isAsked = document.querySelector('dialog[open]') !== null;
  return isQuiet() && !claim && acting === 0 && !isAsked && !isHalfFilled(document.body);
}

document.documentElement.lang = words.language;
void loadFont(words.language);
const isQuiet = quietWatch();
standBy(isFree, () => null);
window.setInterval(() => {
  if (document.hidden) return;
  if (Date.now() >= askAgainAt_ms) void read();
  const lastSeen_ms = Math.max(readAt_ms, lookedAtSince_ms);
  if (desk && !hasComplained && Date.now() - lastSeen_ms > OLD_AFTER_MS) complain();
}, READ_EVERY_MS);
document.addEventListener('visibilitychange', () => (lookedAtSince_ms = Date.now()));
void read();
