/** The live connection: for ever reconnecting, always subscribed to what is wanted. */

import type { Row } from './api-types';
import { waitBeforeAttempt } from './patience';

const PING_AFTER_MS = 20_000;
/** How long an answer to a ping, or a connection that opens, may take. */
const DEAD_AFTER_MS = 20_000;

export interface GridUpdate {
  readonly gridId: string;
  readonly readings: readonly Row[];
  readonly seq: number;
  readonly boot: string;
}

export interface LiveHandlers {
  onUpdate(update: GridUpdate): void;
  /** Something happened to alerts, or to what people reported; not heard by who shows neither. */
  onNews?(kind: 'alert' | 'report'): void;
  onLink(link: 'live' | 'lost'): void;
  /** Something may have been missed: read all again. */
  onGap(): void;
}

type ServerMessage =
  | ({ type: 'grid-update' } & GridUpdate)
  | ({ type: 'alert' | 'report' | 'resync' } & Place)
  | { type: 'other' };

/** Where a message stands among all of one run of the node. */
interface Place {
  readonly seq: number;
  readonly boot: string;
}

export class Live {
  readonly #url: string;
  readonly #handlers: LiveHandlers;
  #socket: WebSocket | null = null;
  #wanted = new Set<string>();
  #attempt = 0;
  #retryTimer = 0;
  #heardAt = 0;
  /** When it was last asked whether it is still there. */
  #askedAt = 0;
  #last: Place | null = null;
  #connectedBefore = false;

  constructor(url: string, handlers: LiveHandlers) {
    this.#url = url;
    this.#handlers = handlers;
    window.setInterval(() => this.#checkPulse(), PING_AFTER_MS / 2);
    window.addEventListener('online', () => this.#connectNow());
    this.#connect();
  }

  /** Be subscribed to exactly these grids, now and after every reconnection. */
  watch(gridIds: Iterable<string>): void {
    const wanted = new Set(gridIds);
    const known = this.#wanted;
    this.#wanted = wanted;
    this.#send(
      'unsubscribe-grid',
      [...known].filter((id) => !wanted.has(id)),
    );
    this.#send(
      'subscribe-grid',
      [...wanted].filter((id) => !known.has(id)),
    );
  }

  #connect(): void {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#heardAt = Date.now();
    socket.addEventListener('open', () => this.#opened());
    socket.addEventListener('message', (event) => this.#received(event.data));
    socket.addEventListener('close', () => this.#closed(socket));
  }

  #connectNow(): void {
    if (!this.#retryTimer) return;
    window.clearTimeout(this.#retryTimer);
    this.#retryTimer = 0;
    this.#connect();
  }

  #opened(): void {
    const wasGone = this.#connectedBefore || this.#attempt > 0;
    this.#attempt = 0;
    this.#send('subscribe-grid', [...this.#wanted]);
    if (this.#last) this.#socket?.send(JSON.stringify({ type: 'resume', ...this.#last }));
    else if (wasGone) this.#handlers.onGap();
    this.#connectedBefore = true;
    this.#handlers.onLink('live');
  }

  #received(frame: unknown): void {
    this.#heardAt = Date.now();
    const message = parseServerMessage(frame);
    if (message.type === 'other') return;
    const restarted = this.#last !== null && this.#last.boot !== message.boot;
    this.#last = { seq: message.seq, boot: message.boot };
    if (restarted || message.type === 'resync') this.#handlers.onGap();
    if (message.type === 'grid-update') this.#handlers.onUpdate(message);
    else if (message.type !== 'resync') this.#handlers.onNews?.(message.type);
  }

  #closed(socket: WebSocket): void {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#handlers.onLink('lost');
    const delay_ms = waitBeforeAttempt(this.#attempt++, Math.random());
    this.#retryTimer = window.setTimeout(() => this.#connectNow(), delay_ms);
  }

  /** A connection can be dead without anyone saying so: ask, and leave it when nothing comes. */
  #checkPulse(): void {
    const socket = this.#socket;
    if (!socket) return;
    const isOpen = socket.readyState === WebSocket.OPEN;
    const found = pulse({ isOpen, heardAt: this.#heardAt, askedAt: this.#askedAt }, Date.now());
    if (found === 'dead') {
      socket.close();
      this.#closed(socket);
    } else if (found === 'silent') {
      this.#askedAt = Date.now();
      socket.send(JSON.stringify({ type: 'ping' }));
    }
  }

  #send(type: 'subscribe-grid' | 'unsubscribe-grid', gridIds: string[]): void {
    if (gridIds.length === 0 || this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(JSON.stringify({ type, gridIds }));
  }
}

/** Moments in ms since 1970. */
interface Signs {
  readonly isOpen: boolean;
  /** When something last came, or else when the connection was begun. */
  readonly heardAt: number;
  readonly askedAt: number;
}

/**
 * What a connection's silence means. One that was not asked is not dead for it: the timers of a
 * hidden tab may come a minute late.
 */
export function pulse(
  { isOpen, heardAt, askedAt }: Signs,
  now_ms: number,
): 'well' | 'silent' | 'dead' {
  const isAwaited = !isOpen || askedAt > heardAt;
  if (!isAwaited) return now_ms - heardAt > PING_AFTER_MS ? 'silent' : 'well';
  return now_ms - Math.max(askedAt, heardAt) > DEAD_AFTER_MS ? 'dead' : 'well';
}

/** What a frame says; anything that is not what we know is 'other', never an error. */
export function parseServerMessage(frame: unknown): ServerMessage {
  const message = parseJson(frame);
  if (!isRecord(message)) return { type: 'other' };
  const { type, gridId, data, seq, boot } = message;
  if (type === 'resync') return { type, seq: Number(seq) || 0, boot: String(boot) };
  if (typeof gridId !== 'string' || typeof seq !== 'number') return { type: 'other' };
  if (type === 'alert' || type === 'report') return { type, seq, boot: String(boot) };
  if (type !== 'grid-update') return { type: 'other' };
  const readings = isRecord(data) && Array.isArray(data['readings']) ? data['readings'] : [];
  return { type, gridId, seq, boot: String(boot), readings: readings.filter(isReadingRow) };
}

function parseJson(frame: unknown): unknown {
  try {
    return JSON.parse(String(frame));
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isReadingRow(value: unknown): value is Row {
  return (
    isRecord(value) &&
    typeof value['sensor_id'] === 'string' &&
    typeof value['timestamp'] === 'string' &&
    typeof value['lat'] === 'number' &&
    typeof value['lng'] === 'number' &&
    Array.isArray(value['flags'])
  );
}
