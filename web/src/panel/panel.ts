/** The chosen sensor: how it is there, in words and numbers. */

import type { Standard } from '../api-types';
import { element, iconButton, nameButton, setText } from '../dom';
import { icon } from '../icons';
import { Share } from './share';
import { bandOfIndex, positionOnBands } from '../standard';
import {
  conditionOf,
  isLate,
  simulation,
  type Latest,
  type Measured,
  type Selection,
  type Sensor,
} from '../state';
import { Trend, type ReadHistory } from './trend';
import {
  bandWord,
  paintIndexBadge,
  paintSensorMark,
  simulatedMark,
  standing,
  type Part,
  type View,
} from '../view';
import { Why, type ReadExplanation } from './why';

export interface PanelSources {
  readonly history: ReadHistory;
  readonly explain: ReadExplanation;
  onClose(): void;
}

export class Panel implements Part {
  readonly #name = element('h2', { tabindex: '-1' });
  readonly #close: HTMLButtonElement;
  readonly #mark = simulatedMark();
  readonly #badge = element('span', { class: 'index-badge big' });
  readonly #word = element('p', { class: 'word' });
  readonly #category = element('p');
  readonly #dominant = element('p', { class: 'muted' });
  readonly #what = element('p', { class: 'muted' });
  readonly #averaged = element('p', { class: 'muted' });
  readonly #age = element('p');
  readonly #headline: HTMLElement;
  readonly #notice = element('p', { class: 'notice' });
  readonly #values = element('table', { class: 'values' });
  readonly #advice = element('p', { class: 'advice' });
  readonly #trend: Trend;
  readonly #why: Why;
  readonly #share = new Share();
  #valuesDrawn: unknown[] = [];
  readonly element: HTMLElement;

