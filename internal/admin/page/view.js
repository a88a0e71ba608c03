// What the reader has asked to see: kept in the address of the page, so that it survives a reload and can be sent on.

// The columns: first is the direction of a first click, of gives what is sorted by, null last.
export const columns = [
  { id: 'name', title: 'Name', first: 'ascending', of: (r) => r.name },
  { id: 'state', title: 'State', first: 'descending', of: (r) => r.severity, sort: 'State, worst first' },
  { id: 'since', title: 'Since', first: 'descending', of: (r) => r.since, sort: 'Since, newest first' },
  { id: 'why', title: 'Why' },
  { id: 'sessions', title: 'Sessions', first: 'descending', of: (r) => r.active },
  { id: 'fresh', title: 'New', first: 'descending', of: (r) => r.fresh, sort: 'New sessions' },
  { id: 'download', title: 'Download', first: 'descending', of: (r) => r.download ?? null },
  { id: 'upload', title: 'Upload', first: 'descending', of: (r) => r.upload ?? null },
  { id: 'connect', title: 'Connect', first: 'descending', of: (r) => r.connect, sort: 'Connect time' },
  { id: 'more', title: '' },
];

const start = { q: '', state: '', by: 'app', sort: 'state', direction: 'descending', page: 0 };

export class View {
  opened = new Map(); // key of an app to whether the reader wants its targets shown
  detailed = new Set(); // keys whose details are shown

  constructor() {
    this.read();
  }

  get column() {
    return columns.find((c) => c.id === this.sort);
  }

  // read takes the view from the address.
  read() {
    Object.assign(this, start);
    const given = new URLSearchParams(location.hash.slice(1));
    for (const name of ['q', 'state']) this[name] = given.get(name) ?? start[name];
    if (given.get('by') === 'target') this.by = 'target';
    const column = columns.find((c) => c.of && c.id === given.get('sort'));
    if (column) [this.sort, this.direction] = [column.id, column.first];
    if (['ascending', 'descending'].includes(given.get('direction'))) this.direction = given.get('direction');
    this.page = Math.max(0, (Number.parseInt(given.get('page'), 10) || 1) - 1);
  }

  // change takes what is another, and goes back to the first page unless that is what changes.
  change(what) {
    Object.assign(this, { page: 0 }, what);
    const said = new URLSearchParams();
    for (const name of ['q', 'state', 'by']) if (this[name] !== start[name]) said.set(name, this[name]);
    if (this.sort !== start.sort || this.direction !== start.direction) said.set('sort', this.sort);
    if (this.direction !== this.column.first) said.set('direction', this.direction);
    if (this.page > 0) said.set('page', this.page + 1);
    const hash = said.toString();
    history.replaceState(null, '', hash ? `#${hash}` : location.pathname + location.search);
  }

  // sortBy sorts by a column, or turns it round if it is that already.
  sortBy(id) {
    const column = columns.find((c) => c.id === id);
    const other = this.direction === 'ascending' ? 'descending' : 'ascending';
    this.change({ sort: id, direction: this.sort === id ? other : column.first });
  }
}
