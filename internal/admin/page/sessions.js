// The list of open sessions: asked for with each status, while it is open. Whoever may close sessions has a button for that.

import { Keyed, attribute, find, h, text } from './dom.js';
import { bytes, count, of, span, unknown } from './format.js';
import { get } from './poll.js';
import { reach } from './reach.js';

const most = 100; // sessions that are asked for
const sure = 5000; // ms for which a second click closes

const columns = [
  { id: 'session', title: 'Session' }, { id: 'age', title: 'Age' }, { id: 'idle', title: 'Idle' },
  { id: 'up', title: 'Up' }, { id: 'down', title: 'Down' }, { id: 'step', title: 'State' },
  { id: 'app', title: 'App' }, { id: 'client', title: 'Client' }, { id: 'target', title: 'Target' }, { id: 'close', title: '' },
];

export class Sessions {
  #open = false; #asking = false; #again = false; #note = ''; #answer = {};
  #rows = new Keyed(find('sessions-rows'), () => new Row((id) => this.#close(id)));

  constructor() {
    find('sessions-columns').append(...columns.map(({ id, title }) => h('th', { class: id, scope: 'col', role: 'columnheader' },
      title || h('span', { class: 'unseen' }, 'Close'))));
    find('sessions-open').addEventListener('click', () => this.#toggle());
    const search = find('sessions-search');
    search.addEventListener('input', () => this.#ask());
    search.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || search.value === '') return;
      event.preventDefault();
      search.value = '';
      this.#ask();
    });
  }

  // show is called when there is a new status.
  show(model) {
    this.#answer = model.answer;
    this.#ask();
  }

  #toggle() {
    this.#open = !this.#open;
    attribute(find('sessions-open'), 'aria-expanded', String(this.#open));
    for (const id of ['sessions-inside', 'sessions-filter']) find(id).hidden = !this.#open;
    text(find('sessions-count'), '');
    this.#note = '';
    this.#ask();
  }

  // ask asks for the list, if it is open; if it is being asked for already, once more after that.
  async #ask() {
    this.#again = this.#asking;
    if (this.#asking || !this.#open) return;
    this.#asking = true;
    const words = find('sessions-search').value.trim();
    try {
      this.#list(await get(`api/v1/sessions?limit=${most}&search=${encodeURIComponent(words)}`), words);
    } catch (error) {
      text(find('sessions-note'), `The sessions are not known: ${error.message}.`);
    }
    this.#asking = false;
    if (this.#again) this.#ask();
  }

  #list(list, words) {
    if (list?.version !== 1) throw new Error(`the list has version ${list?.version}, and this page knows 1: reload the page`);
    if (!this.#open) return;
    const { open, matching, left_out: left, problem, may_close: mayClose, sessions } = list;
    const parts = [`${of(open, 'session')} open`];
    if (words) parts.push(`${count(matching)} match`);
    if (left > 0) parts.push(`the ${count(sessions.length)} that have been open longest are shown`);
    text(find('sessions-count'), parts.join(', '));
    text(find('sessions-note'), [problem, this.#note].filter(Boolean).join(' '));
    find('sessions-table').hidden = sessions.length === 0;
    attribute(find('sessions-table'), 'class', mayClose ? null : 'reads');
    this.#reach(!mayClose);
    this.#rows.show(sessions.map((session) => ({ ...session, key: String(session.id) })));
  }

  // reach says where sessions can be closed.
  #reach(wanted) {
    find('sessions-reach').hidden = !wanted;
    for (const [part, words] of Object.entries(reach(this.#answer))) text(find(`sessions-reach-${part}`), words);
  }

  async #close(id) {
    try {
      const response = await fetch(`api/v1/sessions/${id}/close`, { method: 'POST' });
      this.#note = response.ok ? `Session ${id} is closed.` : `Not closed: ${await reason(response)}.`;
    } catch {
      this.#note = `Session ${id} may be open still: the proxy cannot be reached.`;
    }
    this.#ask();
  }
}

// reason is what the proxy says about a request that it does not do.
async function reason(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `HTTP ${response.status}`;
  }
}

class Row {
  #sure = 0; // until when a second click closes

  constructor(close) {
    this.cells = Object.fromEntries(columns.map(({ id }) => [id, h('span')]));
    this.button = h('button', { type: 'button', class: 'link', onclick: () => this.#click(close) });
    this.cells.close.append(this.button);
    this.element = h('tr', { role: 'row', class: 'session' }, ...columns.map(({ id, title }) => h('td', { class: id, role: 'cell', 'data-title': title || null }, this.cells[id])));
  }

  update({ id, state, app, client, peer, target, age_seconds: age, idle_seconds: idle, bytes_upload: up, bytes_download: down }) {
    this.id = id;
    const texts = {
      session: String(id), age: span(age), idle: idle === undefined ? unknown : span(idle), up: bytes(up), down: bytes(down),
      step: state.replace('_', ' '), app, client: peer ? `${client} by ${peer}` : client, target: target ?? unknown,
    };
    for (const [name, value] of Object.entries(texts)) text(this.cells[name], value);
    this.#label();
  }

  #label() {
    const again = performance.now() < this.#sure;
    text(this.button, again ? 'Reset both sides?' : 'Close');
    attribute(this.button, 'aria-label', again ? `Reset both sides of session ${this.id}?` : `Close session ${this.id}`);
  }

  #click(close) {
    const now = performance.now();
    if (now < this.#sure) {
      this.#sure = 0;
      close(this.id);
    } else {
      this.#sure = now + sure;
      setTimeout(() => this.#label(), sure + 1);
    }
    this.#label();
  }
}
