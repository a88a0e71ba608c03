// The last events, newest first.

import { Keyed, attribute, find, h, icon, swapIcon, text } from './dom.js';
import { clock, moment } from './format.js';

// What an event's kind means to who looks for trouble.
const looks = new Map(Object.entries({
  target_dead: ['dead', 'grave'], target_back: ['alive', 'fine'], target_drained: ['draining', 'calm'],
  name_failing: ['partly', 'partly'], name_back: ['alive', 'fine'],
  pool_full: ['grave', 'grave'], pool_free: ['alive', 'fine'],
  connect_failing: ['grave', 'grave'], connect_resumed: ['alive', 'fine'],
  shortage: ['grave', 'grave'], shortage_over: ['alive', 'fine'],
  accept_failing: ['grave', 'grave'], accept_resumed: ['alive', 'fine'],
  refusals: ['partly', 'partly'], reloaded: ['alive', 'calm'], reload_refused: ['grave', 'grave'],
  log_level: ['alive', 'calm'], draining: ['draining', 'calm'], stopping: ['down', 'calm'], started: ['alive', 'calm'],
}));

export class Events {
  #list = new Keyed(find('events-list'), () => new Line());

  show(model) {
    this.#list.show(model.events.map((event) => ({ ...event, key: `${model.answer.started} ${event.number}` })));
    find('events-none').hidden = model.events.length > 0;
  }
}

class Line {
  constructor() {
    this.time = h('time');
    this.icon = icon('alive');
    this.where = h('b');
    this.what = h('span');
    this.element = h('li', {}, this.time, this.icon, h('p', {}, this.where, ' ', this.what));
  }

  update({ time, kind, app, target, port, text: words, reason }) {
    const [look, level] = looks.get(kind) ?? ['alive', 'calm'];
    attribute(this.element, 'class', level);
    swapIcon(this.icon, look);
    text(this.time, clock(moment(time)));
    attribute(this.time, 'datetime', time);
    text(this.where, [app, target ?? port].filter(Boolean).join(' '));
    text(this.what, reason ? `${words}: ${reason}` : words);
  }
}
