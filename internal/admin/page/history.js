// The last minutes, at the times that were asked. All lines share one clock and its slots, so a line is one small array,
// and goes away with what it is of.

export const minutes = 5;
const slots = 150;

export class Clock {
  #times = new Float64Array(slots);
  #broken = new Uint8Array(slots);
  #at = -1;
  #filled = 0;

  // tick begins the next slot. Broken: nothing is known of the time since the last one.
  tick(time, broken) {
    this.#at = (this.#at + 1) % slots;
    this.#filled = Math.min(slots, this.#filled + 1);
    this.#times[this.#at] = time;
    this.#broken[this.#at] = broken ? 1 : 0;
  }

  line() {
    return new Float32Array(slots).fill(NaN);
  }

  // put writes into the slot of now. Null: not known.
  put(line, value) {
    line[this.#at] = value ?? NaN;
  }

  // points are [seconds before now, value, whether the line goes on from the point before], oldest first.
  points(line) {
    const now = this.#times[this.#at];
    const points = [];
    let joined = false;
    for (let i = this.#filled - 1; i >= 0; i--) {
      const slot = (this.#at - i + slots) % slots;
      const age = (now - this.#times[slot]) / 1000;
      if (this.#broken[slot]) joined = false;
      if (Number.isNaN(line[slot]) || age < 0 || age > minutes * 60) {
        joined = false;
        continue;
      }
      points.push([age, line[slot], joined]);
      joined = true;
    }
    return points;
  }
}
