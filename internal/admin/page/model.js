// What an answer of api/v1/status says, set beside the one before: rates, lines of the last minutes, and how bad it is.
// A figure is null while it is not known.

import { Clock } from './history.js';
import { moment } from './format.js';

const understood = 1; // version of the answer's shape

// How bad a target or an app is, and what an unknown state is. An untested target takes sessions as a live one does.
const severity = new Map([['alive', 0], ['untested', 0], ['down', 1], ['draining', 2], ['dead', 3]]);
export const untestedMeans = 'no connect and no probe has succeeded yet';
export const severe = { dead: 3, port: 4, none: 5 };

const lost = 15; // seconds without an answer break the lines

const sum = (counts) => Object.values(counts).reduce((all, n) => all + n, 0);

export class Model {
  clock = new Clock();
  apps = [];
  targets = []; // of all apps
  #before = new Map(); // apps and targets by key

  take(answer) {
    if (answer?.version !== understood) {
      throw new Error(`it speaks version ${answer?.version} of the status, and this page ${understood}: reload the page`);
    }
    const taken = moment(answer.taken);
    const gap = this.taken ? (taken - this.taken) / 1000 : null;
    const same = gap !== null && answer.started === this.answer.started;
    if (same && gap === 0) return; // it is that of before
    this.passed = same && gap > 0 ? gap : null; // since the answer before, of the same process
    this.clock.tick(taken, !same || gap > lost);
    [this.answer, this.taken] = [answer, taken];
    const before = this.#before;
    this.#before = new Map();
    this.apps = (answer.apps ?? []).map((app, index) => this.#app(app, index, before));
    this.targets = this.apps.flatMap((app) => app.targets);
    this.total = this.#total(this.total);
    this.names = answer.names ?? [];
    this.events = (answer.events ?? []).toReversed();
  }

  // age is how many seconds ago something was, as the proxy's clock has it.
  age(at) {
    return at === null ? null : Math.max(0, (this.taken - at) / 1000);
  }

  // rate is the growth of a counter in a second.
  #rate(now, was) {
    return this.passed === null || was === undefined || now < was ? null : (now - was) / this.passed;
  }

  #app(given, index, before) {
    const was = before.get(`app ${given.name}`);
    const ended = given.sessions_ended ?? {};
    const refusals = given.sessions_refused ?? {};
    const refused = sum(refusals);
    const app = {
      ...given, kind: 'app', key: `app ${given.name}`, index, ended, refusals, refused,
      ports: distinct(given.ports ?? []),
      active: given.sessions_active,
      begun: given.sessions_active + sum(ended) - refused,
      lines: was?.lines ?? this.#lines('sessions', 'upload', 'download', 'connect'),
    };
    app.broken = app.ports.filter((port) => port.problem);
    app.refusing = this.#rate(refused, was?.refused);
    app.limited = refused - (refusals.denied ?? 0);
    app.limiting = this.passed !== null && app.limited > was?.limited ? this.taken : was?.limiting ?? null; // when that grew last
    // The open ones and the ended ones are not counted at one moment: it may seem that one more had begun.
    app.fresh = this.#rate(Math.max(app.begun, was?.begun ?? 0), was?.begun);
    app.upload = this.#rate(given.bytes_upload, was?.bytes_upload);
    app.download = this.#rate(given.bytes_download, was?.bytes_download);
    app.targets = (given.targets ?? []).map((target, i) => this.#target(app, target, i, before));
    app.connect = median(app.targets.filter((t) => t.state === 'alive').map((t) => t.connect));
    this.#judge(app);
    this.clock.put(app.lines.sessions, app.active);
    this.clock.put(app.lines.upload, app.upload);
    this.clock.put(app.lines.download, app.download);
    this.clock.put(app.lines.connect, app.connect);
    this.#before.set(app.key, app);
    return app;
  }

  #target(app, given, index, before) {
    const key = `target ${app.name} ${given.name}`;
    const was = before.get(key);
    const state = given.untested && given.state === 'alive' ? 'untested' : given.state;
    const target = {
      ...given, kind: 'target', key, app, index, state,
      active: given.sessions_active,
      fresh: this.#rate(given.sessions_total, was?.sessions_total),
      upload: this.#rate(given.bytes_upload, was?.bytes_upload),
      download: this.#rate(given.bytes_download, was?.bytes_download),
      failures: given.connect_failures ?? {},
      connect: given.state === 'dead' ? null : given.connect_seconds || null,
      since: moment(given.since),
      severity: severity.get(state) ?? severe.dead,
      lines: was?.lines ?? this.#lines('sessions', 'connect'),
    };
    this.clock.put(target.lines.sessions, target.active);
    this.clock.put(target.lines.connect, target.connect);
    this.#before.set(key, target);
    return target;
  }

  // judge finds what is worst about an app, since when, and which target says why.
  #judge(app) {
    app.alive = app.targets.filter((t) => t.state === 'alive').length;
    app.untested = app.targets.filter((t) => t.state === 'untested').length;
    app.usable = app.alive + app.untested;
    app.dead = app.targets.filter((t) => t.severity >= severe.dead);
    app.worst = app.targets.reduce((worst, t) => (t.severity > (worst?.severity ?? 0) ? t : worst), null);
    app.severity = app.usable === 0 ? severe.none : app.broken.length > 0 ? severe.port : (app.worst?.severity ?? 0);
    // An app has no usable target since the last one went, and is not whole since the first of the worst did.
    const guilty = app.targets.filter((t) => t.severity > 0 && (app.usable === 0 || t.severity === app.worst.severity));
    const since = guilty.map((t) => t.since).filter((at) => at !== null);
    app.since = since.length === 0 ? null : since.reduce((a, b) => (app.usable === 0 ? Math.max(a, b) : Math.min(a, b)));
  }

  #total(was) {
    const add = (name) => this.apps.reduce((all, app) => (app[name] === null ? all : (all ?? 0) + app[name]), null);
    const total = {
      lines: was?.lines ?? this.#lines('sessions', 'fresh', 'upload', 'download', 'connect'),
      fresh: add('fresh'), refusing: add('refusing'), upload: add('upload'), download: add('download'),
      sessions: add('active') ?? 0,
    };
    const alive = this.targets.filter((t) => t.state === 'alive' && t.connect !== null);
    total.connect = median(alive.map((t) => t.connect));
    total.slowest = alive.reduce((most, t) => (t.connect > (most?.connect ?? 0) ? t : most), null);
    for (const [name, line] of Object.entries(total.lines)) this.clock.put(line, total[name]);
    return total;
  }

  #lines(...names) {
    return Object.fromEntries(names.map((name) => [name, this.clock.line()]));
  }
}

function median(values) {
  const known = values.filter((v) => v !== null).sort((a, b) => a - b);
  return known.length === 0 ? null : known[Math.floor(known.length / 2)];
}

// distinct gives each port once: with the problem of one of its sockets, and a label that has the addresses of those that
// systemd has made.
function distinct(sockets) {
  const ports = new Map();
  for (const socket of sockets) {
    const port = ports.get(socket.name) ?? { ...socket, addresses: [] };
    port.problem ||= socket.problem;
    if (socket.systemd) port.addresses.push(socket.address);
    ports.set(port.name, port);
  }
  return [...ports.values()].map((port) => ({ ...port, label: labelOf(port) }));
}

function labelOf({ name, addresses, systemd }) {
  if (!systemd) return name;
  const at = addresses.join(', ');
  if (name.startsWith('systemd:')) return `${name} (${at})`;
  return at === name ? `${name} (systemd)` : `${name} (systemd: ${at})`;
}
