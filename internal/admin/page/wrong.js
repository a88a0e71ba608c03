// The list of what is wrong, at the top.

import { Keyed, attribute, find, h, icon, swapIcon, text } from './dom.js';
import { clock, count, of, span } from './format.js';

const first = 6; // are shown unasked
const most = 200;

export class Wrong {
  #list; #all = false; #last = [];

  // search(words) is called to show where a problem is.
  constructor(search) {
    this.#list = new Keyed(find('wrong-list'), () => new Problem(search));
    find('wrong-all').addEventListener('click', () => {
      this.#all = !this.#all;
      this.show(...this.#last);
    });
  }

  show(problems, model) {
    this.#last = [problems, model];
    text(find('wrong-title'), problems.length > 0 ? `What is wrong: ${of(problems.length, 'problem')}` : nothing(model));
    attribute(find('wrong'), 'class', problems.length > 0 ? (problems[0].level > 1 ? 'grave' : 'partly') : untested(model) ? null : 'fine');
    const some = problems.slice(0, this.#all ? most : first);
    this.#list.show(some.map((problem) => ({ ...problem, model })));
    const button = find('wrong-all');
    button.hidden = problems.length <= first;
    const cut = problems.length > most ? `the first ${count(most)} of ` : '';
    text(button, this.#all ? `Show the worst ${first} only` : `Show ${cut}all ${count(problems.length)}`);
    attribute(button, 'aria-expanded', String(this.#all));
  }
}

// untested is how many targets may work or not.
const untested = ({ targets }) => targets.filter((t) => t.state === 'untested').length;

function nothing(model) {
  const n = untested(model);
  return n === 0 ? 'Nothing is wrong.' : `Nothing is known to be wrong. ${of(n, 'target')} of ${count(model.targets.length)} untested.`;
}

class Problem {
  constructor(search) {
    this.icon = icon('grave');
    this.what = h('strong');
    this.since = h('span', { class: 'muted' });
    this.why = h('span', { class: 'why' });
    this.button = h('button', { type: 'button', class: 'link', onclick: () => search(this.find) }, 'show');
    this.element = h('li', {}, this.icon, h('p', {}, this.what, ' ', this.why, ' ', this.since), ' ', this.button);
  }

  update({ level, what, why, since, find: words, model }) {
    this.find = words;
    attribute(this.element, 'class', level > 1 ? 'grave' : 'partly');
    swapIcon(this.icon, level > 1 ? 'grave' : 'partly');
    text(this.what, what);
    text(this.why, why);
    text(this.since, since === null ? '' : `since ${clock(since)}, ${span(model.age(since))}`);
    this.button.hidden = !words;
    attribute(this.button, 'aria-label', words ? `Show in the table: ${what}` : null);
  }
}
