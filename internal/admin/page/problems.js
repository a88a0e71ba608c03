// What is wrong, each in a sentence that says why, the worst first.

import { severe } from './model.js';
import { clock, count, each, moment, of, tally } from './format.js';

const grave = 2;
const partly = 1;
const lately = 60; // seconds for which refusals stay a problem

// problemsOf lists {key, level, what, why, since, find}: find is what to search for to see it in the table.
export function problemsOf(model) {
  const { answer } = model;
  const list = [...ofNode(answer)];
  if (answer.reloads?.problem) {
    list.push({
      key: 'reload', level: grave, since: null, what: 'The last reload was refused.',
      why: `${answer.reloads.problem}${inForce(answer.reloads)}`,
    });
  }
  if (answer.log?.problem) {
    list.push({
      key: 'log', level: partly, since: null, what: 'The log does not accept entries.',
      why: `${sentence(answer.log.problem)} ${of(answer.log.entries_lost ?? 0, 'entry', 'entries')} lost so far. Sessions go on.`,
    });
  }
  const { busy, max } = answer.workers;
  if (max > 0 && busy >= max) {
    list.push({
      key: 'workers', level: grave, since: null,
      what: `All ${count(max)} workers are busy.`, why: 'New connections wait until a session ends.',
    });
  }
  for (const lack of answer.shortages ?? []) list.push(short(lack));
  for (const app of model.apps) list.push(...ofApp(app, model));
  for (const name of model.names) {
    if (!name.problem) {
      if (name.overdue_seconds > 0) list.push(late(name, model));
      continue;
    }
    const some = name.addresses?.length > 0;
    const kept = name.partial
      ? some ? 'Its other addresses are in use.' : 'It has no usable address.'
      : some ? 'Its previous addresses stay in use.' : 'It has no address yet.';
    list.push({
      key: `name ${name.name}`, level: some ? partly : grave, since: moment(name.since), find: some ? name.name : null,
      what: name.partial ? `${name.name} resolves only in part.` : `${name.name} does not resolve.`, why: `${sentence(name.problem)} ${kept}`,
    });
  }
  return list.sort((a, b) => b.level - a.level || (b.since ?? Infinity) - (a.since ?? Infinity));
}

const lacks = new Map([
  ['connect', (app) => `Connects of ${app} fail for a local reason.`],
  ['session', (app) => `Sessions of ${app} fail for a local reason.`],
  ['pipe', () => 'Pipes cannot be created; bytes are copied instead of spliced.'],
]);

function short({ kind, app, problem, since }) {
  const what = lacks.get(kind) ?? ((of) => `${of} lacks a local resource (${kind}).`);
  return {
    key: `short ${kind} ${app ?? ''}`, level: kind === 'pipe' ? partly : grave, since: moment(since),
    find: app ? `app:${app}` : null, what: what(app), why: sentence(problem),
  };
}

function late(name, model) {
  return {
    key: `late ${name.name}`, level: partly, since: moment(model.answer.taken) - name.overdue_seconds * 1000, find: name.name,
    what: `The answer for ${name.name} has expired.`, why: 'It is used until a new one arrives.',
  };
}

const stages = new Map([
  ['starting', ['The proxy is starting.', 'It is not ready yet.']],
  ['draining', ['The proxy is draining.', 'It keeps serving, but reports not ready, so that load balancers send new connections elsewhere.']],
  ['stopping', ['The proxy is stopping.', 'It accepts no new connections.']],
]);

function* ofNode({ state }) {
  const [what, why] = stages.get(state) ?? [];
  if (what) yield { key: 'node', level: partly, since: null, what, why };
}

function* ofApp(app, model) {
  const find = `app:${app.name}`;
  if (app.severity === severe.none) {
    yield { key: `none ${app.name}`, level: grave, since: app.since, find, what: `${app.name} has no live target.`, why: noneWhy(app) };
  } else if (app.dead.length > 0) {
    const first = app.dead[0];
    const more = app.dead.length > 1 ? ` And ${of(app.dead.length - 1, 'other')}.` : '';
    yield {
      key: `dead ${app.name}`, level: partly, since: app.since, find: `${find} dead`,
      what: `${app.name}: ${count(app.dead.length)} of ${of(app.targets.length, 'target')} dead.`,
      why: `${first.name}: ${sentence(first.reason ?? first.state)}${more}`,
    };
  }
  if (app.broken.length > 0) {
    const [port] = app.broken;
    const where = app.ports.length === 1 ? '' : ` on ${count(app.broken.length)} of ${of(app.ports.length, 'port')}`;
    yield {
      key: `port ${app.name}`, level: grave, since: null, find,
      what: `${app.name} does not accept${where}.`, why: `${port.label}: ${sentence(port.problem)}`,
    };
  }
  if (app.limiting !== null && model.age(app.limiting) < lately) {
    yield {
      key: `limits ${app.name}`, level: partly, since: null, find,
      what: `${app.name} is at a limit.`, why: `It refuses ${each(app.refusing)}. So far: ${tally(app.refusals)}.`,
    };
  }
}

function noneWhy(app) {
  if (app.targets.length === 0) return 'None of its targets has a usable address yet.';
  const kinds = ['dead', 'draining', 'down'].map((state) => [app.targets.filter((t) => t.state === state).length, state]);
  const counts = kinds.filter(([n]) => n > 0).map(([n, state]) => `${count(n)} ${state}`).join(', ');
  const why = app.worst?.reason ? `${app.worst.name}: ${sentence(app.worst.reason)}` : '';
  return app.targets.length === 1 ? why || `${app.worst.name} is ${app.worst.state}.` : `${counts}. ${why}`;
}

function inForce({ last_success }) {
  const at = moment(last_success);
  return at === null ? '' : `\nThe configuration of ${clock(at)} stays active.`;
}

// sentence ends a text that has no end of its own.
const sentence = (words) => (/[.!?]\s*$/.test(words) ? words : `${words}.`);
