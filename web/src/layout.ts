/** Where things stand: the map below, everything else floating on it. */

import { element, iconButton, nameButton } from './dom';
import { icon } from './icons';
import type { Insets } from './map/map';
import type { Part, View } from './view';

/** Where the styles turn the side into a sheet. */
const PHONE = '(max-width: 719px)';

export interface Floating {
  readonly topbar: Part;
  readonly banner: Part;
  readonly panel: Part;
  readonly list: Part;
  readonly reportForm: Part;
  readonly replay: Part;
  readonly legend: Part & { readonly element: HTMLDetailsElement };
}

export class Layout implements Part {
  readonly map = element('div', { class: 'map' });
  readonly element: HTMLElement;
  readonly #floating: Floating;
  readonly #top: HTMLElement;
  readonly #side: HTMLElement;
  /** Shows which point of the map is meant. */
  readonly #aim = element('div', { class: 'aim', 'aria-hidden': 'true' });
  readonly #foot = element('footer', { class: 'foot' });
  readonly #zoomIn: HTMLButtonElement;
  readonly #zoomOut: HTMLButtonElement;

  constructor(floating: Floating, onZoom: (levels: number) => void) {
    const { topbar, banner, panel, list, reportForm, replay, legend } = floating;
    this.#floating = floating;
    this.#zoomIn = iconButton(icon('plus'), () => onZoom(1));
    this.#zoomOut = iconButton(icon('minus'), () => onZoom(-1));
    const zoom = element('div', { class: 'zoom card' }, this.#zoomIn, this.#zoomOut);
    const corner = element('div', { class: 'corner' }, zoom, legend.element);
    this.#side = element('div', { class: 'side' });
    this.#side.append(panel.element, list.element, reportForm.element);
    this.#top = element('div', { class: 'top' }, topbar.element, banner.element);
    const overlay = element('div', { class: 'overlay' }, this.#top, this.#side, corner);
    overlay.append(replay.element, this.#foot);
    this.element = element('main', {}, this.map, this.#aim, overlay);
  }

  /** Scale and attribution, which nothing may cover. */
  placeControls(controls: HTMLElement[]): void {
    this.#foot.append(...controls);
  }

  render(view: View): void {
    for (const part of Object.values(this.#floating) as Part[]) part.render(view);
    this.#placeAim(view.state.side === 'report' && !view.state.selection);
    nameButton(this.#zoomIn, view.words.say('map.zoomIn'));
    nameButton(this.#zoomOut, view.words.say('map.zoomOut'));
  }

  /** The middle of what is seen of the map, in pixels. */
  freeMiddle(): { x: number; y: number } {
    const { innerWidth: width, innerHeight: height } = window;
    const { top, right, bottom, left } = this.covered();
    return { x: (left + width - right) / 2, y: (top + height - bottom) / 2 };
  }

  #placeAim(isShown: boolean): void {
    this.#aim.hidden = !isShown;
    if (!isShown) return;
    const { x, y } = this.freeMiddle();
    this.#aim.style.translate = `${x}px ${y}px`;
  }

  /** How much of the map is covered; on a phone the side is a sheet at the bottom. */
  covered(): Insets {
    const { innerWidth: width, innerHeight: height } = window;
    const { legend } = this.#floating;
    const top = this.#top.getBoundingClientRect().bottom;
    const side = this.#side.getBoundingClientRect();
    const key = legend.element.getBoundingClientRect();
    const isOpen = [...this.#side.children].some((part) => !(part as HTMLElement).hidden);
    if (matchMedia(PHONE).matches) {
      return { top, right: 0, bottom: height - (isOpen ? side : key).top, left: 0 };
    }
    const right = legend.element.open ? width - key.left : 0;
    return { top, right, bottom: 0, left: isOpen ? side.right : 0 };
  }
}
