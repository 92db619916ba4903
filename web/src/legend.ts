/** What the colours, words, shapes and numbers mean, and which of them are shown. */

import type { Band, Standard } from './api-types';
import { element, setText } from './dom';
import { icon } from './icons';
import { remember, remembered } from './preferences';
import type { Palette } from './standard';
import { paintSimulatedMark, simulatedMark, type Part, type View } from './view';

/** Smaller screens start with the legend folded, so that the map is seen. */
const ROOMY = '(min-width: 720px) and (min-height: 760px)';

export interface LegendActions {
  /** Show the index of one pollutant; none: the overall one. */
  onPollutant(pollutant: string | null): void;
  onPalette(palette: Palette): void;
  onReports(isShown: boolean): void;
}

export class Legend implements Part {
  readonly element = element('details', { class: 'legend card' });
  readonly #summary = element('summary');
  readonly #meaning = element('div', { class: 'meaning' });
  readonly #mark = simulatedMark();
  readonly #pollutant = element('select');
  readonly #pollutantLabel = element('span');
  readonly #assist = new Check((isOn) => this.#actions.onPalette(isOn ? 'assist' : 'standard'));
  readonly #reports = new Check((isOn) => this.#actions.onReports(isOn));
  readonly #actions: LegendActions;
  #drawn = '';

  constructor(actions: LegendActions) {
    this.#actions = actions;
    const known = remembered('legend');
    this.element.open = known === null ? matchMedia(ROOMY).matches : known === 'open';
    // A click comes before what it does: an open legend is about to close.
    this.#summary.addEventListener('click', () =>
      remember('legend', this.element.open ? 'closed' : 'open'),
    );
    this.#pollutant.addEventListener('change', () =>
      actions.onPollutant(this.#pollutant.value || null),
    );
    const choices = element(
      'div',
      { class: 'choices' },
      element('label', { class: 'layer' }, this.#pollutantLabel, this.#pollutant),
      this.#assist.element,
      this.#reports.element,
    );
    const body = element('div', { class: 'legend-body' }, choices, this.#meaning);
    this.element.append(this.#summary, body);
  }

  render(view: View): void {
    const { standard, palette, pollutant, reportsShown } = view.state;
    if (!standard) return;
    paintSimulatedMark(this.#mark, view);
    const looks = [view.words.language, standard.id, palette, pollutant, reportsShown].join(' ');
    if (looks === this.#drawn) return;
    this.#drawn = looks;
    this.#summary.replaceChildren(...summary(view, standard, this.#mark));
    this.#meaning.replaceChildren(...meaning(view, standard));
    this.#renderChoices(view, standard);
  }

  #renderChoices({ words, state }: View, standard: Standard): void {
    setText(this.#pollutantLabel, words.say('layer.label'));
    this.#pollutant.replaceChildren(
      element('option', { value: '' }, words.say('layer.all')),
      ...standard.pollutants.map((name) =>
        element('option', { value: name }, words.quantity(name)),
      ),
    );
    this.#pollutant.value = state.pollutant ?? '';
    this.#assist.render(words.say('legend.assist'), state.palette === 'assist');
    this.#reports.render(words.say('report.layer'), state.reportsShown);
  }
}

/** A box to tick, with its words. */
class Check {
  readonly #box = element('input', { type: 'checkbox' });
  readonly #words = element('span');
  readonly element = element('label', { class: 'check' }, this.#box, this.#words);

  constructor(onChange: (isOn: boolean) => void) {
    this.#box.addEventListener('change', () => onChange(this.#box.checked));
  }

  render(words: string, isOn: boolean): void {
    setText(this.#words, words);
    this.#box.checked = isOn;
  }
}

function summary(view: View, standard: Standard, mark: HTMLElement): Node[] {
  const strip = element('span', { class: 'strip', 'aria-hidden': 'true' });
  strip.append(...standard.bands.map(swatch));
  const { pollutant } = view.state;
  const name = pollutant ? view.words.quantity(pollutant) : view.words.say('legend.title');
  const title = element('span', { class: 'legend-title' }, name, mark);
  return [title, strip, icon('down')];
}

function meaning(view: View, standard: Standard): Node[] {
  const { words } = view;
  return [
    element('ul', { class: 'bands' }, ...rows(view, standard)),
    element(
      'ul',
      { class: 'shapes' },
      shapeRow('flagged', '!', words.say('legend.flagged')),
      shapeRow('stale', '42', words.say('legend.stale')),
      shapeRow('cluster', '42', words.say('legend.cluster')),
    ),
    element('p', {}, whatIsShown(view, standard)),
    element(
      'details',
      {},
      element('summary', {}, words.say('legend.more')),
      ...sources(view, standard),
    ),
  ];
}

function sources(view: View, standard: Standard): HTMLElement[] {
  const { words, state } = view;
  const { publisher, document, assist } = standard;
  const lines = [
    words.say('legend.periods', { list: periods(view, standard) }),
    words.say('legend.source', { publisher, document }),
    words.say('legend.advice', { publisher }),
  ];
  if (state.palette === 'assist') lines.push(words.say('legend.assistSource', { source: assist }));
  return lines.map((line) => element('p', {}, line));
}

function whatIsShown({ words, state }: View, { name }: Standard): string {
  if (state.pollutant === null) return words.say('index.whatLong', { standard: name });
  const quantity = words.quantity(state.pollutant);
  return words.say('layer.what', { quantity, standard: name });
}

/** What the standard itself rates now: the pollutant shown, or all, by what they are means over. */
function periods({ words, state }: View, standard: Standard): string {
  const byPeriod = new Map<string, string[]>();
  for (const [pollutant, scales] of Object.entries(standard.periods)) {
    if (state.pollutant !== null && state.pollutant !== pollutant) continue;
    const period = [...new Set(scales.map(({ current }) => words.period(current)))].join(' / ');
    byPeriod.set(period, [...(byPeriod.get(period) ?? []), words.quantity(pollutant)]);
  }
  return [...byPeriod].map(([period, names]) => `${names.join(', ')}: ${period}`).join('; ');
}

/** Bands that share a word (the UK's) share a row. */
function rows(view: View, standard: Standard): HTMLElement[] {
  const groups = new Map<string, Band[]>();
  for (const band of standard.bands) {
    groups.set(band.word, [...(groups.get(band.word) ?? []), band]);
  }
  return [...groups.values()].map((bands) => bandRow(view, standard, bands));
}

function bandRow({ words, format }: View, standard: Standard, bands: Band[]): HTMLElement {
  const [first, last] = [bands[0], bands.at(-1)];
  if (!first || !last) return element('li');
  const swatches = element('span', { class: 'swatches' }, ...bands.map(swatch));
  const range = element('span', { class: 'range' }, written(words, format, first.low, last.high));
  return element('li', {}, swatches, words.band(standard, first), range);
}

function written(
  words: View['words'],
  format: View['format'],
  low: number,
  high: number | null,
): string {
  if (high === null) return words.say('legend.beyond', { low: format.index(low) });
  return low === high ? format.index(low) : `${format.index(low)}–${format.index(high)}`;
}

function shapeRow(shape: string, text: string, meaning: string): HTMLElement {
  const sample = element('span', { class: `shape ${shape}`, 'aria-hidden': 'true' }, text);
  return element('li', {}, sample, meaning);
}

function swatch(band: Band): HTMLElement {
  const made = element('span', { class: 'swatch' });
  made.style.setProperty('--band', band.color);
  return made;
}
