/** One value, replaced by pure steps; listeners hear once per frame, however many steps it took. */
export class Store<Value> {
  #value: Value;
  #listeners: (() => void)[] = [];
  #frame = 0;

  constructor(initial: Value) {
    this.#value = initial;
  }

  get value(): Value {
    return this.#value;
  }

  update(step: (value: Value) => Value): void {
    const next = step(this.#value);
    if (next === this.#value) return;
    this.#value = next;
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      for (const listener of this.#listeners) listener();
    });
  }

  listen(listener: () => void): void {
    this.#listeners.push(listener);
  }
}
