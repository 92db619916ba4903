/** Where things stand: the map below, everything else floating on it. */

import { element, iconButton, nameButton } from './dom';
import { icon } from './icons';
import type { Insets } from './map';
import type { Part, View } from './view';

export interface Floating {
  readonly topbar: Part;
  readonly panel: Part;
  readonly list: Part;
  readonly legend: Part & { readonly element: HTMLDetailsElement };
}

export class Layout implements Part {
  readonly map = element('div', { class: 'map' });
  readonly element: HTMLElement;
  readonly #floating: Floating;
  readonly #side: HTMLElement;
  readonly #foot = element('footer', { class: 'foot' });
  readonly #zoomIn: HTMLButtonElement;
  readonly #zoomOut: HTMLButtonElement;

  constructor(floating: Floating, onZoom: (levels: number) => void) {
    const { topbar, panel, list, legend } = floating;
    this.#floating = floating;
    this.#zoomIn = iconButton(icon('plus'), () => onZoom(1));
    this.#zoomOut = iconButton(icon('minus'), () => onZoom(-1));
    const zoom = element('div', { class: 'zoom card' }, this.#zoomIn, this.#zoomOut);
    const corner = element('div', { class: 'corner' }, zoom, legend.element);
    this.#side = element('div', { class: 'side' }, panel.element, list.element);
    const overlay = element('div', { class: 'overlay' }, topbar.element, this.#side, corner);
    overlay.append(this.#foot);
    this.element = element('main', {}, this.map, overlay);
  }

  /** Scale and attribution, which nothing may cover. */
  placeControls(controls: HTMLElement[]): void {
    this.#foot.append(...controls);
  }

  render(view: View): void {
    for (const part of Object.values(this.#floating) as Part[]) part.render(view);
    nameButton(this.#zoomIn, view.words.say('map.zoomIn'));
    nameButton(this.#zoomOut, view.words.say('map.zoomOut'));
  }

  /** How much of the map is covered; on a phone the side is a sheet at the bottom. */
  covered(): Insets {
    const { innerWidth: width, innerHeight: height } = window;
    const { topbar, panel, list, legend } = this.#floating;
    const top = topbar.element.getBoundingClientRect().bottom;
    const side = this.#side.getBoundingClientRect();
    const key = legend.element.getBoundingClientRect();
    const isOpen = !panel.element.hidden || !list.element.hidden;
    if (side.width > width / 2) {
      return { top, right: 0, bottom: height - (isOpen ? side : key).top, left: 0 };
    }
    const right = legend.element.open ? width - key.left : 0;
    return { top, right, bottom: 0, left: isOpen ? side.right : 0 };
  }
}
