// Asking the proxy, again and again: less often while it does not answer or has much to say, and not at all while nobody
// looks.

const patience = 20_000; // for one answer
const slowest = 15; // intervals are the longest wait
const share = 4; // asking and showing may take a fifth of the time

export class Poll {
  failures = 0;
  problem = ''; // of the last time
  answered = null; // when the last answer came
  next = null; // when it is asked again; null: it is being asked, or nobody looks

  #url; #take; #changed; #timer = 0; #asking = false;

  // take(answer) is called for each answer; what it throws counts as a failure. changed() is called when anything above
  // has changed.
  constructor(url, take, changed) {
    [this.#url, this.#take, this.#changed] = [url, take, changed];
    document.addEventListener('visibilitychange', () => this.#look());
    window.addEventListener('online', () => this.now());
  }

  // now asks at once.
  now() {
    clearTimeout(this.#timer);
    this.next = null;
    if (!this.#asking) this.#ask();
  }

  #look() {
    if (!document.hidden) return this.now();
    clearTimeout(this.#timer);
    this.next = null;
  }

  async #ask() {
    this.#asking = true;
    const begun = performance.now();
    try {
      const answer = await get(this.#url);
      try {
        this.#take(answer);
      } catch (error) {
        throw new Error(`what it says cannot be shown: ${error.message}`);
      }
      [this.failures, this.problem, this.answered] = [0, '', Date.now()];
    } catch (error) {
      this.failures++;
      this.problem = error.message;
    }
    this.#asking = false;
    if (!document.hidden) this.#plan(performance.now() - begun);
    this.#changed();
  }

  #plan(took) {
    const interval = Number(document.documentElement.dataset.poll);
    const wanted = this.failures > 0 ? interval * 2 ** this.failures : Math.max(interval, took * share);
    const wait = Math.min(wanted, interval * slowest);
    this.next = Date.now() + wait;
    this.#timer = setTimeout(() => this.now(), wait);
  }
}

// get asks once, and gives the answer; or an error that says in a few words why there is none.
export async function get(url) {
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), patience);
  const response = await fetch(url, { cache: 'no-store', signal: control.signal }).catch(() => {
    throw new Error(control.signal.aborted ? `it took more than ${patience / 1000} s` : 'it cannot be reached');
  });
  try {
    if (!response.ok) throw new Error(`it says HTTP ${response.status}`);
    return await response.json();
  } catch (error) {
    if (control.signal.aborted) throw new Error(`it took more than ${patience / 1000} s`);
    throw error instanceof SyntaxError ? new Error('what it says is no JSON') : error;
  } finally {
    clearTimeout(timer);
  }
}
