// The teams: their limits, what they use, and what was refused to them.

import { download, get } from './api.js';
import { h, fill, facts, heading, table, text } from './dom.js';
import { count, limitName, ms, percent, seconds, usd } from './format.js';
import { Plot } from './plot.js';
import { level } from './overview.js';

const link = (name) => `#/teams/${encodeURIComponent(name)}`;

function csv(query, name) {
  const said = h('span', { class: 'note', role: 'status' });
  return [said, h('button', { type: 'button', onclick: async () => {
    text(said, '');
    try { await download(`/admin/v1/usage?${query}&format=csv`, name); } catch (e) { text(said, `No CSV: ${e.message}`); }
  } }, 'Usage as CSV')];
}

export function teams(context) {
  return context.at.item ? one(context) : all(context);
}

function all({ root, latest, listen }) {
  const list = table({
    label: 'Teams', key: (t) => t.team, empty: 'No team is configured.', columns: [
      { label: 'Team', show: (t) => h('a', { class: 'name', href: link(t.team) }, t.team) },
      { label: 'Requests / min', show: (t) => level(t, 'rpm') },
      { label: 'Tokens / min', show: (t) => level(t, 'tpm') },
      { label: 'At once', show: (t) => level(t, 'concurrency') },
      { label: 'Budget', show: (t) => level(t, 'budget') },
      { label: 'Requests, 1 h', number: true, show: (t) => count(t.requests_1h) },
      { label: 'Refused', number: true, show: (t) => h('span', { class: t.refused_1h ? 'warn' : 'dim' }, count(t.refused_1h)) },
      { label: 'Failed', number: true, show: (t) => h('span', { class: t.failed_1h ? 'bad' : 'dim' }, count(t.failed_1h)) },
      { label: 'Cost, 1 h', number: true, show: (t) => usd(t.cost_1h_usd) },
    ],
  });
  root.append(h('div', { class: 'heading' }, h('h1', {}, 'Teams'), csv('by=team,model', 'weir-usage.csv')), list.element);
  const event = (name, data) => { if (name === 'stats') list.rows(data.teams); };
  if (latest.stats) event('stats', latest.stats);
  listen('?events=stats');
  return { event };
}

function one({ root, at, latest, listen }) {
  const name = at.item;
  const limits = h('div', { class: 'limits' });
  const sums = h('div');
  const refusals = h('div');
  const problem = h('p', { class: 'empty', role: 'status' });
  const requests = new Plot('Requests by outcome', 'per second');
  const tokens = new Plot('Tokens', 'per minute');
  const keys = table({
    label: 'Keys', key: (k) => k.key, empty: 'No key has called in the last hour.', columns: [
      { label: 'Key', show: (k) => h('a', { class: 'name', href: `#/requests?team=${encodeURIComponent(name)}&key=${encodeURIComponent(k.key)}` }, k.key || 'without a key') },
      { label: 'Requests', number: true, show: (k) => count(k.requests) }, { label: 'Refused', number: true, show: (k) => count(k.refused) },
      { label: 'Failed', number: true, show: (k) => count(k.failed) }, { label: 'Input', number: true, show: (k) => count(k.input_tokens) },
      { label: 'Output', number: true, show: (k) => count(k.output_tokens) }, { label: 'Cost', number: true, show: (k) => usd(k.cost_usd) },
    ],
  });
  root.append(
    h('div', { class: 'heading' }, h('h1', {}, h('a', { href: '#/teams', class: 'up' }, 'Teams'), ' ', name),
      csv(`by=day,key,model&team=${encodeURIComponent(name)}`, `weir-usage-${name.replace(/[^\w.-]/g, '_')}.csv`),
      h('a', { class: 'button', href: `#/requests?team=${encodeURIComponent(name)}` }, 'Its requests')),
    problem, limits, sums,
    h('section', { class: 'pair', 'aria-label': 'The last hour' }, requests.element, tokens.element),
    h('section', {}, heading('Refused in the last hour, by reason'), refusals),
    h('section', {}, heading('Keys in the last hour'), keys.element));

  function show(t) {
    fill(limits, t.limits.map((l) => h('div', { class: 'limit' },
      h('h2', {}, limitName(l.limit), l.key ? h('span', { class: 'dim' }, ` of key ${l.key}`) : null, l.shadow ? h('em', {}, ' shadow') : null),
      level({ ...t, limits: [{ ...l, key: '' }], ...(l.key ? { requests_per_minute: undefined, tokens_per_minute: undefined } : {}) }, l.limit),
      h('p', { class: 'dim' }, l.limit === 'budget' ? `of this ${l.period}, ${percent(1 - l.left / l.most)} used, ends in ${seconds(l.reset_seconds)}`
        : l.limit === 'concurrency' ? `${count(l.left)} free` : `${count(l.left)} of ${count(l.burst)} left at once`))),
    t.limits.length ? null : h('p', { class: 'empty' }, 'This team has no limits.'));
    fill(sums, facts([
      ['Requests, 1 h', count(t.requests_1h)], ['Refused, 1 h', count(t.refused_1h)], ['Failed, 1 h', count(t.failed_1h)],
      ['Cost, 1 h', usd(t.cost_1h_usd)], ['p95 first token', ms(t.first_token_p95_ms)], ['Owner', t.owner],
    ]));
    const by = Object.entries(t.refused_by_1h || {}).sort((a, b) => b[1] - a[1]);
    const top = by.length ? by[0][1] : 1;
    fill(refusals, by.length ? h('ul', { class: 'ranks' }, by.map(([reason, n]) => {
      const b = h('i', { 'aria-hidden': 'true' });
      b.style.width = `${(n / top) * 100}%`;
      return h('li', {}, h('span', {}, limitName(reason)), h('span', { class: 'track' }, b), h('b', {}, count(n)));
    })) : h('p', { class: 'empty' }, 'Nothing was refused.'));
  }

  async function load() {
    try {
      const t = await get(`/admin/v1/teams?team=${encodeURIComponent(name)}`);
      text(problem, '');
      show(t);
      keys.rows(t.keys);
      requests.show(t.series, t.series.requests_per_second);
      tokens.show(t.series, t.series.tokens_per_minute);
    } catch (e) {
      text(problem, e.message);
    }
  }
  const event = (kind, data) => {
    if (kind === 'series') load();
    const t = kind === 'stats' && data.teams.find((x) => x.team === name);
    if (t) show(t);
  };
  if (latest.stats) event('stats', latest.stats);
  load();
  listen('?events=stats');
  return { event, close: () => { requests.close(); tokens.close(); } };
}
