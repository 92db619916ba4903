/** How the chosen sensor's values went: a chart, another sensor beside it, and the numbers as CSV. */

import type { Buckets, Readings } from '../api-types';
import type { Chart } from './chart';
import { download } from './download';
import { element, setText } from '../dom';
import { asCsv, courseOf, isBuckets, quantitiesIn, reaches, SPANS, type SpanName } from './series';
import { stepAt, stepsOf, type Steps } from '../standard';
import { nearestSensors, type Selection } from '../state';
import type { View } from '../view';

/** How many others are offered for comparison, the nearest first. */
const MOST_OTHERS = 100;
/** A history is asked for again after this long; the node keeps an answer as long. */
const FRESH_FOR_MS = 300_000;
const INDEX = 'aqi';

export type ReadHistory = (
  id: string,
  span: SpanName,
  to_ms: number,
) => Promise<Buckets | Readings>;

interface Wanted {
  readonly id: string;
  readonly other: string;
  readonly span: SpanName;
  /** Which slot of `FRESH_FOR_MS`; another one is asked for anew. */
  readonly slot: number;
}

interface Loaded {
  readonly wanted: Wanted;
  readonly own: Buckets | null;
  readonly other: Buckets | null;
}

export class Trend {
  readonly #title = element('h3');
  readonly #spans: readonly HTMLButtonElement[];
  readonly #spanGroup: HTMLElement;
  readonly #quantity = element('select');
  readonly #other = element('select');
  readonly #host = element('div', { class: 'chart', role: 'img' });
  readonly #note = element('p', { class: 'muted', role: 'status' });
  readonly #point = element('p', { class: 'point', 'aria-hidden': 'true' });
  readonly #download = element('button', { type: 'button', class: 'text-button' });
  readonly #read: ReadHistory;
  readonly element: HTMLElement;
  #span: SpanName = 'day';
  #chosen = INDEX;
  #view: View | null = null;
  #chart: Chart | null = null;
  #loaded: Loaded | null = null;
  #asked = '';
  #drawn = '';
  #optionsDrawn: unknown = null;

