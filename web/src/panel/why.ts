/** Why a sensor shows its number: from what it said to the index, each step with its figures. */

import type { Average, Averaged, Explanation, Working } from '../api-types';
import { element, setText } from '../dom';
import type { Selection } from '../state';
import type { View } from '../view';

/** After a failure. */
const ASK_AGAIN_AFTER_MS = 10_000;

export type ReadExplanation = (id: string) => Promise<Explanation>;

export class Why {
  readonly #summary = element('summary');
  readonly #steps = element('dl', { class: 'steps' });
  readonly #source = element('p', { class: 'muted' });
  readonly #note = element('p', { class: 'muted', role: 'status' });
  readonly #read: ReadExplanation;
  readonly element: HTMLDetailsElement;
  #view: View | null = null;
  #asked = '';
  #askAgainAt_ms = 0;
  #drawn: unknown[] = [];
  #told: { key: string; explanation: Explanation | null } | null = null;

  constructor(read: ReadExplanation) {
    this.#read = read;
    this.element = element(
      'details',
      { class: 'why' },
      this.#summary,
      this.#steps,
      this.#source,
      this.#note,
    );
    this.element.addEventListener('toggle', () => this.#again());
  }

  render(view: View, selection: Selection): void {
    this.#view = view;
    setText(this.#summary, view.words.say('why.title'));
    if (!this.element.open) return;
    const key = `${selection.id} ${view.state.sensors.get(selection.id)?.latest?.at ?? ''}`;
    void this.#load(key, selection.id);
    this.#draw(view, key.startsWith(`${this.#told?.explanation?.sensor_id} `));
  }

  #again(): void {
    const selection = this.#view?.state.selection;
    if (this.#view && selection) this.render(this.#view, selection);
  }

  async #load(key: string, id: string): Promise<void> {
    if (key === this.#asked && Date.now() < this.#askAgainAt_ms) return;
    this.#asked = key;
    this.#askAgainAt_ms = Infinity;
    const explanation = await this.#read(id).catch(() => null);
    if (key !== this.#asked) return;
    if (!explanation) this.#askAgainAt_ms = Date.now() + ASK_AGAIN_AFTER_MS;
    this.#told = { key, explanation };
    this.#again();
  }

  /** The last explanation stays until the next is there, unless it is another sensor's. */
  #draw(view: View, isOwn: boolean): void {
    const explanation = isOwn ? (this.#told?.explanation ?? null) : null;
    const isOver = this.#told?.key === this.#asked;
    const looks = [explanation, isOver, view.words.language];
    if (looks.every((part, place) => part === this.#drawn[place])) return;
    this.#drawn = looks;
    this.#steps.replaceChildren(...(explanation ? steps(view, explanation) : []));
    setText(this.#source, explanation ? source(view, explanation) : '');
    const problem = isOver ? 'why.failed' : 'trend.loading';
    setText(this.#note, explanation ? '' : view.words.say(problem));
  }
}

function steps(view: View, told: Explanation): HTMLElement[] {
  const { words } = view;
  return [
    ...step(words.say('why.reading'), [reading(view, told)]),
    ...step(words.say('why.said'), [said(view, told)]),
    ...step(words.say('why.corrected'), corrections(view, told)),
    ...step(words.say('why.flags'), checks(view, told)),
    ...step(words.say('why.average'), [words.say('why.one'), ...averages(view, told)]),
    ...step(words.say('why.index'), indexes(view, told)),
  ];
}

function step(title: string, lines: (string | HTMLElement)[]): HTMLElement[] {
  const written = lines.filter((line) => line !== '');
  return [element('dt', {}, title), ...written.map((line) => element('dd', {}, line))];
}

function reading({ words, format, now_ms }: View, { reading }: Explanation): string {
  const time = format.clock(Date.parse(reading.timestamp), now_ms);
  return words.say(`why.clock.${reading.clock}`, { time });
}

/** What the sensor said, in the order of the node; one after the other. */
function said({ words, format }: View, { values }: Explanation): string {
  return Object.entries(values)
    .map(([name, { raw, unit }]) => `${words.quantity(name)} ${format.exact(raw, unit)}`)
    .join(' · ');
}

function corrections({ words, format }: View, { values }: Explanation): (string | HTMLElement)[] {
  const lines = Object.entries(values).flatMap(([name, { raw, value, unit, correction }]) => {
    if (!correction) return [];
    const line = words.say('why.correction', {
      quantity: words.quantity(name),
      raw: format.exact(raw, unit),
      value: format.exact(value, unit),
      name: correction.name,
      version: String(correction.version),
    });
    return [line, formula(correction.formula), correction.document ?? ''];
  });
  return lines.length > 0 ? lines : [words.say('why.uncorrected')];
}

function checks({ words }: View, { quality }: Explanation): string[] {
  if (quality.flags.length === 0) return [words.say('why.sound')];
  return [...quality.flags.map(({ flag }) => words.flag(flag)), words.say('why.leftOut')];
}

/** The averages that the index of now is defined over, of all that was measured. */
function averages(view: View, { averages }: Explanation): string[] {
  return Object.entries(averages.quantities).flatMap(([name, averaged]) =>
    averaged.averages
      .filter(({ is_of_index }) => is_of_index)
      .map((average) => mean(view, name, averaged, average)),
  );
}

function mean({ words, format }: View, name: string, { unit }: Averaged, average: Average): string {
  const { over, value, index, present, hours, needed } = average;
  const named = { quantity: words.quantity(name), period: words.period(over) };
  if (value === null) return words.say('why.noMean', { ...named, needed: format.count(needed) });
  return words.say('why.mean', {
    ...named,
    value: format.exact(value, unit),
    index: index === null ? '–' : format.index(index),
    present: format.count(present),
    hours: format.count(hours),
  });
}

/** Each pollutant's index; how the highest came about, as arithmetic. */
function indexes({ words, format }: View, { index }: Explanation): (string | HTMLElement)[] {
  const { pollutants, overall } = index;
  const list = Object.entries(pollutants)
    .filter(([, pollutant]) => pollutant.index !== null)
    .map(([name, pollutant]) => `${words.quantity(name)} ${format.index(pollutant.index ?? 0)}`);
  if (overall.dominant === null) return [words.say('index.noneWhy')];
  const workings = pollutants[overall.dominant]?.workings ?? [];
  const deciding = workings.find((working) => working.index === overall.aqi_value);
  return [words.say('why.highest', { list: list.join(' · ') }), formula(written(deciding))];
}

function written(working: Working | undefined): string | null {
  return working ? working.formula : null;
}

function formula(text: string | null): HTMLElement | string {
  return text ? element('code', {}, text) : '';
}

function source({ words }: View, { standard }: Explanation): string {
  const { name, publisher, document, date, version } = standard;
  return words.say('why.source', { name, publisher, document, date, version });
}
