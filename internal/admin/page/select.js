// Which rows the table has: what matches the search, in order. Nothing here touches the page.

const few = 60; // targets are shown below their apps without asking, if there are no more
const names = new Intl.Collator('en', { numeric: true });

// select gives the rows {item, open} in order, how many apps and targets match, and how many targets of each state would.
// Items that are in places, a map of keys to numbers, stay in that order.
export function select(model, view, places) {
  const matches = matcher(view.q);
  const states = new Map();
  const found = [];
  for (const app of model.apps) {
    const targets = app.targets.filter((t) => {
      if (!matches(app, t)) return false;
      states.set(t.state, (states.get(t.state) ?? 0) + 1);
      return !view.state || t.state === view.state;
    });
    if (targets.length > 0 || (!view.state && matches(app))) found.push({ app, targets });
  }
  const targets = found.reduce((all, f) => all + f.targets.length, 0);
  const order = comparer(view, places);
  const rows = view.by === 'target'
    ? found.flatMap((f) => f.targets).sort(order).map((item) => ({ item }))
    : found.sort((a, b) => order(a.app, b.app)).flatMap(({ app, targets: some }) => {
      const open = some.length > 0 && (view.opened.get(app.key) ?? targets <= few);
      return [{ item: app, open }, ...(open ? some.sort(order).map((item) => ({ item })) : [])];
    });
  return { rows, states, apps: found.length, targets };
}

// matcher tells whether each word is somewhere in an app, or in a target and its app. A word app:NAME is the whole name.
function matcher(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const app = words.find((w) => w.startsWith('app:') && w.length > 4)?.slice(4);
  const rest = words.filter((w) => !w.startsWith('app:'));
  return (a, t) => {
    if (app !== undefined && a.name.toLowerCase() !== app) return false;
    if (rest.length === 0) return true;
    a.hay ??= [a.name, a.balance, ...a.ports.map((p) => p.label)].join('\n').toLowerCase();
    if (t) t.hay ??= [t.name, t.address, t.state, t.reason].join('\n').toLowerCase();
    return rest.every((word) => a.hay.includes(word) || t?.hay.includes(word));
  };
}

// comparer keeps the order of the configuration among equals.
function comparer({ column, direction }, places) {
  const sign = direction === 'ascending' ? 1 : -1;
  return (a, b) => {
    const kept = places ? (places.get(a.key) ?? Infinity) - (places.get(b.key) ?? Infinity) : 0;
    if (kept) return kept;
    const [x, y] = [column.of(a), column.of(b)];
    if (x === y) return configured(a, b);
    if (x === null || y === null) return x === null ? 1 : -1;
    return sign * (typeof x === 'string' ? names.compare(x, y) : x - y) || configured(a, b);
  };
}

const configured = (a, b) => (a.app ? a.app.index - b.app.index : 0) || a.index - b.index;
