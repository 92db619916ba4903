/** The page of the API, made of the document that the node gives of itself. */

import { byTag, matches, type ApiDocument, type Operation } from './document';
import { drawnOperation } from './operation';
import { prose } from './shape';
import { element, iconButton, nameButton, setText } from '../dom';
import { icon, type IconName } from '../icons';
import { ThemeSwitch, type ThemeChoice } from '../theme';
import './schema.css';

const DOCUMENT = '/schema/openapi.json';
const THEME_ICONS: Readonly<Record<ThemeChoice, IconName>> = {
  auto: 'device',
  light: 'sun',
  dark: 'moon',
};

const ABOUT =
  'JSON in UTF-8, times in UTC as RFC 3339, places in degrees of WGS 84. What is live comes over ' +
  'the WebSocket `/ws` as well. An example can be sent as it is once it has a token where one is needed.';

const filter = element('input', { type: 'search', 'aria-keyshortcuts': '/' });
const count = element('p', { class: 'muted', role: 'status' });
const tags = element('ul');
const main = element('main', { tabindex: '-1', id: 'operations' });
const title = element('h1', {}, 'API');
/** What is on the page, in its order. */
let drawn: readonly (readonly [Operation, HTMLDetailsElement])[] = [];

/** Where reading is not public, with the token that somebody typed in, or with their login. */
async function read(token = ''): Promise<void> {
  const headers: HeadersInit = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(DOCUMENT, { headers }).catch(() => null);
  if (response?.ok) return show((await response.json()) as ApiDocument);
  const isClosed = response?.status === 401;
  main.replaceChildren(
    element('p', { class: 'notice', role: 'alert' }, refusal(response?.status, token)),
    isClosed ? tokenForm() : '',
  );
}

function refusal(status: number | undefined, token: string): string {
  if (status === undefined) return 'There is no answer. Load this page again when it is back.';
  if (status !== 401) return `The description cannot be read now: ${status}.`;
  return token ? 'This token is not known here.' : 'Reading is not public here.';
}

function tokenForm(): HTMLFormElement {
  const token = element('input', { type: 'password', autocomplete: 'off', required: '' });
  const go = element('button', { type: 'submit', class: 'button' }, 'Read');
  const form = element('form', { class: 'card' }, element('label', {}, 'Token', token), go);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void read(token.value.trim());
  });
  return form;
}

function show(told: ApiDocument): void {
  const groups = byTag(told);
  const schemas = told.components?.schemas ?? {};
  drawn = [...groups.values()].flat().map((one) => [one, drawnOperation(one, schemas)]);
  for (const [{ id }, shown] of drawn) shown.addEventListener('toggle', () => noteOpen(id, shown));
  document.title = `${told.info.title}: API`;
  setText(title, `${told.info.title} ${told.info.version}: API`);
  const shown = new Map(drawn);
  const sections = [...groups].map(([tag, operations]) =>
    element(
      'section',
      { id: anchor(tag), 'aria-label': tag },
      element('h2', {}, tag),
      ...operations.flatMap((one) => shown.get(one) ?? []),
    ),
  );
  const links = [...groups.keys()].map((tag) =>
    element('li', {}, element('a', { href: `#${anchor(tag)}` }, tag)),
  );
  tags.replaceChildren(...links);
  main.replaceChildren(prose(ABOUT), ...sections);
  applyFilter();
  openNamed();
}

function anchor(tag: string): string {
  return `tag-${tag.replace(/\W+/g, '-')}`;
}

/** The address names what was opened last: it can be sent to somebody as it is. */
function noteOpen(id: string, shown: HTMLDetailsElement): void {
  if (shown.open) history.replaceState(null, '', `#${id}`);
}

/** Open what the address names, also where the filter had hidden it. */
function openNamed(): void {
  const named = document.getElementById(location.hash.slice(1));
  if (!named) return;
  if (named.hidden) {
    filter.value = '';
    applyFilter();
  }
  if (named instanceof HTMLDetailsElement) {
    named.open = true;
    named.querySelector('summary')?.focus({ preventScroll: true });
  }
  named.scrollIntoView();
}

function applyFilter(): void {
  let found = 0;
  for (const [operation, shown] of drawn) {
    shown.hidden = !matches(operation, filter.value.trim());
    if (!shown.hidden) found++;
  }
  for (const section of main.querySelectorAll('section')) {
    section.hidden = !section.querySelector('.operation:not([hidden])');
  }
  setText(count, `${found} of ${drawn.length} operations`);
}

function themeButton(): HTMLButtonElement {
  const theme = new ThemeSwitch(() => null);
  const button = iconButton(icon('device'), () => {
    theme.next();
    paint();
  });
  const paint = () => {
    button.replaceChildren(icon(THEME_ICONS[theme.choice]));
    nameButton(button, `Theme: ${theme.choice}`);
  };
  paint();
  return button;
}

function header(): HTMLElement {
  const link = element('a', { href: DOCUMENT }, 'OpenAPI document');
  return element('header', { class: 'card' }, title, link, themeButton());
}

function start(): void {
  const skip = element('a', { class: 'skip', href: '#operations' }, 'Skip to the operations');
  const search = element('label', {}, 'Find an operation (key /)', filter);
  const nav = element('nav', { 'aria-label': 'Operations' }, search, count, tags);
  document.body.append(skip, header(), nav, main);
  filter.addEventListener('input', applyFilter);
  window.addEventListener('hashchange', openNamed);
  window.addEventListener('keydown', (event) => {
    const isTyping = event.target instanceof HTMLInputElement;
    if (event.key !== '/' || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    filter.focus();
  });
}

start();
void read();
