// The page: asks for the status and shows each answer.

import { Config } from './config.js';
import { Events } from './events.js';
import { Figures } from './figures.js';
import { listen } from './keys.js';
import { Model } from './model.js';
import { Names } from './names.js';
import { Poll } from './poll.js';
import { problemsOf } from './problems.js';
import { Sessions } from './sessions.js';
import { Status } from './status.js';
import { Table } from './table.js';
import { View } from './view.js';
import { Wrong } from './wrong.js';

const model = new Model();
const table = new Table(new View());
const wrong = new Wrong((words) => table.search(words));
const parts = [new Figures(), new Events(), table, new Sessions(), new Names(), new Config()];

function take(answer) {
  model.take(answer);
  const problems = problemsOf(model);
  status.show(model, problems.length);
  wrong.show(problems, model);
  for (const part of parts) part.show(model);
}

const poll = new Poll('api/v1/status', take, () => status.turn());
const status = new Status(poll);

listen();
poll.now();
