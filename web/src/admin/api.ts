/** What operators ask of the node and have it do, by the cookie that logging in brought. */

import { ask, send } from '../api';
import type { Place } from '../state';

export type RecognisedBy = 'address' | 'token' | 'basic' | 'open';

export interface Claim extends Partial<Place> {
  readonly sender: string;
  readonly name: string;
  readonly rule: RecognisedBy;
}

/** What came of a claim; the secret is shown this once. */
export interface Claimed {
  readonly imported: number;
  readonly secret: string | null;
}

export interface NewRule {
  readonly when: string;
  readonly name: string;
  readonly for_s: number;
  readonly quantity?: string;
  readonly threshold?: number;
}

/** How many rows of a kind are read. */
const MOST = '100';

export const desk = {
  who: () => ask('/api/v1/session'),
  letters: () => ask('/api/v1/dead-letters', {}, { limit: MOST }),
  inbox: () => ask('/api/v1/inbox'),
  nearby: () => ask('/api/v1/discovered'),
  rules: () => ask('/api/v1/alert-rules'),
  reports: () => ask('/api/v1/reports', {}, { state: 'pending', limit: MOST }),
  settings: () => ask('/api/v1/settings'),
  logIn: (token: string) => send('POST', '/api/v1/session', { token }),
  logOut: () => send('DELETE', '/api/v1/session'),
  requeue: (id?: number) => send('POST', '/api/v1/dead-letters/requeue', chosen(id)),
  purge: () => send('DELETE', '/api/v1/dead-letters', chosen()),
  backUp: () => send('POST', '/api/v1/backups'),
  claim: async (claim: Claim) => (await send('POST', '/api/v1/inbox/claim', claim)) as Claimed,
  ignore: (sender: string) => send('POST', '/api/v1/inbox/ignore', { sender }),
  hear: (sender: string) => send('POST', '/api/v1/inbox/ignore', { sender, undo: true }),
  decide: (id: number, verdict: 'approve' | 'reject') =>
    send('POST', `/api/v1/reports/${id}/${verdict}`),
  addRule: (rule: NewRule) => send('POST', '/api/v1/alert-rules', rule),
  removeRule: (id: number) => send('DELETE', `/api/v1/alert-rules/${id}`),
  testRule: async (id: number) => {
    const answer = await send('POST', `/api/v1/alert-rules/${id}/test`);
    return (answer as { delivered: string[] }).delivered;
  },
};

function chosen(id?: number): object {
  return id === undefined ? { all: true } : { ids: [id] };
}