  constructor(read: ReadHistory) {
    this.#read = read;
    this.#spans = (Object.keys(SPANS) as SpanName[]).map((span) => this.#spanButton(span));
    this.#spanGroup = element('div', { class: 'switch', role: 'group' }, ...this.#spans);
    this.#quantity.addEventListener('change', () => this.#choose(this.#quantity.value));
    this.#other.addEventListener('change', () => this.#again());
    this.#download.addEventListener('click', () => this.#save());
    this.element = element(
      'section',
      { class: 'trend' },
      element('div', { class: 'row' }, this.#title, this.#spanGroup),
      element('div', { class: 'row' }, this.#quantity, this.#other),
      this.#host,
      this.#point,
      this.#note,
      this.#download,
    );
    new ResizeObserver(() => this.#chart?.fit()).observe(this.#host);
  }

  render(view: View, selection: Selection): void {
    this.#view = view;
    const slot = Math.floor(view.now_ms / FRESH_FOR_MS);
    if (this.#other.value === selection.id) this.#other.value = '';
    const wanted = { id: selection.id, other: this.#other.value, span: this.#span, slot };
    this.#name(view, selection);
    void this.#load(wanted);
    this.#draw(wanted);
  }

  #spanButton(span: SpanName): HTMLButtonElement {
    const button = element('button', { type: 'button' });
    button.addEventListener('click', () => {
      this.#span = span;
      this.#again();
    });
    button.dataset['span'] = span;
    return button;
  }

  #choose(quantity: string): void {
    this.#chosen = quantity;
    this.#again();
  }

  #again(): void {
    const selection = this.#view?.state.selection;
    if (this.#view && selection) this.render(this.#view, selection);
  }

  #name(view: View, selection: Selection): void {
    const { words, state } = view;
    setText(this.#title, words.say('trend.title'));
    setText(this.#download, words.say('trend.download'));
    this.#spanGroup.setAttribute('aria-label', words.say('trend.span'));
    for (const button of this.#spans) {
      const span = button.dataset['span'] as SpanName;
      setText(button, words.say(`trend.${span}`));
      button.setAttribute('aria-pressed', String(span === this.#span));
    }
    this.#quantity.setAttribute('aria-label', words.say('trend.quantity'));
    this.#other.setAttribute('aria-label', words.say('trend.compare'));
    const names = state.sensors.size;
    const looks = `${words.language} ${selection.id} ${names}`;
    if (looks === this.#optionsDrawn) return;
    this.#optionsDrawn = looks;
    this.#offerOthers(view, selection);
  }

  #offerOthers({ state, words }: View, selection: Selection): void {
    const kept = this.#other.value;
    const others = nearestSensors(state, selection.id, MOST_OTHERS).map(({ id, name }) =>
      element('option', { value: id }, name),
    );
    this.#other.replaceChildren(
      element('option', { value: '' }, words.say('trend.alone')),
      ...others,
    );
    this.#other.value = kept;
    if (this.#other.selectedIndex < 0) this.#other.value = '';
  }

  async #load(wanted: Wanted): Promise<void> {
    const key = JSON.stringify(wanted);
    if (key === this.#asked) return;
    this.#asked = key;
    const [own, other, module] = await Promise.all([
      this.#history(wanted.id, wanted),
      wanted.other ? this.#history(wanted.other, wanted) : null,
      import('./chart').catch(() => null),
    ]);
    if (key !== this.#asked) return;
    if (module) this.#chart ??= new module.Chart(this.#host);
    this.#loaded = { wanted, own, other };
    this.#offerQuantities();
    this.#draw(wanted);
  }

  async #history(id: string, { span, slot }: Wanted): Promise<Buckets | null> {
    const to_ms = (slot + 1) * FRESH_FOR_MS;
    const from_ms = to_ms - SPANS[span].length_s * 1000;
    const history = await this.#read(id, span, to_ms).catch(() => null);
    return history && isBuckets(history) && reaches(history, from_ms) ? history : null;
  }

  #offerQuantities(): void {
    const { words } = this.#view ?? {};
    const own = this.#loaded?.own;
    if (!words || !own) return;
    const names = quantitiesIn(own);
    const options = names.map((name) => element('option', { value: name }, words.quantity(name)));
    this.#quantity.replaceChildren(...options);
    this.#quantity.value = names.includes(this.#chosen) ? this.#chosen : (names[0] ?? '');
  }

  #draw(wanted: Wanted): void {
    const view = this.#view;
    if (!view) return;
    const key = JSON.stringify(wanted);
    const loaded = JSON.stringify(this.#loaded?.wanted) === key ? this.#loaded : null;
    const quantity = this.#quantity.value || INDEX;
    const { words, state } = view;
    const theme = getComputedStyle(this.element).color;
    const looks = `${key} ${loaded?.own} ${quantity} ${words.language} ${theme} ${state.palette}`;
    if (looks === this.#drawn) return;
    this.#drawn = looks;
    if (!loaded) return this.#await(wanted, words.say('trend.loading'));
    this.#offerQuantities();
    const isEmpty = !loaded.own || quantitiesIn(loaded.own).length === 0;
    this.#host.hidden = isEmpty || !this.#chart;
    this.#download.hidden = isEmpty;
    setText(this.#point, '');
    setText(this.#note, this.#remark(view, loaded.own, isEmpty));
    if (loaded.own && !isEmpty) this.#drawCourse(view, wanted, loaded.own, loaded.other, quantity);
  }

  /** The last chart stays until the next is there, unless it is another sensor's. */
  #await({ id, span }: Wanted, note: string): void {
    const last = this.#loaded?.wanted;
    if (last?.id === id && last.span === span) return;
    setText(this.#note, note);
    if (last?.id === id) return;
    this.#chart?.clear();
    // Its place stays, so that nothing below it moves.
    this.#host.hidden = false;
    this.#host.setAttribute('aria-label', note);
    this.#download.hidden = true;
    setText(this.#point, '');
  }

  #remark(view: View, own: Buckets | null, isEmpty: boolean): string {
    const { words } = view;
    if (!own || !this.#chart) return words.say('trend.failed');
    if (isEmpty) return words.say('trend.empty');
    const quantity = this.#quantity.value;
    const flagged = own.series[quantity]?.flagged.some(Boolean);
    const said = [
      `${words.say(`trend.${SPANS[this.#span].resolution}`)}.`,
      flagged ? words.say('trend.hollow') : '',
      aboutBands(view, quantity, this.#span),
    ];
    return said.filter(Boolean).join(' ');
  }

  #drawCourse(
    view: View,
    wanted: Wanted,
    own: Buckets,
    other: Buckets | null,
    quantity: string,
  ): void {
    const { format, state } = view;
    const { length_s, step_s } = SPANS[wanted.span];
    const to = ((wanted.slot + 1) * FRESH_FOR_MS) / 1000;
    const course = courseOf(own, quantity, step_s);
    const written = (value: number) => format.measured(quantity, value);
    const steps = state.standard && stepsOf(state.standard, quantity);
    this.#host.setAttribute('aria-label', summary(view, quantity, wanted.id, course.avg, written));
    this.#chart?.draw({
      course,
      other: other && courseOf(other, quantity, step_s),
      steps: steps?.steps ?? [],
      from: to - length_s,
      to,
      timeZone: state.status?.time_zone,
      writeMoment: (at) => (wanted.span === 'day' ? format.hour(at * 1000) : format.day(at * 1000)),
      writeValue: (value) => format.tick(value),
      onPoint: (at, value, second) => {
        const moment = at === null ? '' : format.moment(at * 1000);
        const values = [value, second].map((one) => (one === null ? '' : written(one)));
        const rated = value === null || !steps ? '' : asMean(view, steps, value);
        setText(this.#point, [moment, ...values, rated].filter(Boolean).join(' · '));
      },
    });
  }

  #save(): void {
    const own = this.#loaded?.own;
    if (own) download(`${own.sensor_id}-${own.resolution}.csv`, 'text/csv', asCsv(own));
  }
}

/** What the colours behind the line are for; nothing where there are none. */
function aboutBands({ words, state }: View, quantity: string, span: SpanName): string {
  const { standard } = state;
  const period = standard && stepsOf(standard, quantity)?.period;
  if (!period) return '';
  const said = words.say('trend.bands', { standard: standard.name, period: words.period(period) });
  return period === SPANS[span].period ? said : `${said} ${words.say('trend.bandsOther')}`;
}

/** The category of a pollutant's value, with the mean that it takes to be in it. */
function asMean({ words, state }: View, steps: Steps, value: number): string {
  const band = stepAt(steps, value);
  if (!steps.period || !band || !state.standard) return '';
  const word = words.band(state.standard, band);
  return words.say('trend.asMean', { period: words.period(steps.period), word });
}

/** The chart in a sentence, for those who do not see it. */
function summary(
  { state, words }: View,
  quantity: string,
  id: string,
  values: readonly (number | null)[],
  written: (value: number) => string,
): string {
  const known = values.filter((value) => value !== null);
  const last = known.at(-1);
  if (last === undefined) return words.say('trend.empty');
  return words.say('trend.chart', {
    quantity: words.quantity(quantity),
    name: state.sensors.get(id)?.name ?? id,
    low: written(Math.min(...known)),
    high: written(Math.max(...known)),
    last: written(last),
  });
}
