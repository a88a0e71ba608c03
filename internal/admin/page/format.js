// How figures are written. What is not known is a dash.

export const unknown = '–';

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 });

const known = (n) => n !== null && n !== undefined && Number.isFinite(n);

export const count = (n) => (known(n) ? whole.format(n) : unknown);

// of is such as "3 targets".
export const of = (n, one, more = `${one}s`) => `${count(n)} ${n === 1 ? one : more}`;

// each is how often in a second.
export const each = (n) => (known(n) ? `${n < 10 ? short.format(Math.round(n * 10) / 10) : count(n)}/s` : unknown);

const scaled = (n, step, units) => {
  let i = 0;
  while (i < units.length - 1 && Math.abs(n) >= step * (1 - 0.0005)) {
    n /= step;
    i++;
  }
  return `${short.format(n)} ${units[i]}`;
};

export const bytes = (n) => (known(n) ? scaled(n, 1000, ['B', 'kB', 'MB', 'GB', 'TB', 'PB']) : unknown);

// flow is bytes in a second.
export const flow = (n) => (known(n) ? `${bytes(n < 10 ? Math.round(n) : n)}/s` : unknown);

// brief is a short time, as of a connect.
export const brief = (seconds) => (known(seconds) && seconds > 0 ? scaled(seconds * 1e6, 1000, ['µs', 'ms', 's']) : unknown);

// span is a length of time to the two units that matter.
export function span(seconds) {
  const n = Math.max(0, Math.floor(seconds));
  if (n < 60) return `${n} s`;
  if (n < 3600) return `${Math.floor(n / 60)} min`;
  const [small, large, a, b] = n < 86400 ? [60, 60, 'h', 'min'] : [3600, 24, 'd', 'h'];
  const units = Math.floor(n / small);
  const rest = units % large;
  return `${count(Math.floor(units / large))} ${a}${rest ? ` ${rest} ${b}` : ''}`;
}

// moment reads a time as milliseconds. Null: there is none; the proxy has the year 1 for "never".
export function moment(written) {
  const at = Date.parse(written ?? '');
  return at > 0 ? at : null;
}

const pad = (n) => String(n).padStart(2, '0');
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

// clock is the time of day where the reader is, with the day if it is not that of now.
export function clock(at, now = Date.now()) {
  const then = new Date(at);
  const day = then.toDateString() === new Date(now).toDateString() ? '' : `${then.getDate()} ${months[then.getMonth()]} `;
  return `${day}${pad(then.getHours())}:${pad(then.getMinutes())}:${pad(then.getSeconds())}`;
}

// tally is such as "refused 3, timeout 1": what there is any of, most first.
export function tally(counts) {
  const some = Object.entries(counts).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  return some.map(([what, n]) => `${what} ${count(n)}`).join(', ');
}
