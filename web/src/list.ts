/** The map as a table: for those who cannot see it or do not point, and for finding one by name. */

import { element, iconButton, nameButton, setText } from './dom';
import { icon } from './icons';
import { ReportLines, type ReadReports } from './reports/lines';
import {
  conditionOf,
  listedSensors,
  simulation,
  type Latest,
  type Sensor,
  type Simulation,
} from './state';
import {
  paintIndexBadge,
  paintSensorMark,
  paintSimulatedMark,
  simulatedMark,
  standing,
  type Part,
  type View,
} from './view';

/** More rows than anyone reads; drawing thousands would make typing slow. */
const MOST_ROWS = 100;

interface Row {
  readonly element: HTMLTableRowElement;
  readonly button: HTMLButtonElement;
  readonly mark: HTMLElement;
  readonly badge: HTMLElement;
  readonly word: HTMLElement;
  readonly age: HTMLElement;
}

export interface ListSources {
  readonly reports: ReadReports;
  onChoose(id: string): void;
  onClose(): void;
}

export class SensorList implements Part {
  readonly #title = element('h2');
  readonly #mark = simulatedMark();
  readonly #close: HTMLButtonElement;
  readonly #filter = element('input', { type: 'search', autocomplete: 'off' });
  readonly #heads = [0, 1, 2, 3].map(() => element('th', { scope: 'col' }));
  readonly #body = element('tbody');
  readonly #note = element('p', { class: 'muted', role: 'status' });
  readonly #rows = new Map<string, Row>();
  readonly #reports: ReportLines;
  readonly #onChoose: (id: string) => void;
  #view: View | null = null;
  readonly element: HTMLElement;

  constructor({ reports, onChoose, onClose }: ListSources) {
    this.#reports = new ReportLines(reports);
    this.#onChoose = onChoose;
    this.#close = iconButton(icon('close'), onClose);
    this.#filter.addEventListener('input', () => this.#view && this.render(this.#view));
    const table = element(
      'table',
      { class: 'sensors' },
      element('thead', {}, element('tr', {}, ...this.#heads)),
      this.#body,
    );
    this.element = element(
      'section',
      { class: 'list card' },
      element('div', { class: 'panel-head' }, this.#title, this.#mark, this.#close),
      this.#filter,
      element('div', { class: 'scroll' }, table, this.#note, this.#reports.element),
    );
    this.element.hidden = true;
  }

  focus(): void {
    this.#filter.focus();
  }

  render(view: View): void {
    this.#view = view;
    this.element.hidden = view.state.side !== 'list';
    if (this.element.hidden) return;
    this.#renderHeads(view);
    const found = listedSensors(view.state, this.#filter.value, view.now_ms);
    const shown = found.slice(0, MOST_ROWS);
    const extent = simulation(view.state);
    this.#place(shown.map((sensor) => this.#row(view, sensor, extent).element));
    this.#dropRowsBut(new Set(shown.map((sensor) => sensor.id)));
    setText(this.#note, note(view, found.length));
    this.#reports.render(view);
  }

  /** What people report has changed. */
  refreshReports(): void {
    this.#reports.refresh();
  }

  #renderHeads(view: View): void {
    const { words } = view;
    // Of one pollutant only the map and the chosen sensor know the index.
    const index = view.state.pollutant === null ? 'list.index' : 'list.overall';
    const titles = ['list.name', index, 'list.category', 'list.age'] as const;
    this.#heads.forEach((head, place) => setText(head, words.say(titles[place] ?? 'list.name')));
    setText(this.#title, words.say('list.title'));
    paintSimulatedMark(this.#mark, view);
    this.element.setAttribute('aria-label', words.say('list.title'));
    nameButton(this.#close, words.say('panel.close'));
    this.#filter.placeholder = words.say('list.filter');
    this.#filter.setAttribute('aria-label', words.say('list.filter'));
  }

  /** Rows move only when their order changed, because a moved row loses the focus. */
  #place(elements: HTMLElement[]): void {
    const same =
      elements.length === this.#body.children.length &&
      elements.every((row, place) => row === this.#body.children[place]);
    if (same) return;
    const focused = document.activeElement;
    this.#body.replaceChildren(...elements);
    if (focused instanceof HTMLElement && this.#body.contains(focused)) focused.focus();
  }

  #row(view: View, sensor: Sensor, extent: Simulation): Row {
    const row = this.#rows.get(sensor.id) ?? this.#newRow(sensor.id);
    const { latest } = sensor;
    const condition = latest && conditionOf(latest, view.now_ms);
    setText(row.button, sensor.name);
    row.button.setAttribute('aria-pressed', String(view.state.selection?.id === sensor.id));
    // When all are, the title says it once.
    if (extent === 'some') paintSensorMark(row.mark, view, sensor, extent);
    else row.mark.hidden = true;
    paintIndexBadge(row.badge, view.state.standard, latest?.index ?? null, view.format);
    row.badge.classList.toggle('stale', condition?.startsWith('stale') ?? true);
    row.badge.classList.toggle('flagged', condition?.endsWith('flagged') ?? false);
    setText(row.word, stated(view, latest));
    setText(row.age, latest ? view.format.shortAge(view.now_ms - latest.at) : '');
    return row;
  }

  #newRow(id: string): Row {
    const button = element('button', { type: 'button' });
    const mark = simulatedMark();
    const badge = element('span', { class: 'index-badge' });
    const word = element('td');
    const age = element('td');
    button.addEventListener('click', () => this.#onChoose(id));
    const name = element('th', { scope: 'row' }, button, mark);
    const line = element('tr', {}, name, element('td', {}, badge), word, age);
    const row = { element: line, button, mark, badge, word, age };
    this.#rows.set(id, row);
    return row;
  }

  #dropRowsBut(shown: ReadonlySet<string>): void {
    for (const id of this.#rows.keys()) if (!shown.has(id)) this.#rows.delete(id);
  }
}

/** In words what the badge shows by its looks alone. */
function stated(view: View, latest: Latest | null): string {
  if (!latest) return view.words.say('panel.never');
  return standing(view, latest, conditionOf(latest, view.now_ms));
}

function note({ words, format }: View, found: number): string {
  if (found === 0) return words.say('list.empty');
  if (found <= MOST_ROWS) return '';
  const sensors = words.sensors(found, format.count(found));
  return words.say('list.more', { shown: format.count(MOST_ROWS), sensors });
}
