/** For who looks after the node: first how it is, then what waits for them, then everything. */

import { desk as node } from './api';
import { ClaimForm, type ClaimInput } from './claim';
import { confirmed } from './confirm';
import { mayAdminister, readDesk } from './desk';
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
const UNCOVERED = { top: 0, right: 0, bottom: 0, left: 0 };

const theme = new ThemeSwitch(() => map?.restyle({ theme: theme.theme }));
let words = createWords(rememberedLanguage());
let say = sayIn(words.language);
let format: Format = createFormat(localeFor(words.language, navigator.languages));

let desk: Desk | null = null;
let page: AdminPage | null = null;
let map: MapView | null = null;
let claim: ClaimForm | null = null;
let login: LoginForm | null = null;
let isGone = false;

const acts: Acts = {
  act,
  claim: openClaim,
  showSensor,
  confirm: (what, go, word) => confirmed(say, what, go, word),
};

/** Read everything; whoever is not logged in, or no longer is, is asked to. */
async function read(): Promise<void> {
  try {
    const who = await node.who();
    if (!mayAdminister(who)) return askLogin(say('login.scope', { scope: who.scope }));
    desk = await readDesk(who);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return askLogin();
    isGone = true;
    return tell(goneSince());
  }
  if (!page) openPage(desk);
  else if (isGone) page.tell('');
  isGone = false;
  const text = textIn(words.language);
  page?.render({ desk, say, text, words, format, now_ms: Date.now() });
}

function goneSince(): string {
  if (!desk) return words.say('link.never');
  return say('gone', { time: format.clock(Date.parse(desk.status.now), Date.now()) });
}

function tell(text: string): void {
  if (page) page.tell(text);
  else document.body.replaceChildren(element('main', { class: 'login card' }, text));
}

function askLogin(problem = ''): void {
  page = desk = map = claim = null;
  if (!login) {
    login = new LoginForm(say, words.language, () => void read());
    document.title = say('login.title');
    document.body.replaceChildren(element('main', {}, login.element));
  }
  if (problem) login.tell(problem);
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
  map?.select({ id: '', name: '', source: '', place, latest: null });
}

function showSensor(id: string): void {
  const sensor = desk?.sensors.find((known) => known.id === id);
  if (!sensor) return;
  map?.select(sensor);
  if (sensor.place) map?.jumpTo(sensor.place);
  page?.map.scrollIntoView({ block: 'nearest' });
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
  page?.claim.replaceChildren();
  map?.select(null);
}

async function act(button: HTMLButtonElement, action: Act): Promise<void> {
  button.disabled = true;
  const told = await action((text) => page?.tell(text)).then(
    (text) => text ?? say('done'),
    (error: unknown) => say('failed', { why: reason(error) }),
  );
  await read();
  button.disabled = false;
  page?.tellAfter(told, button);
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

document.documentElement.lang = words.language;
void loadFont(words.language);
standBy(quietWatch(), () => null);
window.setInterval(() => document.hidden || void read(), READ_EVERY_MS);
void read();
