// The active configuration: asked for when its section is opened, after a reload, and now and then while it is open, because
// the file on the disk may change.

import { Keyed, attribute, find, h, text } from './dom.js';
import { clock, count, moment, of, span } from './format.js';
import { get } from './poll.js';

const rest = 10_000; // ms between two questions
const most = 200_000; // characters that are shown, of all files

const states = new Map([
  ['same', ''],
  ['changed', 'The file on the disk differs from it, or cannot be read. A reload applies the file on the disk.'],
  ['unknown', 'Whether the file on the disk differs is not known: reading it takes too long.'],
]);

export class Config {
  #open = false; #asking = false; #asked = -Infinity; #reloaded = null; #model = null;
  #files = new Keyed(find('config-files'), () => new File());

  constructor() {
    find('config-open').addEventListener('click', () => this.#toggle());
  }

  // show is called when there is a new status.
  show(model) {
    this.#model = model;
    const reloaded = model.answer.reloads?.last_success ?? null;
    if (reloaded !== this.#reloaded) this.#asked = -Infinity;
    this.#reloaded = reloaded;
    if (this.#open) this.#ask();
  }

  #toggle() {
    this.#open = !this.#open;
    attribute(find('config-open'), 'aria-expanded', String(this.#open));
    find('config-inside').hidden = !this.#open;
    this.#asked = -Infinity;
    if (this.#open) this.#ask();
  }

  async #ask() {
    if (this.#asking || performance.now() - this.#asked < rest) return;
    this.#asking = true;
    this.#asked = performance.now();
    try {
      this.#take(await get('api/v1/config'));
    } catch (error) {
      text(find('config-note'), `The configuration is not known: ${error.message}.`);
    }
    this.#asking = false;
  }

  #take({ version, file, active_since: since, on_disk: onDisk, overrides, files }) {
    if (version !== 1) throw new Error(`it has version ${version}, and this page knows 1: reload the page`);
    const at = moment(since);
    const many = files.length === 1 && files[0].file === file ? '' : `, ${of(files.length, 'file')}`;
    text(find('config-about'), `${file}${many}, active since ${clock(at)}, ${span(this.#model?.age(at) ?? 0)}`);
    const flags = overrides.map(({ key, value }) => `${key}: ${value}`).join(', ');
    let left = most;
    const shown = files.map(({ file: key, text: whole }) => {
      const part = whole.slice(0, Math.max(0, left));
      left -= whole.length;
      return { key, part };
    });
    const cut = left < 0 ? `The first ${count(most)} characters are shown; api/v1/config and tcp-proxy config have all.` : '';
    text(find('config-note'), [states.get(onDisk) ?? '', flags && `The command line overrides ${flags}.`, cut].filter(Boolean).join(' '));
    attribute(find('config-note'), 'class', onDisk === 'changed' ? 'note partly' : 'note');
    this.#files.show(shown.map((one) => ({ ...one, titled: many !== '' })));
  }
}

class File {
  constructor() {
    this.title = h('h3');
    this.text = h('pre', { tabindex: 0 });
    this.element = h('div', {}, this.title, this.text);
  }

  update({ key, part, titled }) {
    text(this.title, key);
    this.title.hidden = !titled;
    text(this.text, part);
    attribute(this.text, 'aria-label', key);
  }
}
