// Sparklines: the last minutes of one or two figures, from zero to the highest of them.

import { attribute, s } from './dom.js';
import { minutes } from './history.js';

const width = 100;
const height = 24;
const headroom = 1.2; // a steady line is not at the very top

// Spark is one; as many lines as it has names, which are classes too.
export class Spark {
  constructor(...names) {
    this.paths = names.map((name) => s('path', { class: name }));
    this.element = s('svg', {
      class: 'spark', viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true',
    }, ...this.paths);
  }

  // show draws the lines; a null one is left empty.
  show(clock, ...lines) {
    const all = lines.map((line) => (line ? clock.points(line) : []));
    let highest = 0;
    for (const points of all) for (const [, value] of points) highest = Math.max(highest, value);
    all.forEach((points, i) => attribute(this.paths[i], 'd', drawn(points, highest * headroom)));
  }
}

function drawn(points, top) {
  let d = '';
  for (const [age, value, joined] of points) {
    const x = width * (1 - age / (minutes * 60));
    const y = top > 0 ? height - 1 - (value / top) * (height - 2) : height - 1;
    d += joined ? `L${x.toFixed(1)} ${y.toFixed(1)}` : `M${x.toFixed(1)} ${y.toFixed(1)}h.01`;
  }
  return d;
}
