// The requests as they end. Filters stand in the URL; a row opens to what became of
// its attempts.

import { get } from './api.js';
import { h, fill, facts, text } from './dom.js';
import { clock, count, exact, ms, outcome, usd } from './format.js';

const most = 300; // rows on the page
const fields = [
  ['team', 'Team'], ['key', 'Key'], ['model', 'Model'], ['deployment', 'Deployment'], ['outcome', 'Outcome'], ['code', 'Code'], ['status', 'Status'],
];
const outcomes = ['ok', 'refused_policy', 'refused_limit', 'client_error', 'upstream_error', 'gateway_error', 'client_gone'];

// badge shows how a request ended.
export function badge(r) {
  const [words, color] = outcome(r.outcome);
  return h('span', { class: `badge ${color}` }, r.status || '', ' ', words);
}

// curl writes the request as a command, but for its content, which nobody here has.
export function curl(r) {
  const path = r.route.replace(':deployment', encodeURIComponent((r.deployment || r.model || 'DEPLOYMENT').split('/').pop())).replace(/:(\w+)/g, (_, name) => name.toUpperCase());
  const quote = (s) => `'${s.replaceAll("'", String.raw`'\''`)}'`;
  const lines = [`curl -sS "$WEIR_URL"${quote(path)}`, '-H "Authorization: Bearer $WEIR_KEY"'];
  if (r.method !== 'GET') {
    const body = { ...(r.model ? { model: r.model } : {}), ...(r.stream ? { stream: true } : {}), ...(/chat/.test(path) ? { messages: [{ role: 'user', content: '…' }] } : {}) };
    lines.push("-H 'Content-Type: application/json'", `-d ${quote(JSON.stringify(body))}`);
  }
  return lines.join(' \\\n  ');
}

// timeline shows where the time of a request went, one line an attempt.
export function timeline(r) {
  const total = Math.max(r.duration_ms, 0.001);
  let at = Math.min(r.overhead_ms, total);
  const lines = [];
  const add = (what, kind, from, length, notes) => {
    const part = h('span', { class: `span ${kind}` });
    part.style.marginLeft = `${Math.min(99, (from / total) * 100)}%`;
    part.style.width = `${Math.max(0.6, Math.min(100 - (from / total) * 100, (length / total) * 100))}%`;
    lines.push(h('li', {}, h('div', { class: 'what' }, what), h('div', { class: 'track', 'aria-hidden': 'true' }, part), h('div', { class: 'notes' }, notes)));
  };
  add('gateway', 'own', 0, r.overhead_ms, [h('b', {}, ms(r.overhead_ms)), ' checking, counting and reserving']);
  r.attempts.forEach((a, i) => {
    if (a.wait_ms >= 1) { add('wait', 'wait', at, a.wait_ms, [h('b', {}, ms(a.wait_ms)), i === 0 ? ' for room' : ' before the next attempt']); }
    at += a.wait_ms;
    const good = !a.reason;
    add(`attempt ${i + 1}`, good ? 'good' : 'bad', at, a.duration_ms, [
      h('b', {}, a.deployment), ' ', h('span', { class: `badge ${good ? 'good' : 'bad'}` }, a.status || 'no answer', a.reason && a.reason !== String(a.status) ? ` ${a.reason}` : ''),
      ' ', h('b', {}, ms(a.duration_ms)), a.temperature === undefined ? null : [' temperature ', h('b', {}, String(a.temperature))],
      a.sent ? null : ' nothing was sent',
    ]);
    at += a.duration_ms;
  });
  if (r.attempts.length && r.duration_ms - at > 1) add(r.stream ? 'stream' : 'answer', 'stream', at, r.duration_ms - at, [h('b', {}, ms(r.duration_ms - at)), r.stream ? ' of streaming' : ' until it was sent']);
  if (!r.attempts.length) lines.push(h('li', { class: 'none' }, 'Nobody was asked: it was answered by the gateway itself.'));
  return h('ol', { class: 'timeline', 'aria-label': 'Timeline' }, lines);
}

