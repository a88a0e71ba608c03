// The table of apps and targets: a page of rows at a time, and each row stays the same element while it is shown.

import { Keyed, attribute, find, h, text } from './dom.js';
import { count, of } from './format.js';
import { DetailRow, Row } from './rows.js';
import { select } from './select.js';
import { columns } from './view.js';

const size = 100; // rows of a page
const rest = 5000; // ms for which rows keep their places after somebody was busy with one

export class Table {
  #view; #model = null; #states = null;
  #places = null; // of the rows as they were shown last
  #touched = -Infinity; // when somebody was last busy with a row
  #body = find('rows');
  #rows = new Keyed(this.#body, (row) => (row.details ? new DetailRow(row) : new Row(row.item)));
  #heads = new Map();

  constructor(view) {
    this.#view = view;
    for (const column of columns) find('columns').append(this.#head(column));
    find('sort').append(...columns.filter((c) => c.of).map((c) => h('option', { value: c.id }, c.sort ?? c.title)));
    find('sort').addEventListener('change', (event) => this.change(() => view.sortBy(event.target.value)));
    find('turn').addEventListener('click', () => this.change(() => view.sortBy(view.sort)));
    find('by-app').addEventListener('click', () => this.change(() => view.change({ by: 'app' })));
    find('by-target').addEventListener('click', () => this.change(() => view.change({ by: 'target' })));
    find('search').value = view.q;
    find('search').addEventListener('input', (event) => this.change(() => view.change({ q: event.target.value })));
    find('page-before').addEventListener('click', () => this.#turn(-1));
    find('page-after').addEventListener('click', () => this.#turn(1));
    this.#body.addEventListener('click', (event) => this.#click(event));
    for (const what of ['pointermove', 'pointerdown', 'keydown']) {
      this.#body.addEventListener(what, () => { this.#touched = performance.now(); }, { passive: true });
    }
    window.addEventListener('hashchange', () => {
      if (!location.hash.includes('=')) return; // a link within the page
      this.change(() => view.read());
      find('search').value = view.q;
    });
  }

  #head({ id, title, of: sorted }) {
    const button = sorted && h('button', { type: 'button', class: 'bare', onclick: () => this.change(() => this.#view.sortBy(id)) }, title);
    const cell = h('th', { class: id, scope: 'col', role: 'columnheader' }, button ?? (title || h('span', { class: 'unseen' }, 'Details')));
    if (sorted) this.#heads.set(id, cell);
    return cell;
  }

  // search shows what matches, and goes there.
  search(q) {
    find('search').value = q;
    this.change(() => this.#view.change({ q, state: '' }));
    find('list').scrollIntoView({ block: 'start' });
    find('list').focus({ preventScroll: true });
  }

  // change shows at once what the reader has asked for, in its right order.
  change(what) {
    what();
    this.#places = null;
    if (this.#model) this.show(this.#model);
  }

  show(model) {
    this.#model = model;
    const view = this.#view;
    const chosen = select(model, view, this.#busy() ? this.#places : null);
    this.#places = new Map(chosen.rows.map((row, i) => [row.item.key, i]));
    const pages = Math.max(1, Math.ceil(chosen.rows.length / size));
    view.page = Math.min(view.page, pages - 1);
    this.#rows.show(pageOf(chosen.rows, view.page).flatMap(({ item, open }) => {
      const detailed = view.detailed.has(item.key);
      const row = { key: item.key, item, open, detailed, model, flat: view.by === 'target' };
      return detailed ? [row, { ...row, key: `details ${item.key}`, details: true }] : [row];
    }));
    this.#tools(chosen, pages);
  }

  // busy reports whether somebody points at rows or has marked text in them: then they keep their places.
  #busy() {
    const selection = document.getSelection();
    const marked = selection && !selection.isCollapsed && selection.containsNode(this.#body, true);
    return marked || performance.now() - this.#touched < rest;
  }

  #tools({ rows, states, apps, targets }, pages) {
    const view = this.#view;
    for (const [id, cell] of this.#heads) attribute(cell, 'aria-sort', id === view.sort ? view.direction : null);
    find('sort').value = view.sort;
    text(find('turn'), view.direction === 'ascending' ? '↑' : '↓');
    attribute(find('table'), 'class', view.by === 'target' ? 'flat' : null);
    attribute(find('by-app'), 'aria-pressed', String(view.by === 'app'));
    attribute(find('by-target'), 'aria-pressed', String(view.by === 'target'));
    this.#choices(states);
    const none = rows.length === 0;
    find('nothing').hidden = !none;
    if (none) text(find('nothing'), view.q || view.state ? 'Nothing matches.' : 'There are no apps.');
    find('pager').hidden = none;
    const from = view.page * size;
    const within = pages > 1 ? `${count(from + 1)}–${count(Math.min(from + size, rows.length))} of ${of(rows.length, 'row')} · ` : '';
    text(find('page-text'), `${within}${of(apps, 'app')}, ${of(targets, 'target')}`);
    for (const [id, off] of [['page-before', view.page === 0], ['page-after', view.page === pages - 1]]) {
      find(id).hidden = pages === 1;
      find(id).disabled = off;
    }
  }

  // choices are the buttons of the states that there are, with how many targets they would show.
  #choices(states) {
    const all = [...states.values()].reduce((a, b) => a + b, 0);
    const order = ['', 'alive', 'untested', 'dead', 'draining', 'down'];
    const known = [...order, ...[...states.keys()].filter((state) => !order.includes(state))];
    this.#states ??= new Keyed(find('states'), ({ key }) => this.#choice(key));
    this.#states.show(known.map((key) => ({ key, n: key ? states.get(key) ?? 0 : all, on: key === this.#view.state })));
  }

  #choice(state) {
    const number = h('span', { class: 'number' });
    const onclick = () => this.change(() => this.#view.change({ state }));
    const element = h('button', { type: 'button', 'data-state': state, onclick }, `${state || 'all'} `, number);
    const update = ({ n, on }) => {
      text(number, count(n));
      attribute(element, 'aria-pressed', String(on));
      attribute(element, 'data-none', n === 0); // left out where there is little room
    };
    return { element, update };
  }

  #turn(by) {
    this.change(() => this.#view.change({ page: this.#view.page + by }));
    find('list').scrollIntoView({ block: 'start' });
  }

  #click(event) {
    const button = event.target.closest('button');
    if (!button) return;
    const { key } = button.closest('tr').dataset;
    const { opened, detailed } = this.#view;
    if (button.dataset.does === 'open') opened.set(key, button.getAttribute('aria-expanded') !== 'true');
    else if (!detailed.delete(key)) detailed.add(key);
    this.show(this.#model);
  }
}

// pageOf is the rows of a page. If it begins within an app, the app's row comes first once more.
function pageOf(rows, page) {
  const from = page * size;
  const some = rows.slice(from, from + size);
  if (some[0]?.item.kind !== 'target') return some;
  const head = rows.slice(0, from).findLast((row) => row.item.kind === 'app');
  return head ? [head, ...some] : some;
}
