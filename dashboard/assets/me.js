// What the holder of a key is told of it, for the key alone.

import { h, fill, facts, bar } from './dom.js';
import { clock, count, limitName, percent, seconds, usd, ms } from './format.js';

const told = document.getElementById('told');

function limit(l) {
  const write = l.limit === 'budget' ? usd : count;
  const used = Math.max(0, l.burst - l.left);
  return h('div', { class: 'limit' }, h('h3', {}, limitName(l.limit), h('span', { class: 'dim' }, l.key ? ' of this key' : ' of the team'), l.shadow ? h('em', {}, ' shadow') : null),
    h('span', { class: 'level' }, bar(used, l.burst, `${limitName(l.limit)}: ${write(used)} of ${write(l.burst)}`), h('span', { class: 'amount' }, `${write(l.left)} of ${write(l.burst)} left`)),
    h('p', { class: 'dim' }, l.limit === 'budget' ? `of this ${l.period}, ${percent(1 - l.left / l.most)} used, ends in ${seconds(l.reset_seconds)}`
      : l.reset_seconds ? `full again in ${seconds(l.reset_seconds)}` : 'full'));
}

function show(me) {
  fill(told,
    facts([['Team', me.team], ['Key', me.key], ['Ask for more', me.owner], ['Models', me.models.join(', ')]]),
    h('h2', {}, 'Limits'), me.limits.length ? h('div', { class: 'limits' }, me.limits.map(limit)) : h('p', { class: 'empty' }, 'There are none.'),
    h('h2', {}, 'The last hour'), facts([['Requests', count(me.last_hour.requests)], ['Refused', count(me.last_hour.refused)], ['Failed', count(me.last_hour.failed)],
      ['Tokens', `${count(me.last_hour.input_tokens)} in, ${count(me.last_hour.output_tokens)} out`], ['Cost', usd(me.last_hour.cost_usd)]]),
    h('h2', {}, 'This month'), facts([['Requests', count(me.this_month.requests)], ['Refused', count(me.this_month.refused)], ['Errors', count(me.this_month.errors)],
      ['Tokens', `${count(me.this_month.input_tokens)} in, ${count(me.this_month.output_tokens)} out`], ['Cost', usd(me.this_month.cost_usd)]]),
    h('h2', {}, 'Your last errors'), me.last_errors.length ? h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Your last errors' }, h('table', {},
      h('thead', {}, h('tr', {}, ['Time', 'Status', 'Code', 'Model', 'Request id'].map((c) => h('th', { scope: 'col' }, c)), h('th', { scope: 'col', class: 'number' }, 'Took'))),
      h('tbody', {}, me.last_errors.map((r) => h('tr', {}, h('th', { scope: 'row' }, clock(r.start)), h('td', {}, r.status), h('td', {}, r.code || r.outcome), h('td', {}, r.model || '–'), h('td', {}, h('code', {}, r.request_id)), h('td', { class: 'number' }, ms(r.duration_ms)))))))
      : h('p', { class: 'empty' }, 'None.'));
}

document.getElementById('ask').addEventListener('submit', async (e) => {
  e.preventDefault();
  const key = document.getElementById('key').value.trim();
  try {
    const answer = await fetch('/admin/me', { headers: { Authorization: `Bearer ${key}`, Accept: 'application/json' }, cache: 'no-store', credentials: 'omit' });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error?.message || `The gateway answers ${answer.status}.`);
    show(body);
  } catch (problem) {
    fill(told, h('p', { class: 'bad' }, problem.message));
  }
});
