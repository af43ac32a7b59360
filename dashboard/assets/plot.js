// Draws series over time, with a legend that follows the pointer and a table for
// those who cannot see it.

import uPlot from './vendor/uplot/uPlot.esm.js';
import { h, fill, text } from './dom.js';
import { count, ms } from './format.js';

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const pad = (n) => String(n).padStart(2, '0');
const hour = (t) => `${pad(new Date(t * 1000).getHours())}:${pad(new Date(t * 1000).getMinutes())}`;

// colors are of the lines that have no meaning of their own, in their order.
const colors = ['--line1', '--line2', '--line3', '--line4', '--line5', '--line6', '--line7'];
const order = ['ok', 'answered', 'refused', '429', 'failed', 'left', 'p50', 'p95', 'p99'];
const place = (name) => (order.indexOf(name) + 1) || order.length + 1;
const shortest = 300; // seconds that are drawn, also where less is known
const meanings = {
  ok: '--good', answered: '--good', refused: '--warn', 429: '--warn', failed: '--bad', left: '--dim', p50: '--line1', p95: '--line4', p99: '--line4', tokens: '--line1',
};

// alone returns the points of a line that have no neighbor, which no line shows.
function alone(u, i, shown) {
  const y = u.data[i];
  return shown ? null : y.flatMap((v, k) => (v !== null && (y[k - 1] ?? null) === null && (y[k + 1] ?? null) === null ? [k] : []));
}

// Plot is one plot. Unit is what its axis counts: ms, or a word.
export class Plot {
  constructor(title, unit, { height = 190 } = {}) {
    this.title = title;
    this.unit = unit;
    this.height = height;
    this.write = unit === 'ms' ? ms : count;
    this.canvas = h('div', { class: 'canvas', role: 'img', 'aria-label': title });
    this.legend = h('ul', { class: 'legend' });
    this.at = h('span', { class: 'at' });
    this.body = h('div');
    this.details = h('details', { class: 'alternative', ontoggle: () => this.list() }, h('summary', {}, 'Show as a table'), this.body);
    this.element = h('figure', { class: 'plot' },
      h('figcaption', {}, h('strong', {}, title), ' ', h('span', { class: 'unit' }, unit === 'ms' ? 'milliseconds' : unit)),
      this.canvas, h('div', { class: 'under' }, this.legend, this.at), this.details);
    this.size = new ResizeObserver(() => this.fit());
    this.size.observe(this.canvas);
    this.scheme = matchMedia('(prefers-color-scheme: dark)');
    this.repaint = () => { this.drop(); this.draw(); };
    this.scheme.addEventListener('change', this.repaint);
    document.addEventListener('theme', this.repaint);
  }

  // show takes series: {from, step} and lines by their names.
  show(frame, lines) {
    const names = Object.keys(lines || {}).sort((a, b) => place(a) - place(b));
    const n = names.length ? lines[names[0]].length : 0;
    let first = 0;
    while (first < n - shortest / frame.step && names.every((name) => lines[name][first] === null)) first++;
    const data = [Array.from({ length: n - first }, (_, i) => frame.from + (first + i) * frame.step), ...names.map((name) => lines[name].slice(first))];
    const same = this.names && names.join('\0') === this.names.join('\0');
    this.names = names;
    this.data = data;
    if (this.plot && same) this.plot.setData(data);
    else this.repaint();
    this.tell(null);
    if (this.details.open) this.list();
  }

  color(name, i) { return css(meanings[name] || colors[i % colors.length]); }

  drop() {
    this.plot?.destroy();
    this.plot = null;
  }

  draw() {
    if (!this.data || !this.canvas.isConnected || this.canvas.clientWidth === 0) return;
    const axis = { stroke: css('--muted'), grid: { stroke: css('--grid'), width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' };
    this.plot = new uPlot({
      width: this.canvas.clientWidth, height: this.height, legend: { show: false }, padding: [10, 18, 0, 0],
      cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
      scales: { x: { time: true }, y: { range: (u, low, high) => [0, !high || high <= 0 ? 1 : high * 1.15] } },
      axes: [
        { ...axis, space: 70, size: 26, values: (u, all) => all.map(hour), incrs: [60, 120, 300, 600, 900, 1200, 1800] },
        { ...axis, size: 62, space: 34, values: (u, all) => all.map((v) => (v === 0 ? '0' : this.unit !== 'ms' && all.at(-1) >= 10_000 ? `${v / 1000} k` : this.write(v))) },
      ],
      series: [{}, ...this.names.map((name, i) => ({ label: name, stroke: this.color(name, i), width: 1.75, points: { show: (u, k, from, to) => to - from < 12, size: 5, filter: alone }, spanGaps: false, fill: this.names.length === 1 ? `${this.color(name, i)}1f` : undefined }))],
      hooks: { setCursor: [(u) => this.tell(u.cursor.idx)] },
    }, this.data, this.canvas);
    fill(this.legend, this.names.map((name, i) => {
      const key = h('i', { 'aria-hidden': 'true' });
      key.style.background = this.color(name, i);
      return h('li', {}, key, h('span', {}, name), h('b', {}));
    }));
    this.tell(null);
  }

  fit() {
    if (!this.plot) this.draw();
    else if (Math.abs(this.plot.width - this.canvas.clientWidth) > 1) this.plot.setSize({ width: this.canvas.clientWidth, height: this.height });
  }

  // tell writes the values at a point into the legend, null those of now.
  tell(i) {
    if (!this.data) return;
    const last = this.data[0].length - 1;
    const at = i ?? last;
    [...this.legend.children].forEach((li, k) => text(li.lastChild, this.write(this.data[k + 1]?.[at])));
    text(this.at, i === null || i === undefined ? '' : hour(this.data[0][i]));
    if (i === null || i === undefined) {
      this.canvas.setAttribute('aria-label', `${this.title}, up to the last hour. Now: ${this.names.map((name, k) => `${name} ${this.write(this.data[k + 1]?.[last])}`).join(', ') || 'nothing'}.`);
    }
  }

  // list writes the table: the last value of each minute, the newest first.
  list() {
    if (!this.details.open || !this.data) return;
    const rows = [];
    for (let i = this.data[0].length - 1; i >= 0; i -= Math.max(1, Math.round(60 / (this.data[0][1] - this.data[0][0] || 60)))) {
      if (this.data.slice(1).every((line) => line[i] === null)) break;
      rows.push(h('tr', {}, h('th', { scope: 'row' }, hour(this.data[0][i])), this.data.slice(1).map((line) => h('td', { class: 'number' }, this.write(line[i])))));
    }
    fill(this.body, h('div', { class: 'scroll short', tabindex: 0, role: 'region', 'aria-label': `${this.title}, as a table` },
      h('table', {}, h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Time'), this.names.map((name) => h('th', { scope: 'col', class: 'number' }, name)))), h('tbody', {}, rows))));
  }

  close() {
    this.size.disconnect();
    this.scheme.removeEventListener('change', this.repaint);
    document.removeEventListener('theme', this.repaint);
    this.drop();
  }
}
