/** The last 24 hours on the map, hour by hour: there only when somebody wants it. */

import { element, iconButton, nameButton, setText } from './dom';
import { icon } from './icons';
import type { Part, View } from './view';

const HOUR_MS = 3_600_000;
/** How many whole hours before the current one the node keeps at hand. */
const HOURS = 23;
/** An hour per second. */
const STEP_MS = 1000;

/** `onHour` hears which hour is to be shown, counted since 1970; null: now. */
export class Replay implements Part {
  readonly #open: HTMLButtonElement;
  readonly #play: HTMLButtonElement;
  readonly #close: HTMLButtonElement;
  readonly #slider = element('input', { type: 'range', min: '1', max: String(HOURS), step: '1' });
  readonly #time = element('output');
  readonly #bar: HTMLElement;
  readonly #onHour: (hour: number | null) => void;
  readonly element: HTMLElement;
  #timer = 0;
  #view: View | null = null;

  constructor(onHour: (hour: number | null) => void) {
    this.#onHour = onHour;
    this.#open = iconButton(icon('clock'), () => onHour(currentHour() - 1));
    this.#play = iconButton(icon('play'), () => (this.#timer ? this.#pause() : this.#run()));
    this.#close = iconButton(icon('close'), () => this.#leave(true));
    this.#slider.addEventListener('input', () => {
      const wanted = currentHour() - HOURS + Number(this.#slider.value) - 1;
      this.#pause();
      onHour(wanted);
    });
    this.#bar = element(
      'div',
      { class: 'replay card', role: 'group' },
      this.#play,
      this.#slider,
      this.#time,
      this.#close,
    );
    this.#open.classList.add('card');
    this.element = element('div', { class: 'replay-place' }, this.#open, this.#bar);
  }

  render(view: View): void {
    this.#view = view;
    const { words, state } = view;
    const { replayedHour: hour } = state;
    this.#open.hidden = hour !== null;
    this.#bar.hidden = hour === null;
    nameButton(this.#open, words.say('replay.open'));
    if (hour === null) return this.#stop();
    this.#bar.setAttribute('aria-label', words.say('replay.open'));
    nameButton(this.#play, words.say(this.#timer ? 'replay.pause' : 'replay.play'));
    nameButton(this.#close, words.say('replay.live'));
    this.#slider.setAttribute('aria-label', words.say('replay.hour'));
    this.#slider.value = String(hour - currentHour() + HOURS + 1);
    this.#slider.setAttribute('aria-valuetext', hourSpan(view, hour));
    setText(this.#time, hourSpan(view, hour));
    this.#showPlayIcon(this.#timer ? 'pause' : 'play');
  }

  /** One that is replaced under a pointer that is down takes no click. */
  #showPlayIcon(name: 'play' | 'pause'): void {
    if (this.#play.dataset['icon'] === name) return;
    this.#play.dataset['icon'] = name;
    this.#play.replaceChildren(icon(name));
  }

  /** From the first hour on; at the end the page is live again. */
  #run(): void {
    const hour = this.#view?.state.replayedHour ?? null;
    if (hour === null || hour >= currentHour() - 1) this.#onHour(currentHour() - HOURS);
    this.#timer = window.setInterval(() => this.#advance(), STEP_MS);
    this.#again();
  }

  #advance(): void {
    const hour = this.#view?.state.replayedHour ?? null;
    if (hour === null || hour >= currentHour() - 1) return this.#leave(false);
    this.#onHour(hour + 1);
  }

  #stop(): void {
    window.clearInterval(this.#timer);
    this.#timer = 0;
  }

  #pause(): void {
    this.#stop();
    this.#again();
  }

  /** Back to now; whoever is somewhere else by then, in the search or a note, stays there. */
  #leave(isAsked: boolean): void {
    const isHere = isAsked || this.#bar.contains(document.activeElement);
    this.#pause();
    this.#onHour(null);
    if (isHere) this.#open.focus();
  }

  #again(): void {
    if (this.#view) this.render(this.#view);
  }
}

/** '08:00–09:00', as the node's clock has it. */
export function hourSpan({ format }: View, hour: number): string {
  return `${format.hour(hour * HOUR_MS)}–${format.hour((hour + 1) * HOUR_MS)}`;
}

function currentHour(): number {
  return Math.floor(Date.now() / HOUR_MS);
}
