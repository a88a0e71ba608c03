// All that is known of one app or target, for who has opened its details.

import { attribute, h, text } from './dom.js';
import { brief, bytes, clock, count, flow, moment, of, span, tally } from './format.js';
import { minutes } from './history.js';
import { untestedMeans } from './model.js';
import { Spark } from './spark.js';

const mostPorts = 100;
const mostEvents = 5;

export class Details {
  constructor(kind) {
    this.facts = h('dl', { class: 'facts' });
    this.charts = new Map((kind === 'app' ? ['sessions', 'traffic', 'connect'] : ['sessions', 'connect']).map((name) => {
      const spark = name === 'traffic' ? new Spark('download', 'upload') : new Spark(name);
      return [name, { spark, caption: h('figcaption', { class: 'muted' }) }];
    }));
    this.element = h('div', { class: 'inside' }, this.facts, h('div', { class: 'charts' },
      ...[...this.charts.values()].map(({ spark, caption }) => h('figure', {}, caption, spark.element))));
  }

  update(item, model) {
    const facts = item.kind === 'app' ? ofApp(item) : ofTarget(item, model);
    facts.push(['Last events', eventsOf(item, model)]);
    fill(this.facts, facts.filter(([, value]) => value !== ''));
    for (const [name, { spark, caption }] of this.charts) {
      const lines = name === 'traffic' ? [item.lines.download, item.lines.upload] : [item.lines[name]];
      spark.show(model.clock, ...lines);
      text(caption, captions[name](item));
    }
  }
}

const captions = {
  sessions: (item) => `Sessions, last ${minutes} min: ${count(item.active)} now`,
  traffic: (item) => `Download ${flow(item.download)}, upload ${flow(item.upload)}`,
  connect: (item) => `Connect time: ${brief(item.connect)} now`,
};

// fill makes the pairs all that a list has.
function fill(list, pairs) {
  while (list.children.length > pairs.length) list.lastChild.remove();
  while (list.children.length < pairs.length) list.append(h('div', {}, h('dt'), h('dd')));
  pairs.forEach(([name, value], i) => {
    text(list.children[i].firstChild, name);
    text(list.children[i].lastChild, value);
    attribute(list.children[i], 'data-fact', name);
  });
}

function ofApp(app) {
  const ports = app.ports.slice(0, mostPorts).map((p) => (p.problem ? `${p.label} (does not accept: ${p.problem})` : p.label));
  if (app.ports.length > mostPorts) ports.push(`and ${count(app.ports.length - mostPorts)} more`);
  return [
    ['Ports', ports.join(', ')],
    ['Balance', app.balance],
    ['Limits', limitsOf(app.limits ?? {})],
    ['Sessions', `${count(app.active)} open, ${count(app.begun)} accepted so far`],
    ['Ended', tally(app.ended)],
    ['Refused', tally(app.refusals)],
    ['Limits counted for', app.sources ? of(app.sources, 'client address', 'client addresses') : ''],
    ['Moved', moved(app)],
  ];
}

const moved = (item) => `${bytes(item.bytes_download)} down, ${bytes(item.bytes_upload)} up`;

// limitsOf is the limits of an app in words. Those of a source are of one client address, or an IPv6 /64.
function limitsOf({ bytes_per_second: rate, ...limits }) {
  const said = [
    ['max_sessions', (n) => `${of(n, 'session')} at once`],
    ['max_sessions_per_source', (n) => `${count(n)} at once of one source`],
    ['sessions_per_second', (n) => `${count(n)} new a second`],
    ['sessions_per_second_per_source', (n) => `${count(n)} new a second of one source`],
  ].filter(([key]) => limits[key] > 0).map(([key, say]) => say(limits[key]));
  if (rate?.download) said.push(`${flow(rate.download)} down for a session`);
  if (rate?.upload) said.push(`${flow(rate.upload)} up for a session`);
  return said.join(', ');
}

function ofTarget(target, model) {
  const since = target.since === null ? '' : ` since ${clock(target.since)}, ${span(model.age(target.since))}`;
  const { probe } = target;
  const last = moment(probe?.last);
  return [
    ['App', target.app.name],
    ['Configured as', target.address === target.name ? '' : target.address],
    ['State', `${target.state}${since}${target.state === 'untested' ? `: ${untestedMeans}` : ''}`],
    ['Reason', target.reason ?? ''],
    ['Next try in', target.retry_in_seconds > 0 ? span(Math.ceil(target.retry_in_seconds)) : ''],
    ['Weight', `${count(target.weight)}${target.backup ? ', a backup' : ''}`],
    ['Limits', target.max_sessions ? `${of(target.max_sessions, 'session')} at once` : ''],
    ['Sessions', `${count(target.active)} open, ${count(target.sessions_total)} so far`],
    ['Moved', moved(target)],
    ['Connects failed', tally(target.failures)],
    ['Closed at once', target.early_closes > 0 ? `${of(target.early_closes, 'session')}, within a second of the connect, without sending a byte` : ''],
    ['Probes', probe ? `${count(probe.passed)} passed, ${count(probe.failed)} failed` : ''],
    ['Last probe', last === null ? '' : `${clock(last)}: ${probe.problem || 'passed'}`],
  ];
}

function eventsOf(item, model) {
  const [app, target] = item.kind === 'app' ? [item.name] : [item.app.name, item.name];
  const own = model.events.filter((e) => e.app === app && (!target || e.target === target || e.target === item.address));
  return own.slice(0, mostEvents).map((e) => `${clock(moment(e.time))} ${e.text}${e.reason ? `: ${e.reason}` : ''}`).join('\n');
}
