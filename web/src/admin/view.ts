/** What the administration knows, and what every part of it is drawn from. */

import type {
  Alert,
  FoundList,
  LetterList,
  LoggedIn,
  NodeStatus,
  ReportList,
  RuleList,
  SenderList,
  SettingList,
} from '../api-types';
import type { AdminKey, Say } from './words';
import { element } from '../dom';
import type { Format } from '../format';
import type { Words } from '../i18n';
import { STALE_AFTER_S, type Sensor } from '../state';

export interface Desk {
  readonly who: LoggedIn;
  readonly status: NodeStatus;
  readonly sensors: readonly Sensor[];
  readonly alerts: readonly Alert[];
  readonly inbox: SenderList;
  readonly nearby: FoundList;
  readonly letters: LetterList;
  readonly rules: RuleList;
  readonly reports: ReportList;
  /** Null for an operator: settings are for admins. */
  readonly settings: SettingList | null;
}

export interface AdminView {
  readonly desk: Desk;
  readonly say: Say;
  /** A text as it stands, with its placeholders. */
  readonly text: (key: AdminKey) => string;
  readonly words: Words;
  readonly format: Format;
  readonly now_ms: number;
}

/**
 * What an act has to say; nothing: that it is done; an empty text: that nothing was. What takes long
 * tells meanwhile how far it is.
 */
export type Act = (tell: (text: string) => void) => Promise<string | void>;

/** What the parts have done. */
export interface Acts {
  /** Do it, tell the reader what came of it, and read everything again. */
  act(button: HTMLButtonElement, action: Act): Promise<void>;
  claim(sender: string): void;
  showSensor(id: string): void;
  /** True once the reader has typed the word, or agreed where there is none to type. */
  confirm(what: string, go: string, word?: string): Promise<boolean>;
}

export function isSilent({ latest }: Sensor, now_ms: number): boolean {
  return !latest || now_ms - latest.at > STALE_AFTER_S * 1000;
}

/** Those that never reported, then those that were heard longest ago. */
export function silentFirst(sensors: readonly Sensor[]): Sensor[] {
  return sensors.toSorted((a, b) => (a.latest?.at ?? 0) - (b.latest?.at ?? 0));
}

/** A moment of the node's, as RFC 3339, in the reader's words. */
export function moment({ say, format, now_ms }: AdminView, at: string | null): string {
  return at === null ? say('never') : format.clock(Date.parse(at), now_ms);
}

export function actButton(name: string, acts: Acts, action: Act): HTMLButtonElement {
  const button = element('button', { type: 'button', class: 'text-button' }, name);
  button.addEventListener('click', () => void acts.act(button, action));
  return button;
}

export function plainButton(name: string, onClick: () => void): HTMLButtonElement {
  const button = element('button', { type: 'button', class: 'text-button' }, name);
  button.addEventListener('click', onClick);
  return button;
}

/** Bytes in the largest unit of two that leaves a number worth reading. */
export function size(format: Format, bytes: number): string {
  const gigabytes = bytes / 1e9;
  return gigabytes >= 1 ? format.quantity(gigabytes, 'GB') : format.quantity(bytes / 1e6, 'MB');
}
