/** Asks the node what the page shows, and puts the answers into the store. */

import { withAlerts } from './alerts';
import { api, ApiError, saidAt } from './api';
import type { NodeStatus, Standard, TileJson } from './api-types';
import { untilAnswered } from './patience';
import { SENSOR_LIMIT, withDetail, withProblem, withSensorList, type State } from './state';
import type { Store } from './store';

/** What a map is made of; it does not change while the page is open. */
export interface Foundation {
  readonly status: NodeStatus;
  readonly standard: Standard;
  readonly readings: TileJson;
  readonly basemap: TileJson | null;
}

export class Knowledge {
  readonly #store: Store<State>;
  readonly #onFailure: () => void;
  #refreshing = false;

  /** `onFailure` hears of each attempt that the page cannot do without and that failed. */
  constructor(store: Store<State>, onFailure: () => void) {
    this.#store = store;
    this.#onFailure = onFailure;
  }

  /** Until the node answers: what the page begins with. */
  async foundation(): Promise<Foundation> {
    const [status, standard, readings, basemap] = await Promise.all([
      this.#answered(api.status),
      this.#answered(api.standard),
      this.#answered(api.readingTiles),
      this.#answered(api.basemap),
    ]);
    await this.#answered(() => this.#readSensors());
    return { status, standard, readings, basemap };
  }

  /**
   * One attempt to read everything again; not while nobody looks, and no two at once.
   *
   * No complaint when it fails: the connection's state already says when the node is gone.
   */
  async refresh(): Promise<void> {
    if (document.hidden || this.#refreshing) return;
    this.#refreshing = true;
    try {
      await this.#readSensors();
      await Promise.all([this.readAlerts(), this.readSelected()]);
    } catch {
      return;
    } finally {
      this.#refreshing = false;
    }
  }

  async readAlerts(): Promise<void> {
    const alerts = await api.alerts().catch(() => null);
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

  async #readSensors(): Promise<void> {
    const answer = await api.sensors(SENSOR_LIMIT);
    const heardAt = Math.max(saidAt(answer), this.#store.value.heardAt ?? 0);
    this.#store.update((state) => ({ ...withSensorList(state, answer.sensors), heardAt }));
  }

  #answered<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    return untilAnswered(ask, this.#onFailure);
  }
}
