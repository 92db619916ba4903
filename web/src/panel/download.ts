import { element } from '../dom';

/** By this Excel knows that a text is in UTF-8; others pass over it. */
const MARK = '\ufeff';

/** Hand text to the reader as a file; what a file system may refuse in its name is left out. */
export function download(name: string, mediaType: string, text: string): void {
  const url = URL.createObjectURL(new Blob([MARK, text], { type: `${mediaType};charset=utf-8` }));
  const safe = name.replace(/[^\p{L}\p{N}._-]+/gu, '_').slice(-120);
  element('a', { href: url, download: safe }).click();
  // The browser has taken the file's content by the time the next task runs.
  window.setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
