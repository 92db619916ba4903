/** What a kiosk shows: a number to be read from three metres, and how current it is. */

import { element, setText } from '../dom';
import type { Insets } from '../map/map';
import { bandOfIndex, textColorOn } from '../standard';
import { isCutOff } from '../state';
import type { Stop } from './tour';
import { bandWord, paintIndexBadge, paintSimulatedMark, simulatedMark, type View } from '../view';

export class KioskScreen {
  readonly map = element('div', { class: 'map', 'aria-hidden': 'true' });
  readonly #place = element('h1');
  readonly #mark = simulatedMark();
  readonly #clock = element('time', { class: 'clock' });
  readonly #site = element('h2');
  readonly #number = element('p', { class: 'number' });
  readonly #word = element('p', { class: 'word' });
  readonly #advice = element('p', { class: 'advice' });
  readonly #what = element('p', { class: 'what' });
  readonly #card: HTMLElement;
  readonly #beside = element('ul', { class: 'beside' });
  readonly #last = element('p', { class: 'last', role: 'status' });
  readonly #foot = element('footer', { class: 'foot' });
  readonly element: HTMLElement;
  #besideDrawn = '';

  constructor() {
    this.#card = element(
      'section',
      { class: 'site' },
      this.#site,
      this.#number,
      this.#word,
      this.#advice,
      this.#what,
    );
    const bar = element('header', { class: 'card bar' }, this.#place, this.#mark, this.#clock);
    this.element = element(
      'main',
      { class: 'screen' },
      this.map,
      bar,
      this.#card,
      element('div', { class: 'card strip' }, this.#beside, this.#last),
      this.#foot,
    );
  }

  placeControls(controls: HTMLElement[]): void {
    this.#foot.append(...controls);
  }

  /** How much of the map lies below the site's card. */
  covered(): Insets {
    const { innerWidth: width } = window;
    const card = this.#card.getBoundingClientRect();
    const isAcross = card.width > width / 2 + 64;
    return isAcross
      ? { top: card.bottom, right: 0, bottom: 0, left: 0 }
      : { top: 0, right: 0, bottom: 0, left: card.right };
  }

  render(view: View, stop: Stop | null): void {
    const { state, words, format, now_ms } = view;
    this.element.setAttribute('aria-label', words.say('kiosk.label'));
    setText(this.#place, state.status?.node.name ?? '');
    paintSimulatedMark(this.#mark, view);
    setText(this.#clock, format.second(now_ms));
    this.#renderSite(view, stop);
    this.#renderBeside(view, stop);
    setText(this.#last, lastMessage(view));
    this.#last.classList.toggle('lost', state.isBarred || isCutOff(state, now_ms));
  }

  #renderSite(view: View, stop: Stop | null): void {
    const { state, words, format, now_ms } = view;
    const { standard } = state;
    const latest = stop?.site.latest ?? null;
    const index = latest?.index ?? null;
    const band = standard && index !== null ? bandOfIndex(standard, index) : undefined;
    this.#card.classList.toggle('no-index', !band);
    if (band) {
      this.#card.style.setProperty('--band', band.color);
      this.#card.style.setProperty('--on-band', textColorOn(band.color));
    }
    setText(this.#site, stop?.site.name ?? '');
    setText(this.#number, index === null ? '–' : format.index(index));
    setText(this.#word, stop ? bandWord(view, index) : nothing(view));
    setText(this.#advice, standard && band ? words.advice(standard, band) : '');
    const age = latest && words.say('panel.measured', { age: format.age(now_ms - latest.at) });
    const what = `${words.say('index.what')} (${standard?.name ?? ''})`;
    setText(this.#what, age ? `${what}, ${age}` : '');
  }

  #renderBeside(view: View, stop: Stop | null): void {
    const { state, words, format } = view;
    const shown = stop?.beside ?? [];
    const looks = JSON.stringify(shown.map(({ id, name, latest }) => [id, name, latest?.index]));
    if (looks === this.#besideDrawn) return;
    this.#besideDrawn = looks;
    const items = shown.map(({ name, latest }) => {
      const badge = element('span', { class: 'index-badge' });
      paintIndexBadge(badge, state.standard, latest?.index ?? null, format);
      const word = element(
        'span',
        { class: 'muted' },
        bandWord({ ...view, words }, latest?.index ?? null),
      );
      return element('li', {}, badge, element('span', { class: 'name' }, name, word));
    });
    this.#beside.replaceChildren(...items);
  }
}

function nothing({ state, words }: View): string {
  if (state.isBarred) return words.say('link.barred');
  return words.say(state.heardAt === null ? 'kiosk.waiting' : 'kiosk.none');
}

function lastMessage({ state, words, format, now_ms }: View): string {
  if (state.isBarred) return words.say('link.barred');
  if (state.heardAt === null) return words.say('kiosk.waiting');
  const time = format.lately(state.heardAt, now_ms);
  return words.say(isCutOff(state, now_ms) ? 'kiosk.lost' : 'kiosk.last', { time });
}
