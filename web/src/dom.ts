/** Building elements. Text only ever enters as a text node: what a sensor is called is not ours. */

type Child = Node | string | null;

export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, string>> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A button with an icon and, for everyone, a name. */
export function iconButton(icon: SVGElement, onClick: () => void): HTMLButtonElement {
  const button = element('button', { type: 'button', class: 'icon-button' }, icon);
  button.addEventListener('click', onClick);
  return button;
}

export function nameButton(button: HTMLButtonElement, name: string): void {
  button.setAttribute('aria-label', name);
  button.title = name;
}

/** Set text only when it differs, so that a screen reader hears changes and nothing else. */
export function setText(target: Element, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}
