// The deployments: what each is doing, what it did, and what Azure says is left.

import { get } from './api.js';
import { h, fill, facts, heading, table, text } from './dom.js';
import { clock, count, deployment, ms, moment, now as instant, seconds } from './format.js';
import { Plot } from './plot.js';
import { left, state } from './overview.js';

const link = (name) => `#/deployments/${encodeURIComponent(name)}`;

export function deployments(context) {
  return context.at.item ? one(context) : all(context);
}

function all({ root, latest, listen }) {
  const list = table({
    label: 'Deployments', key: (d) => d.deployment, empty: 'No deployment is known yet.', columns: [
      { label: 'Deployment', show: (d) => h('a', { class: 'name', href: link(d.deployment) }, d.deployment) },
      { label: 'State', show: state },
      { label: 'Models', show: (d) => h('span', { class: 'name' }, (d.models || []).join(', ')) },
      { label: 'Region', show: (d) => d.region || h('span', { class: 'dim' }, '–') },
      { label: 'In flight', number: true, show: (d) => count(d.in_flight) },
      { label: 'Attempts / min', number: true, show: (d) => count(d.attempts_per_minute) },
      { label: '429 / min', number: true, show: (d) => h('span', { class: d.throttled_per_minute ? 'warn' : 'dim' }, count(d.throttled_per_minute)) },
      { label: 'Failed / min', number: true, show: (d) => h('span', { class: d.failed_per_minute ? 'bad' : 'dim' }, count(d.failed_per_minute)) },
      { label: 'p50', number: true, show: (d) => ms(d.latency_p50_ms) },
      { label: 'p95', number: true, show: (d) => ms(d.latency_p95_ms) },
      { label: 'Tokens left: Azure / ours', number: true, show: left },
    ],
  });
  root.append(h('div', { class: 'heading' }, h('h1', {}, 'Deployments')), list.element);
  const event = (name, data) => { if (name === 'stats') list.rows(data.deployments); };
  if (latest.stats) event('stats', latest.stats);
  listen('?events=stats');
  return { event };
}

// band shows the states of the last hour as one strip.
function band(history, now) {
  const oldest = history.length ? Date.parse(history.at(-1).at) : now;
  const hour = Math.min(3_600_000, Math.max(300_000, now - oldest));
  const start = now - hour;
  const parts = [];
  let until = now;
  for (const change of history) { // the newest first
    const from = Math.max(start, Date.parse(change.at));
    if (until > from) {
      const part = h('span', { class: deployment({ ...change, rest_seconds: null, probe_seconds: null })[1], title: `${change.state} from ${clock(change.at)}` });
      part.style.width = `${((until - from) / hour) * 100}%`;
      parts.unshift(part);
    }
    until = from;
    if (from === start) break;
  }
  const words = history.slice(0, 3).map((c) => `${c.state} since ${clock(c.at)}`).join(', before that ');
  return h('div', {}, h('div', { class: 'band', role: 'img', 'aria-label': `State of late: ${words || 'unknown'}` }, parts),
    h('div', { class: 'ends dim', 'aria-hidden': 'true' }, h('span', {}, `${seconds(hour / 1000)} ago`), h('span', {}, 'now')));
}

function one({ root, at, latest, listen }) {
  const name = at.item;
  const now = h('div');
  const strip = h('div');
  const problem = h('p', { class: 'empty', role: 'status' });
  const attempts = new Plot('Attempts', 'per minute');
  const latency = new Plot('Time until an answer began', 'ms');
  const history = table({
    label: 'Changes of state', key: (c) => `${c.at} ${c.state}`, columns: [
      { label: 'Since', show: (c) => moment(c.at) },
      { label: 'State', show: (c) => h('span', { class: `state ${deployment(c)[1]}` }, c.state.replace('_', ' ')) },
      { label: 'Why', show: (c) => c.why || h('span', { class: 'dim' }, '–') },
      { label: 'For', number: true, show: (c) => seconds(c.lasted) },
    ],
  });
  root.append(
    h('div', { class: 'heading' }, h('h1', {}, h('a', { href: '#/deployments', class: 'up' }, 'Deployments'), ' ', name),
      h('a', { class: 'button', href: `#/requests?deployment=${encodeURIComponent(name)}` }, 'Its requests')),
    problem, now, strip,
    h('section', { class: 'pair', 'aria-label': 'The last hour' }, attempts.element, latency.element),
    h('section', {}, heading('Changes of state', h('span', { class: 'dim' }, 'looked at once a second')), history.element));

  function show(d) {
    const quota = (l) => (l ? [l.tokens >= 0 ? `${count(l.tokens)} tokens` : '', l.requests >= 0 ? `${count(l.requests)} requests` : ''].filter(Boolean).join(', ') : 'unknown');
    fill(now, facts([
      ['State', state(d)], ['In flight', count(d.in_flight)], ['429 / min', count(d.throttled_per_minute)], ['p95', ms(d.latency_p95_ms)],
      ['Left, Azure says', quota(d.azure_left)], ['Left, we reckon', quota(d.twin_left)],
      ['Models', (d.models || []).join(', ')], ['Region', d.region], ['Answers as', d.served_model], ['Learned from refusals', (d.learned || []).join(', ')],
    ]));
  }
  async function load() {
    try {
      const d = await get(`/admin/v1/deployments?deployment=${encodeURIComponent(name)}`);
      text(problem, '');
      show(d);
      const is = instant();
      fill(strip, band(d.history, is));
      history.rows(d.history.map((c, i) => ({ ...c, lasted: ((i === 0 ? is : Date.parse(d.history[i - 1].at)) - Date.parse(c.at)) / 1000 })));
      attempts.show(d.series, d.series.attempts_per_minute);
      latency.show(d.latency_series, d.latency_series.latency_ms);
    } catch (e) {
      text(problem, e.message);
    }
  }
  let was = '';
  const event = (kind, data) => {
    if (kind === 'series') load();
    const d = kind === 'stats' && data.deployments.find((x) => x.deployment === name);
    if (!d) return;
    show(d);
    if (was && was !== d.state) load();
    was = d.state;
  };
  if (latest.stats) event('stats', latest.stats);
  load();
  listen('?events=stats');
  return { event, close: () => { attempts.close(); latency.close(); } };
}
