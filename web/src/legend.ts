/** What the colours, words, shapes and numbers mean. */

import type { Band, Standard } from './api-types';
import { element } from './dom';
import { icon } from './icons';
import { remember, remembered } from './preferences';
import { paintSimulatedMark, simulatedMark, type Part, type View } from './view';

/** Smaller screens start with the legend folded, so that the map is seen. */
const ROOMY = '(min-width: 720px) and (min-height: 640px)';

export class Legend implements Part {
  readonly element = element('details', { class: 'legend card' });
  readonly #summary = element('summary');
  readonly #body = element('div', { class: 'legend-body' });
  readonly #mark = simulatedMark();
  #drawn = '';

  constructor() {
    const known = remembered('legend');
    this.element.open = known === null ? matchMedia(ROOMY).matches : known === 'open';
    // A click comes before what it does: an open legend is about to close.
    this.#summary.addEventListener('click', () =>
      remember('legend', this.element.open ? 'closed' : 'open'),
    );
    this.element.append(this.#summary, this.#body);
  }

  render(view: View): void {
    const { standard } = view.state;
    if (!standard) return;
    paintSimulatedMark(this.#mark, view);
    const looks = `${view.words.language} ${standard.id}`;
    if (looks === this.#drawn) return;
    this.#drawn = looks;
    this.#summary.replaceChildren(...summary(view, standard, this.#mark));
    this.#body.replaceChildren(...body(view, standard));
  }
}

function summary(view: View, standard: Standard, mark: HTMLElement): Node[] {
  const strip = element('span', { class: 'strip', 'aria-hidden': 'true' });
  strip.append(...standard.bands.map(swatch));
  const title = element('span', { class: 'legend-title' }, view.words.say('legend.title'), mark);
  return [title, strip, icon('down')];
}

function body(view: View, standard: Standard): Node[] {
  const { words } = view;
  const { publisher, document, name } = standard;
  return [
    element('ul', { class: 'bands' }, ...standard.bands.map((band) => bandRow(view, band))),
    element(
      'ul',
      { class: 'shapes' },
      shapeRow('flagged', '!', words.say('legend.flagged')),
      shapeRow('stale', '42', words.say('legend.stale')),
      shapeRow('cluster', '42', words.say('legend.cluster')),
    ),
    element('p', {}, words.say('index.whatLong', { standard: name })),
    element('p', { class: 'muted' }, words.say('legend.source', { publisher, document })),
  ];
}

function bandRow({ words, format, state }: View, band: Band): HTMLElement {
  const low = format.index(band.low);
  const range =
    band.high === null ? words.say('legend.beyond', { low }) : `${low}–${format.index(band.high)}`;
  const word = state.standard ? words.band(state.standard, band) : band.word;
  return element('li', {}, swatch(band), word, element('span', { class: 'range' }, range));
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
