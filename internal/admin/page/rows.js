// The rows of the table: an app's, a target's, and the one below with the details.

import { attribute, h, icon, swapIcon, text } from './dom.js';
import { brief, clock, count, each, flow, of, span } from './format.js';
import { Details } from './details.js';
import { severe, untestedMeans } from './model.js';
import { Spark } from './spark.js';
import { columns } from './view.js';

const titles = Object.fromEntries(columns.map((c) => [c.id, c.title]));
const someNames = 4;

// Row is the row of an app or a target. Its buttons say what they do in data-does.
export class Row {
  constructor(item) {
    this.icon = icon('alive');
    this.name = h('span', { class: 'label' });
    this.aside = h('span', { class: 'aside muted' });
    this.state = h('span');
    this.sessions = new Spark('sessions');
    this.connect = new Spark('connect');
    this.more = h('button', { type: 'button', class: 'bare', 'data-does': 'more', title: 'Details' }, icon('more'));
    this.open = h('button', { type: 'button', class: 'bare', 'data-does': 'open' }, icon('chevron'));
    const plain = ['since', 'why', 'sessions', 'fresh', 'download', 'upload', 'connect'];
    this.figures = Object.fromEntries(plain.map((id) => [id, h('span')]));
    const inside = {
      name: [h('div', {}, ...(item.kind === 'app' ? [this.open] : []), this.name, ' ', this.aside)],
      state: [this.icon, this.state],
      sessions: [this.figures.sessions, this.sessions.element],
      connect: [this.figures.connect, this.connect.element],
      more: [this.more],
    };
    this.element = h('tr', { role: 'row', class: item.kind, 'data-key': item.key }, ...columns.map(({ id }) => {
      const [tag, role] = id === 'name' ? ['th', { role: 'rowheader', scope: 'row' }] : ['td', { role: 'cell' }];
      return h(tag, { class: id, 'data-title': titles[id] || null, ...role }, ...(inside[id] ?? [this.figures[id]]));
    }));
  }

  // update shows the item as it is now: {item, open, detailed, model, flat}.
  update({ item, open, detailed, model, flat }) {
    const app = item.kind === 'app';
    const level = levelOf(item);
    attribute(this.element, 'class', `${item.kind} ${level}`);
    swapIcon(this.icon, app ? iconOf(item, level) : shape(item.state));
    text(this.name, item.name);
    text(this.aside, app ? some(item.ports.map((p) => p.label)) : asideOf(item, flat));
    text(this.state, app ? stateOf(item) : item.state);
    const age = item.severity > 0 || !app ? model.age(item.since) : null;
    text(this.figures.since, age === null ? '' : span(age));
    attribute(this.figures.since, 'title', age === null ? null : `since ${clock(item.since)}`);
    const why = app ? whyApp(item, open) : whyTarget(item);
    text(this.figures.why, why);
    attribute(this.figures.why, 'title', why || null);
    text(this.figures.sessions, count(item.active));
    text(this.figures.fresh, each(item.fresh));
    text(this.figures.download, flow(item.download));
    text(this.figures.upload, flow(item.upload));
    text(this.figures.connect, brief(item.connect));
    this.sessions.show(model.clock, item.lines.sessions);
    this.connect.show(model.clock, item.lines.connect);
    attribute(this.open, 'aria-expanded', String(Boolean(open)));
    attribute(this.open, 'aria-label', `Targets of ${item.name}`);
    attribute(this.more, 'aria-expanded', String(detailed));
    attribute(this.more, 'aria-label', `Details of ${item.name}`);
  }
}

// DetailRow is the row with the details of an item, across all columns.
export class DetailRow {
  constructor({ item }) {
    this.details = new Details(item.kind);
    this.element = h('tr', { role: 'row', class: 'details', 'data-key': `details ${item.key}` },
      h('td', { role: 'cell', colspan: columns.length }, this.details.element));
  }

  update({ item, model }) {
    this.details.update(item, model);
  }
}

const shape = (state) => (['alive', 'untested', 'draining', 'down'].includes(state) ? state : 'dead');

function levelOf({ kind, severity, state, alive }) {
  if (severity > severe.dead) return 'grave';
  if (severity === severe.dead) return kind === 'app' ? 'partly' : 'grave';
  if (severity > 0) return 'calm';
  return state === 'untested' || alive === 0 ? 'untested' : 'fine';
}

const iconOf = (app, level) => ({ grave: 'grave', partly: 'partly', untested: 'untested', fine: 'alive' })[level] ?? shape(app.worst.state);

function stateOf(app) {
  const { alive, untested, usable, targets, broken, ports } = app;
  if (targets.length === 0) return 'no target';
  if (usable === 0) return targets.length === 1 ? targets[0].state : `none of ${count(targets.length)} alive`;
  if (broken.length > 0 && broken.length === ports.length) return 'not accepting';
  if (broken.length > 0) return `${count(broken.length)} of ${of(ports.length, 'port')} fail`;
  if (untested === targets.length) return 'untested';
  return `${count(alive)} of ${count(targets.length)} alive${untested > 0 ? `, ${count(untested)} untested` : ''}`;
}

function asideOf(target, flat) {
  const parts = flat ? [target.app.name] : [];
  if (target.backup) parts.push('backup');
  if (target.weight > 1) parts.push(`weight ${count(target.weight)}`);
  return parts.join(' · ');
}

function whyApp(app, open) {
  const parts = app.broken.slice(0, 1).map((p) => `${p.label} does not accept: ${p.problem}`);
  if (!open && app.worst?.reason) parts.push(`${app.worst.name}: ${app.worst.reason}`);
  if (!open && app.dead.length > 1) parts.push(`${of(app.dead.length, 'target')} dead`);
  return parts.join(' · ');
}

function whyTarget(target) {
  const parts = target.reason ? [target.reason] : [];
  if (target.state === 'untested') parts.push(untestedMeans);
  if (target.retry_in_seconds > 0) parts.push(`next try in ${span(Math.ceil(target.retry_in_seconds))}`);
  return parts.join(' · ');
}

// some is the first names, and how many more there are.
function some(all) {
  const first = all.slice(0, someNames).join(', ');
  return all.length > someNames ? `${first} and ${count(all.length - someNames)} more` : first;
}
