/** Asks the node what the page shows, and puts the answers into the store. */

import { withAlerts } from './alerts';
import { api, ApiError, isUnauthorized, NOW, OF_THE_NODE, saidAt } from './api';
import type { NodeStatus, Standard, TileJson } from './api-types';
import { untilAnswered } from './patience';
import {
  SENSOR_LIMIT,
  withBar,
  withDetail,
  withLink,
  withProblem,
  withSensorList,
  type State,
} from './state';
import type { Store } from './store';

/** What a map is made of; a page that is open does not change it. */
export interface Foundation {
  readonly status: NodeStatus;
  readonly standard: Standard;
  readonly readings: TileJson;
  readonly basemap: TileJson | null;
}

export class Knowledge {
  readonly #store: Store<State>;
  readonly #tellsAlerts: boolean;
  #isRefreshing = false;
  #isDue = false;

  /** `tellsAlerts`: whether the page shows alerts; one that does not reads none. */
  constructor(store: Store<State>, { tellsAlerts }: { readonly tellsAlerts: boolean }) {
    this.#store = store;
    this.#tellsAlerts = tellsAlerts;
  }

  /** Until the node answers: what the page begins with. */
  async foundation(): Promise<Foundation> {
    const [status, standard, readings, basemap] = await Promise.all([
      this.#answered(() => api.status(NOW)),
      this.#answered(() => api.standard(NOW)),
      this.#answered(api.readingTiles),
      this.#answered(api.basemap),
    ]);
    await this.#answered(() => this.#readSensors());
    return { status, standard, readings, basemap };
  }

  /** Until the node answers: whether the page would begin otherwise by now than it began. */
  async isRuledOtherwise(begun: Foundation): Promise<boolean> {
    const note = (error: unknown) => this.#noteRefusal(error);
    const [status, standard] = await Promise.all([
      untilAnswered(() => api.status(OF_THE_NODE), note),
      untilAnswered(() => api.standard(OF_THE_NODE), note),
    ]);
    return rulesOf({ status, standard }) !== rulesOf(begun);
  }

  /**
   * Read everything again; not while nobody looks, and no two at once: who asks meanwhile may have
   * heard of something newer, so it is read once more then.
   */
  async refresh(): Promise<void> {
    if (document.hidden) return;
    this.#isDue = true;
    if (this.#isRefreshing) return;
    this.#isRefreshing = true;
    while (this.#isDue) {
      this.#isDue = false;
      await this.#readAll();
    }
    this.#isRefreshing = false;
  }

  async readAlerts(): Promise<void> {
    const alerts = await api.alerts(NOW).catch(() => null);
    if (alerts) this.#store.update((state) => withAlerts(state, alerts));
  }

  /** What is measured at the chosen sensor, or why that cannot be said. */
  async readSelected(): Promise<void> {
    const id = this.#store.value.selection?.id;
    if (id === undefined) return;
    try {
      const detail = await api.sensor(id);
      this.#store.update((state) => withDetail(state, detail));
    } catch (error) {
      const unknown = error instanceof ApiError && error.status === 404;
      this.#store.update((state) => withProblem(state, id, unknown ? 'unknown' : 'unreachable'));
    }
  }

  /** No complaint when it fails: the connection's state already says when the node is gone. */
  async #readAll(): Promise<void> {
    try {
      await this.#readSensors();
      await Promise.all([this.#tellsAlerts && this.readAlerts(), this.readSelected()]);
    } catch (error) {
      this.#noteRefusal(error);
    }
  }

  async #readSensors(): Promise<void> {
    const answer = await api.sensors(SENSOR_LIMIT, NOW);
    const heardAt = Math.max(saidAt(answer), this.#store.value.heardAt ?? 0);
    this.#store.update((state) =>
      withBar({ ...withSensorList(state, answer.sensors), heardAt }, false),
    );
  }

  #noteRefusal(error: unknown): void {
    if (isUnauthorized(error)) this.#store.update((state) => withBar(state, true));
  }

  #answered<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    return untilAnswered(ask, (error) =>
      this.#store.update((state) =>
        withBar(withLink(state, 'lost', Date.now()), isUnauthorized(error)),
      ),
    );
  }
}

/** What all numbers, words and times of a page go by, as text. */
export function rulesOf({ status, standard }: Pick<Foundation, 'status' | 'standard'>): string {
  const { node, demo, time_zone } = status;
  return JSON.stringify([standard.id, standard.version, time_zone, demo, node.name]);
}