// detail shows all that is known of a request.
export function detail(r) {
  const said = h('span', { class: 'said', role: 'status' });
  const copy = h('button', { type: 'button', onclick: async () => {
    try {
      await navigator.clipboard.writeText(curl(r));
      text(said, 'Copied, without the content.');
    } catch {
      fill(said, h('textarea', { rows: 4, readonly: true, 'aria-label': 'The request as curl' }, curl(r)));
    }
  } }, 'Copy as curl');
  const tokens = `${exact(r.input_tokens)} in${r.cached_tokens ? ` (${exact(r.cached_tokens)} cached)` : ''}, ${exact(r.output_tokens)} out${r.reasoning_tokens ? ` (${exact(r.reasoning_tokens)} reasoning)` : ''}${r.counted ? ', counted here' : ''}`;
  const rules = [...(r.rules || []).map((x) => `${x.rule}: ${x.action}`), ...(r.shadowed || []).map((x) => `${x} (shadow)`)];
  return h('div', { class: 'detail' },
    timeline(r),
    facts([
      ['Tokens', tokens], ['Counted before', r.estimated_input_tokens ? exact(r.estimated_input_tokens) : ''], ['Reserved', r.reserved_tokens ? exact(r.reserved_tokens) : ''],
      ['Cost', usd(r.cost_usd)], ['First token', r.first_token_ms ? ms(r.first_token_ms) : ''], ['Whole', ms(r.duration_ms)], ['Added by us', ms(r.overhead_ms)],
      ['Queued', r.queued_ms ? ms(r.queued_ms) : ''], ['Error code', r.code], ['Limit', r.limit], ['Policy', r.policy], ['Rules', rules.join(', ')],
      ['Special tokens escaped', r.escaped], ['Messages trimmed', r.trimmed_messages], ['Output bound set', r.max_tokens_set],
      ['Finish', r.finish_reason], ['Model that answered', r.served_model], ['Spilled to', r.spilled_to], ['Region', r.azure_region],
      ['Client', r.client], ['User agent', r.user_agent], ['Client retry', r.client_retry], ['Request id', h('code', {}, r.request_id)],
      ['Trace id', r.trace_id ? h('code', {}, r.trace_id) : ''], ['Azure request id', r.azure_request_id ? h('code', {}, r.azure_request_id) : ''],
    ]),
    h('p', { class: 'actions' }, copy, said));
}

// rowOf makes the row of a request, which opens to its detail.
function rowOf(r) {
  let open = null;
  const button = h('button', { type: 'button', class: 'opener', 'aria-expanded': 'false', onclick: () => {
    if (open) { open.remove(); open = null; } else { open = h('tr', { class: 'opened' }, h('td', { colspan: 9 }, detail(r))); row.after(open); }
    button.setAttribute('aria-expanded', String(open !== null));
  } }, h('span', { 'aria-hidden': 'true', class: 'chevron' }, '›'), clock(r.start));
  const tries = r.attempts.length;
  const row = h('tr', { 'data-n': r.n },
    h('th', { scope: 'row' }, button),
    h('td', {}, badge(r)), h('td', {}, h('span', { class: 'name' }, r.team || h('span', { class: 'dim' }, 'nobody'), r.key ? h('span', { class: 'dim' }, ` ${r.key}`) : null)),
    h('td', {}, h('span', { class: 'name' }, r.model || h('span', { class: 'dim' }, '–'))),
    h('td', {}, h('span', { class: 'name' }, r.deployment || h('span', { class: 'dim' }, r.code || '–'))),
    h('td', { class: `number ${tries > 1 ? 'warn' : ''}` }, tries),
    h('td', { class: 'number' }, count(r.input_tokens + r.output_tokens)),
    h('td', { class: 'number' }, ms(r.first_token_ms || null)), h('td', { class: 'number' }, ms(r.duration_ms)));
  return row;
}

