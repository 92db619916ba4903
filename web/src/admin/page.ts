/** How the administration is laid out; each part is drawn again only when it has changed. */

import { sensorTable, sections } from './details';
import { Drawing } from './drawing';
import { ExportForm } from './export';
import { healthLines } from './health';
import { ruleForm, ruleTable } from './rules';
import { tasks } from './tasks';
import { plainButton, type Acts, type AdminView } from './view';
import type { PlainAdminKey, Say } from './words';
import { element, setText } from '../dom';
import { languages, type Language, type Words } from '../i18n';

export interface PageActions {
  onLogOut(): void;
  onLanguage(language: Language): void;
}

export class AdminPage {
  readonly map = element('div', { class: 'admin-map' });
  /** Where a claim is filled in. */
  readonly claim = element('div');
  readonly element: HTMLElement;
  readonly #acts: Acts;
  readonly #drawing: Drawing;
  readonly #title = element('h1');
  readonly #notice = element('p', { class: 'notice', role: 'status', tabindex: '-1' });
  readonly #health = element('ul', { class: 'health' });
  readonly #tasks = element('ul', { class: 'tasks' });
  readonly #sensors = element('div');
  readonly #rules = element('div');
  readonly #export: ExportForm;
  readonly #details: readonly [HTMLElement, (typeof sections)[number][1]][];

  constructor(say: Say, words: Words, acts: Acts, actions: PageActions) {
    this.#acts = acts;
    this.#export = new ExportForm(say);
    this.#details = sections.map(([, build]) => [element('div'), build]);
    const rules = [this.#rules, ruleForm(say, words, acts)];
    const details = sections.map(([key], place) =>
      folded(say, key, ...(this.#details[place]?.slice(0, 1) as HTMLElement[])),
    );
    this.element = element(
      'main',
      { class: 'admin' },
      header(say, words, this.#title, actions),
      this.#notice,
      part(say, 'health.title', this.#health),
      part(say, 'tasks.title', this.#tasks),
      part(say, 'sensors.title', this.claim, this.map, this.#sensors),
      folded(say, 'rules.title', ...rules),
      folded(say, 'export.title', this.#export.element),
      ...details,
    );
    this.#drawing = new Drawing(this.element);
  }

  render(view: AdminView, isDue: boolean): void {
    const { say, desk } = view;
    const redraw = (target: HTMLElement, content: (string | Node)[]) =>
      this.#drawing.draw(target, content, isDue);
    setText(this.#title, say('title', { place: desk.status.node.name }));
    document.title = this.#title.textContent;
    const lines = healthLines(view).map(({ tone, text }) => element('li', { class: tone }, text));
    redraw(this.#health, lines);
    redraw(this.#tasks, tasks(view, this.#acts));
    redraw(this.#sensors, sensorTable(view, this.#acts));
    redraw(this.#rules, ruleTable(view, this.#acts));
    this.#export.offer(desk.sensors);
    for (const [target, build] of this.#details) redraw(target, build(view, this.#acts));
  }

  tell(text: string): void {
    setText(this.#notice, text);
  }

  /** Tell what came of an act; who works by the keyboard goes on from its button, if it is there. */
  tellAfter(text: string, button: HTMLButtonElement): void {
    this.tell(text);
    if (document.activeElement !== document.body) return;
    (button.isConnected ? button : this.#notice).focus({ preventScroll: true });
  }
}

function header(say: Say, words: Words, title: HTMLElement, actions: PageActions): HTMLElement {
  const options = Object.entries(languages).map(([tag, { name }]) =>
    element('option', { value: tag, lang: tag }, name),
  );
  const language = element('select', { 'aria-label': words.say('bar.language') }, ...options);
  language.value = words.language;
  language.addEventListener('change', () => actions.onLanguage(language.value as Language));
  return element(
    'header',
    {},
    title,
    element('a', { href: '/' }, say('map')),
    element('a', { href: '/schema' }, 'API'),
    language,
    plainButton(say('logOut'), actions.onLogOut),
  );
}

function part(say: Say, key: PlainAdminKey, ...content: HTMLElement[]): HTMLElement {
  return element('section', { class: 'card' }, element('h2', {}, say(key)), ...content);
}

function folded(say: Say, key: PlainAdminKey, ...content: HTMLElement[]): HTMLElement {
  const summary = element('summary', {}, element('h2', {}, say(key)));
  return element('details', { class: 'card' }, summary, ...content);
}
