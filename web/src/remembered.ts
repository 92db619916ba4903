/** What a reader chose, on their device; a full or forbidden storage is no obstacle. */

const PREFIX = 'urbanos.';

export function remembered(name: string): string | null {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

export function remember(name: string, value: string): void {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // Then the choice holds until the page is closed.
  }
}