export function requests({ root, at, latest, listen }) {
  let query = at.query;
  let live = true;
  let next = 0;
  let newest = 0; // of the list, -1 where there is none
  let room = most;
  let waiting = [];
  const body = h('tbody');
  const inputs = {};
  const lists = { team: h('datalist', { id: 'l-team' }), deployment: h('datalist', { id: 'l-deployment' }), model: h('datalist', { id: 'l-model' }) };
  const suggest = (stats) => {
    const all = { team: stats.teams.map((t) => t.team), deployment: stats.deployments.map((d) => d.deployment), model: [...new Set(stats.deployments.flatMap((d) => d.models || []))] };
    for (const [name, values] of Object.entries(all)) if (lists[name].children.length !== values.length) fill(lists[name], values.map((v) => h('option', { value: v })));
  };
  if (latest.stats) suggest(latest.stats);
  for (const [name, label] of fields) {
    const options = name === 'outcome' ? outcomes : null;
    inputs[name] = options
      ? h('select', { id: `f-${name}` }, h('option', { value: '' }, 'any'), options.map((o) => h('option', { value: o }, outcome(o)[0])))
      : h('input', { id: `f-${name}`, autocomplete: 'off', spellcheck: 'false', list: lists[name] ? `l-${name}` : null, placeholder: name === 'status' ? '5xx' : 'any', size: 9 });
    inputs[name].addEventListener('change', apply);
    inputs[name].dataset.label = label;
  }
  const note = h('p', { class: 'note', role: 'status' });
  const pause = h('button', { type: 'button', 'aria-pressed': 'false', onclick: () => {
    live = !live;
    pause.setAttribute('aria-pressed', String(!live));
    fill(pause, live ? 'Pause' : 'Go on');
    if (live) { waiting.forEach(prepend); waiting = []; tell(); }
  } }, 'Pause');
  const more = h('button', { type: 'button', class: 'more', onclick: older }, 'Older ones');
  const filters = h('form', { class: 'filters', 'aria-label': 'Filters', onsubmit: (e) => { e.preventDefault(); apply(); } },
    fields.map(([name, label]) => h('div', {}, h('label', { for: `f-${name}` }, label), inputs[name], lists[name])),
    h('button', { type: 'button', class: 'quiet', onclick: () => { location.hash = '#/requests'; } }, 'Clear'), h('button', { type: 'submit', class: 'hidden', tabindex: -1 }, 'Filter'));
  root.append(
    h('div', { class: 'heading' }, h('h1', {}, 'Requests'), note, pause), filters,
    h('div', { class: 'scroll', role: 'region', 'aria-label': 'Requests', tabindex: 0 }, h('table', { class: 'requests' },
      h('thead', {}, h('tr', {}, ['Time', 'Outcome', 'Team and key', 'Model', 'Deployment'].map((c) => h('th', { scope: 'col' }, c)), ['Tries', 'Tokens', 'First', 'Whole'].map((c) => h('th', { scope: 'col', class: 'number' }, c)))), body)),
    h('p', { class: 'center' }, more));

  function apply() {
    const to = new URLSearchParams();
    for (const [name] of fields) if (inputs[name].value.trim()) to.set(name, inputs[name].value.trim());
    for (const name of ['q', 'since']) if (query.get(name)) to.set(name, query.get(name));
    const hash = `#/requests${to.size ? `?${to}` : ''}`;
    if (location.hash !== hash) location.hash = hash;
  }

  // asked returns the filters that the gateway knows.
  function asked(extra = {}) {
    const to = new URLSearchParams(extra);
    for (const name of [...fields.map(([n]) => n), 'q', 'since']) if (query.get(name)) to.set(name, query.get(name));
    return to;
  }

  async function load() {
    for (const [name] of fields) inputs[name].value = query.get(name) || '';
    document.getElementById('q').value = query.get('q') || '';
    const mine = query;
    const stream = asked();
    stream.delete('since');
    waiting = [];
    try {
      const list = await get(`/admin/v1/requests?${asked({ limit: 100 })}`);
      if (mine !== query) return;
      body.replaceChildren();
      list.data.forEach((r) => body.append(rowOf(r)));
      next = list.next || 0;
      newest = list.data[0]?.n || 0;
      room = most;
      tell();
      listen(stream.size ? `?${stream}` : '');
    } catch (e) {
      if (mine !== query) return;
      body.replaceChildren();
      next = 0;
      newest = -1;
      more.hidden = true;
      listen('?events=stats');
      text(note, e.message);
    }
  }

  async function older() {
    if (room === Infinity) return; // they are on their way
    const had = room;
    const mine = query;
    const from = next;
    room = Infinity; // so that none goes while those below it come
    try {
      const list = await get(`/admin/v1/requests?${asked({ limit: 100, before: from })}`);
      if (mine !== query || from !== next) return; // they belong to another list
      list.data.forEach((r) => body.append(rowOf(r)));
      next = list.next || 0;
      room = Math.max(had, body.querySelectorAll('[data-n]').length);
      tell();
    } catch (e) {
      if (mine !== query || from !== next) return;
      room = had;
      text(note, e.message);
    }
  }

  // joined fetches those that ended between the list and the stream.
  async function joined() {
    if (newest < 0) return;
    const mine = query;
    const list = await get(`/admin/v1/requests?${asked({ limit: 100 })}`).catch(() => null);
    if (mine === query) list?.data.filter((r) => r.n > newest).reverse().forEach(take);
  }

  // take shows a request, or counts it while the page is paused.
  function take(r) {
    if (live) { prepend(r); return; }
    if (!waiting.some((w) => w.n === r.n)) waiting = [...waiting.slice(-most), r];
    tell();
  }

  function tell(lost) {
    more.hidden = next === 0;
    if (!body.firstChild) body.append(h('tr', { class: 'nothing' }, h('td', { colspan: 9, class: 'empty' }, 'No request here yet. They appear as they end.')));
    const q = query.get('q');
    text(note, [q ? `with “${q}”` : '', lost ? `${lost} left out: too many at once` : '', !live && waiting.length ? `${waiting.length} new` : ''].filter(Boolean).join(' · '));
  }

  function prepend(r) {
    if (body.querySelector(`[data-n="${r.n}"]`)) return;
    body.querySelector('.nothing')?.remove();
    const row = rowOf(r);
    row.classList.add('new');
    body.insertBefore(row, [...body.querySelectorAll('[data-n]')].find((other) => Number(other.dataset.n) < r.n) || null);
    while (body.rows.length > room && !body.lastElementChild.contains(document.activeElement)) {
      body.lastElementChild.remove();
      next = Number([...body.querySelectorAll('[data-n]')].at(-1).dataset.n);
      more.hidden = false;
    }
  }

  load();
  return {
    again: load,
    joined,
    moved: (to) => { query = to.query; load(); return true; },
    event: (name, data) => {
      if (name === 'lost') tell(data);
      if (name === 'stats') suggest(data);
      if (name !== 'request') return;
      take(data);
    },
    close: () => { document.getElementById('q').value = ''; },
  };
}
