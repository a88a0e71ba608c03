// The figures of the whole proxy.

import { attribute, find, h, text } from './dom.js';
import { brief, clock, count, each, flow, moment, of, span, tally } from './format.js';
import { Spark } from './spark.js';

class Figure {
  constructor(id, line) {
    this.value = h('dd', { class: 'value' });
    this.note = h('dd', { class: 'note muted' });
    this.line = line;
    this.spark = line ? new Spark(line) : null;
    find(`figure-${id}`).append(this.value, this.note, ...(this.spark ? [this.spark.element] : []));
  }

  show(value, note, level = '') {
    text(this.value, value);
    attribute(this.value, 'class', `value ${level}`.trim());
    text(this.note, note);
    attribute(this.note, 'title', note || null);
  }

  draw({ clock: times, total }) {
    this.spark.show(times, total.lines[this.line]);
  }
}

export class Figures {
  #targets = new Figure('targets');
  #sessions = new Figure('sessions', 'sessions');
  #fresh = new Figure('fresh', 'fresh');
  #workers = new Figure('workers');
  #download = new Figure('download', 'download');
  #upload = new Figure('upload', 'upload');
  #connect = new Figure('connect', 'connect');
  #reload = new Figure('reload');

  show(model) {
    const { answer, total } = model;
    this.#alive(model);
    this.#sessions.show(count(total.sessions), `in ${of(model.apps.length, 'app')}`);
    this.#fresh.show(each(total.fresh), total.refusing === 0 ? 'none refused' : `${each(total.refusing)} refused`);
    this.#download.show(flow(total.download), 'to clients');
    this.#upload.show(flow(total.upload), 'to targets');
    const { slowest } = total;
    const note = slowest ? `slowest ${brief(slowest.connect)}, ${slowest.app.name} ${slowest.name}` : 'median of the targets';
    this.#connect.show(brief(total.connect), note);
    this.#pool(answer.workers);
    this.#configuration(answer.reloads ?? {}, model);
    for (const figure of [this.#sessions, this.#fresh, this.#download, this.#upload, this.#connect]) figure.draw(model);
  }

  #alive({ targets, apps }) {
    const others = Object.groupBy(targets.filter((t) => t.state !== 'alive'), (t) => t.state);
    const level = apps.some((app) => app.usable === 0) ? 'grave' : others.dead ? 'partly' : '';
    const alive = apps.reduce((all, app) => all + app.alive, 0);
    const notes = tally(Object.fromEntries(Object.entries(others).map(([state, some]) => [state, some.length])));
    this.#targets.show(`${count(alive)} of ${count(targets.length)}`, notes || (targets.length === 0 ? 'no target yet' : 'all of them'), level);
  }

  #pool({ busy, max, paused }) {
    const pauses = Object.values(paused ?? {}).reduce((a, b) => a + b, 0);
    const level = busy >= max ? 'grave' : busy >= max * 0.9 ? 'partly' : '';
    const note = pauses > 0 ? `accept paused ${of(pauses, 'time')}: ${tally(paused)}` : 'accept never paused';
    this.#workers.show(`${count(busy)} of ${count(max)}`, note, level);
  }

  #configuration(reloads, model) {
    const at = moment(reloads.last_success);
    const refused = reloads.refused > 0 ? `, ${count(reloads.refused)} refused` : '';
    const loaded = `loaded ${of(reloads.succeeded ?? 0, 'time')}${refused}`;
    this.#reload.show(reloads.problem ? 'reload refused' : at === null ? '–' : `${span(model.age(at))} old`,
      at === null ? loaded : `of ${clock(at)} · ${loaded}`, reloads.problem ? 'grave' : '');
  }
}