  constructor({ history, explain, onClose }: PanelSources) {
    this.#close = iconButton(icon('close'), onClose);
    this.#trend = new Trend(history);
    this.#why = new Why(explain);
    const summary = element(
      'div',
      {},
      this.#word,
      this.#category,
      this.#dominant,
      this.#what,
      this.#age,
      this.#averaged,
    );
    this.#headline = element('div', { class: 'headline' }, this.#badge, summary);
    this.element = element(
      'section',
      { class: 'panel card' },
      element('div', { class: 'panel-head' }, this.#name, this.#mark, this.#close),
      this.#headline,
      this.#advice,
      this.#notice,
      this.#values,
      this.#trend.element,
      this.#why.element,
      this.#share.element,
    );
    this.element.hidden = true;
  }

  /** Move the reader into the panel, for those who do not point. */
  focus(): void {
    this.#name.focus();
  }

  render(view: View): void {
    const { state, words } = view;
    const { selection } = state;
    this.element.hidden = !selection;
    if (!selection) return;
    const sensor = state.sensors.get(selection.id);
    this.element.setAttribute('aria-label', words.say('panel.label'));
    nameButton(this.#close, words.say('panel.close'));
    setText(this.#name, sensor?.name ?? selection.id);
    this.#mark.hidden = true;
    if (sensor) paintSensorMark(this.#mark, view, sensor, simulation(state));
    this.#renderHeadline(view, sensor?.latest ?? null);
    setText(this.#notice, notices(view, selection, sensor).join(' '));
    this.#renderValues(view, selection);
    this.#trend.render(view, selection);
    this.#why.render(view, selection);
    this.#share.render(view, selection);
  }

  #renderHeadline(view: View, latest: Latest | null): void {
    this.#headline.hidden = !latest;
    if (!latest) return setText(this.#advice, '');
    const { state, words, format, now_ms } = view;
    const condition = conditionOf(latest, now_ms);
    paintIndexBadge(this.#badge, state.standard, latest.index, format);
    this.#badge.classList.toggle('stale', condition.startsWith('stale'));
    this.#badge.classList.toggle('flagged', condition.endsWith('flagged'));
    setText(this.#word, standing(view, latest, condition));
    setText(this.#category, condition === 'fresh' ? '' : bandWord(view, latest.index));
    const quantity = latest.dominant && words.quantity(latest.dominant);
    setText(this.#dominant, quantity ? words.say('panel.dominant', { quantity }) : '');
    setText(this.#what, whatItIs(view, latest.index));
    setText(this.#advice, condition === 'fresh' ? advice(view, latest.index) : '');
    setText(this.#averaged, averaged(view));
    setText(this.#age, words.say('panel.measured', { age: format.age(now_ms - latest.at) }));
  }

  #renderValues(view: View, { values }: Selection): void {
    const { words, state } = view;
    const looks = [values, words.language, state.standard];
    if (looks.every((part, place) => part === this.#valuesDrawn[place])) return;
    this.#valuesDrawn = looks;
    const rows = (values ?? []).map((measured) => valueRow(view, measured));
    this.#values.replaceChildren(
      element('caption', {}, rows.length > 0 ? words.say('panel.values') : ''),
      element('tbody', {}, ...rows),
    );
  }
}

function whatItIs({ words, state }: View, index: number | null): string {
  if (index === null) return words.say('index.noneWhy');
  return `${words.say('index.what')} (${state.standard?.name ?? ''})`;
}

/** The same by the averages of the standard, where there are enough hours for them. */
function averaged(view: View): string {
  const { words, format, state } = view;
  const index = state.selection?.averagedIndex ?? null;
  if (index === null) return '';
  const word = bandWord(view, index);
  return words.say('panel.averaged', { index: format.index(index), word });
}

/** What to do in this air; nothing when the standard is not known here. */
function advice({ state, words }: View, index: number | null): string {
  const { standard } = state;
  const band = index === null || !standard ? undefined : bandOfIndex(standard, index);
  return standard && band ? words.advice(standard, band) : '';
}

function notices(view: View, selection: Selection, sensor: Sensor | undefined): string[] {
  const { words } = view;
  const found: string[] = [];
  if (selection.problem === 'unknown') found.push(words.say('panel.unknown', { id: selection.id }));
  if (selection.problem === 'unreachable') found.push(words.say('panel.unreachable'));
  if (sensor && !sensor.latest) found.push(words.say('panel.never'));
  const latest = sensor?.latest;
  if (latest && isLate(latest)) found.push(lateNotice(view, latest));
  const reasons = (sensor?.latest?.flags ?? []).map((flag) => words.flag(flag)).join(', ');
  if (reasons) found.push(words.say('panel.flagged', { reasons }));
  return found;
}

function lateNotice({ words, format, now_ms }: View, { at, arrivedAt = at }: Latest): string {
  const [time, arrived] = [at, arrivedAt].map((moment) => format.clock(moment, now_ms));
  return words.say('panel.late', { time: time ?? '', arrived: arrived ?? '' });
}

function valueRow(view: View, measured: Measured): HTMLElement {
  const { words, format, state } = view;
  const { quantity, value, unit, index } = measured;
  const graded = index !== null && state.standard;
  return element(
    'tr',
    {},
    element('th', { scope: 'row' }, words.quantity(quantity)),
    element('td', { class: 'number' }, format.quantity(value, unit)),
    element('td', {}, graded ? bandBar(view, graded, index) : ''),
  );
}

/** Where a sub-index stands among the bands. */
function bandBar(view: View, standard: Standard, index: number): HTMLElement {
  const band = bandOfIndex(standard, index);
  const word = band ? view.words.band(standard, band) : '';
  const name = view.words.say('panel.subIndex', { index: view.format.index(index), word });
  const bar = element('span', { class: 'band-bar', role: 'img', 'aria-label': name, title: name });
  for (const { color, level } of standard.bands) {
    const segment = element('span', { class: level === band?.level ? 'here' : '' });
    segment.style.setProperty('--band', color);
    bar.append(segment);
  }
  const needle = element('span', { class: 'needle' });
  needle.style.setProperty('--at', String(positionOnBands(standard, index)));
  bar.append(needle);
  return bar;
}
