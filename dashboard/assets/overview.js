// The overview: what happens now, and the last hour.

import { h, fill, text, bar, table, heading } from './dom.js';
import { count, limitName, ms, usd, percent, deployment } from './format.js';
import { Plot } from './plot.js';

// limitOf returns a team's own limit.
export const limitOf = (team, name) => team.limits.find((l) => l.limit === name && !l.key && !l.shadow) || team.limits.find((l) => l.limit === name && !l.key);

// level shows how much of a limit is used: of those a minute, what passed in the
// last one.
export function level(team, name) {
  const l = limitOf(team, name);
  const rate = { rpm: team.requests_per_minute, tpm: team.tokens_per_minute }[name];
  if (!l) return rate ? h('span', { class: 'dim' }, count(rate)) : h('span', { class: 'dim' }, 'no limit');
  const used = rate ?? l.most - l.left;
  const write = name === 'budget' ? usd : count;
  const full = rate === undefined ? used / l.most : Math.max(used / l.most, 1 - l.left / l.burst);
  const title = rate === undefined ? '' : `${count(l.left)} of ${count(l.burst)} may be taken at once now`;
  return h('span', { class: 'level', title: title || null },
    bar(used, l.most, `${name} of ${team.team}: ${write(used)} of ${write(l.most)}`, full),
    h('span', { class: 'amount' }, `${write(used)} / ${write(l.most)}`, l.shadow ? h('em', {}, ' shadow') : null));
}

// state shows what a deployment is doing.
export function state(d) {
  const [words, color] = deployment(d);
  return h('span', { class: `state ${color}` }, words);
}

// left shows what is left of a deployment's tokens: as Azure says, and as we reckon.
export function left(d) {
  const azure = d.azure_left && d.azure_left.tokens >= 0 ? count(d.azure_left.tokens) : '–';
  const twin = d.twin_left && d.twin_left.tokens >= 0 ? count(d.twin_left.tokens) : '–';
  return h('span', { title: 'as Azure last said / as the gateway reckons' }, `${azure} / ${twin}`);
}

// reasons writes how often there was each reason.
export function reasons(by) {
  const all = Object.entries(by || {}).sort((a, b) => b[1] - a[1]);
  return all.length ? ` (${limitName(all[0][0])}${all.length > 1 ? ', …' : ''})` : '';
}

// few returns the most of a list that an overview shows: those that rank first, in the
// order in which they came.
const most = 12;
function few(all, rank) {
  if (all.length <= most) return all;
  const first = new Set([...all].sort((a, b) => rank(b) - rank(a)).slice(0, most));
  return all.filter((x) => first.has(x));
}

// more leads to those that are not shown.
function more(element, all, page, what) {
  fill(element, all.length > most ? [`${most} of ${all.length}, ${what} · `, h('a', { href: `#/${page}` }, 'all')] : null);
}

function tile(label, title) {
  const value = h('b', {}, '–');
  return { value, element: h('div', { class: 'tile', title: title || null }, value, h('span', {}, label)) };
}

export function overview({ root, latest, listen }) {
  const tiles = {
    requests: tile('requests', 'in the last half minute'), errors: tile('errors', 'of the last five minutes'),
    first: tile('p95 first token', 'of the last five minutes'), overhead: tile('added by us, p50', 'of the last five minutes'),
    open: tile('in flight'), spent: tile('spent today', 'since midnight, UTC'),
  };
  const requests = new Plot('Requests by outcome', 'per second');
  const tokens = new Plot('Tokens by team', 'per minute');
  const first = new Plot('First token', 'ms');
  const overhead = new Plot('Added by us', 'ms');
  const teams = table({
    label: 'Teams', key: (t) => t.team, empty: 'No team is configured.', columns: [
      { label: 'Team', show: (t) => h('a', { class: 'name', href: `#/teams/${encodeURIComponent(t.team)}` }, t.team) },
      { label: 'Requests / min', show: (t) => level(t, 'rpm') },
      { label: 'Tokens / min', show: (t) => level(t, 'tpm') },
      { label: 'Budget', show: (t) => level(t, 'budget') },
      { label: 'Refused, 1 h', number: true, show: (t) => h('a', { class: t.refused_1h ? 'warn' : 'dim', href: `#/requests?team=${encodeURIComponent(t.team)}&status=4xx` }, count(t.refused_1h), reasons(t.refused_by_1h)) },
      { label: 'p95 first token', number: true, show: (t) => ms(t.first_token_p95_ms) },
    ],
  });
  const places = table({
    label: 'Deployments', key: (d) => d.deployment, empty: 'No deployment is known yet.', columns: [
      { label: 'Deployment', show: (d) => h('a', { class: 'name', href: `#/deployments/${encodeURIComponent(d.deployment)}` }, d.deployment) },
      { label: 'State', show: state },
      { label: 'In flight', number: true, show: (d) => count(d.in_flight) },
      { label: '429 / min', number: true, show: (d) => h('span', { class: d.throttled_per_minute ? 'warn' : 'dim' }, count(d.throttled_per_minute)) },
      { label: 'p95', number: true, show: (d) => ms(d.latency_p95_ms) },
      { label: 'Tokens left: Azure / ours', number: true, show: left },
    ],
  });
  const others = { teams: h('span', { class: 'dim' }), places: h('span', { class: 'dim' }) };
  root.append(
    h('h1', { class: 'hidden' }, 'Overview'),
    h('section', { class: 'tiles', 'aria-label': 'Now' }, Object.values(tiles).map((t) => t.element)),
    h('section', { class: 'pair', 'aria-label': 'The last hour' }, requests.element, tokens.element),
    h('section', {}, heading('Teams', others.teams), teams.element),
    h('section', {}, heading('Deployments', others.places), places.element),
    h('section', { class: 'pair', 'aria-label': 'Times in the last hour' }, first.element, overhead.element));

  let shown = '';
  const event = (name, data) => {
    if (name === 'series') {
      requests.show(data, data.requests_per_second);
      tokens.show(data, data.tokens_per_minute || { tokens: data.requests_per_second.ok.map(() => null) });
      first.show(data, data.first_token_ms);
      overhead.show(data, data.overhead_ms);
    }
    if (name !== 'stats') return;
    const r = data.rates;
    text(tiles.requests.value, `${count(r.requests_per_second)}/s`);
    text(tiles.errors.value, percent(r.error_ratio));
    tiles.errors.value.className = r.error_ratio > 0.01 ? 'bad' : '';
    text(tiles.first.value, ms(r.first_token_p95_ms));
    text(tiles.overhead.value, ms(r.overhead_p50_ms));
    text(tiles.open.value, count(r.in_flight));
    text(tiles.open.element.lastChild, r.streams_open ? `in flight, ${count(r.streams_open)} stream${r.streams_open === 1 ? '' : 's'}` : 'in flight');
    text(tiles.spent.value, usd(r.spent_today_usd));
    teams.rows(few(data.teams, (t) => t.requests_1h));
    places.rows(few(data.deployments, (d) => (d.state === 'closed' ? 0 : 1e9) + d.attempts_per_minute));
    if (shown !== `${data.teams.length} ${data.deployments.length}`) {
      more(others.teams, data.teams, 'teams', 'the busiest of this hour');
      more(others.places, data.deployments, 'deployments', 'those that fail and the busiest');
      shown = `${data.teams.length} ${data.deployments.length}`;
    }
  };
  if (latest.series) event('series', latest.series);
  if (latest.stats) event('stats', latest.stats);
  listen('?events=stats');
  return { event, close: () => { [requests, tokens, first, overhead].forEach((p) => p.close()); } };
}
