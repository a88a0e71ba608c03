// The head of the page: what proxy this is, and whether what is shown is of now.

import { attribute, find, text } from './dom.js';
import { clock, moment, span } from './format.js';

const opened = Date.now();

// Status says how the polling goes, also between two answers.
export class Status {
  #poll; #timer = 0;
  #name = `tcp-proxy ${location.host}`;
  #title = 'tcp-proxy';

  constructor(poll) {
    this.#poll = poll;
    find('gone-retry').addEventListener('click', () => poll.now());
  }

  // show shows the head of an answer.
  show(model, problems) {
    const { state, engine, started, hostname, program_version: version, log } = model.answer;
    const stage = find('stage');
    stage.hidden = false;
    text(stage, state);
    attribute(stage, 'class', `badge ${state}`);
    const up = moment(started);
    text(find('host'), hostname ? ` on ${hostname}` : '');
    const facts = [version && `version ${version}`, up !== null && `up ${span(model.age(up))}`, engine && `engine ${engine}`, levelOf(log)];
    text(find('node'), facts.filter(Boolean).join(' · '));
    this.#name = `${hostname ? `${hostname} · ` : ''}tcp-proxy ${location.host}`;
    this.#title = `${problems > 0 ? `(${problems}) ` : ''}${this.#name}`;
  }

  // turn shows whether there was an answer, and while there is none, counts the seconds.
  turn() {
    clearTimeout(this.#timer);
    const { failures, answered } = this.#poll;
    const gone = failures > 0;
    find('gone').hidden = !gone;
    attribute(document.body, 'class', gone ? 'stale' : null);
    document.title = gone ? `no answer · ${this.#name}` : this.#title;
    text(find('live'), answered === null ? '' : gone ? `last answer at ${clock(answered)}` : `live · ${clock(answered)}`);
    if (gone) this.#count();
  }

  #count() {
    const { answered, problem, next } = this.#poll;
    const since = answered ?? opened;
    text(find('gone-since'), answered === null ? `No answer yet, since ${clock(since)}.` : `No answer since ${clock(since)}.`);
    const was = answered === null ? '' : ' The data below is from that time.';
    const again = next === null ? 'Retrying …' : `Retrying in ${span(Math.max(0, Math.ceil((next - Date.now()) / 1000)))}.`;
    text(find('gone-text'), `For ${span((Date.now() - since) / 1000)} now: ${problem}.${was} ${again}`);
    this.#timer = setTimeout(() => this.#count(), 1000);
  }
}

// levelOf is the level of the log while an operator has set another than the configured one.
function levelOf(log) {
  if (!log?.configured_level) return '';
  const until = moment(log.level_until);
  return `log level ${log.level}${until === null ? '' : ` until ${clock(until)}`}, not ${log.configured_level}`;
}
