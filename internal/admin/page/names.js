// The names of targets and what they stand for; those that fail come first.

import { Keyed, attribute, find, h, icon, swapIcon, text } from './dom.js';
import { clock, count, moment, of, span } from './format.js';

const most = 50;
const someAddresses = 8;

export class Names {
  #list = new Keyed(find('names-list'), () => new Line());

  show(model) {
    const { names } = model;
    const failing = names.filter((n) => n.problem).length;
    find('names').hidden = names.length === 0;
    text(find('names-title'), `${of(names.length, 'name')}${failing > 0 ? `, ${count(failing)} failing` : ''}`);
    const sorted = names.toSorted((a, b) => Boolean(b.problem) - Boolean(a.problem));
    this.#list.show(sorted.slice(0, most).map((name) => ({ ...name, key: name.name, model })));
    find('names-more').hidden = names.length <= most;
    text(find('names-more'), `And ${count(names.length - most)} more.`);
  }
}

class Line {
  constructor() {
    this.icon = icon('alive');
    this.name = h('strong');
    this.addresses = h('span', { class: 'addresses' });
    this.note = h('span', { class: 'muted' });
    this.element = h('li', {}, this.icon, h('p', {}, this.name, ' ', this.addresses, ' ', this.note));
  }

  update({ name, addresses, refreshed, expires, overdue_seconds: overdue, problem, since, model }) {
    const unanswered = !(addresses?.length > 0) && moment(refreshed) === null;
    attribute(this.element, 'class', problem ? 'grave' : unanswered ? null : 'fine');
    swapIcon(this.icon, problem || overdue > 0 ? 'partly' : unanswered ? 'untested' : 'alive');
    text(this.name, name);
    const all = addresses ?? [];
    const more = all.length > someAddresses ? ` and ${count(all.length - someAddresses)} more` : '';
    text(this.addresses, all.length > 0 ? `${all.slice(0, someAddresses).join(', ')}${more}` : 'no address');
    text(this.note, unanswered && !problem ? 'waiting for the first answer' : problem ? failing(problem, moment(since), model) : fresh(moment(refreshed), moment(expires), overdue, model));
  }
}

function failing(problem, since, model) {
  return since === null ? problem : `${problem}, since ${clock(since)}, ${span(model.age(since))}`;
}

function fresh(refreshed, expires, overdue, model) {
  const parts = [];
  if (refreshed !== null) parts.push(`asked ${span(model.age(refreshed))} ago`);
  if (overdue > 0) parts.push(`out of date for ${span(overdue)}`);
  else if (expires !== null) parts.push(`again in ${span(Math.max(0, (expires - model.taken) / 1000))}`);
  return parts.join(', ');
}
