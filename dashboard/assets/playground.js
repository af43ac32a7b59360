// The playground: a request through the gateway with a key, as any client sends it,
// and what the gateway makes of it. The key is kept in memory alone.

import { ask, events, get } from './api.js';
import { h, fill, facts, put, table, text } from './dom.js';
import { count, exact, ms, usd } from './format.js';

const kept = { key: '', model: '', temperature: '', tokens: '', stream: true, messages: [{ role: 'system', content: 'Answer in one sentence.' }, { role: 'user', content: 'What is a weir?' }] };
const telling = ['unicode-500', 'unicode-stream', 'special-token-500', 'rate-limit', 'server-error', 'unavailable', 'content-filter', 'context-length', 'error-event', 'cut-stream', 'reset', 'silence', 'slow'];
const shownHeaders = /^(x-weir-|x-request-id|x-ratelimit-|retry-after|x-should-retry|content-type)/;

export function playground({ root, latest, listen }) {
  const tokensOf = [];
  const messages = h('div', { class: 'messages' });
  const key = h('input', { id: 'p-key', type: 'password', autocomplete: 'off', spellcheck: 'false', value: kept.key, oninput: () => { kept.key = key.value; } });
  const model = h('input', { id: 'p-model', list: 'p-models', autocomplete: 'off', spellcheck: 'false', value: kept.model, oninput: () => { kept.model = model.value; } });
  const models = h('datalist', { id: 'p-models' });
  const temperature = h('input', { id: 'p-temperature', type: 'number', min: 0, max: 2, step: 0.1, placeholder: 'unset', value: kept.temperature, oninput: () => { kept.temperature = temperature.value; } });
  const tokens = h('input', { id: 'p-tokens', type: 'number', min: 1, placeholder: 'unset', value: kept.tokens, oninput: () => { kept.tokens = tokens.value; } });
  const stream = h('input', { id: 'p-stream', type: 'checkbox', checked: kept.stream, onchange: () => { kept.stream = stream.checked; } });
  const send = h('button', { type: 'submit', class: 'primary' }, 'Send');
  const explain = h('button', { type: 'button', onclick: () => explained() }, 'Explain');
  const stop = h('button', { type: 'button', class: 'quiet', hidden: true }, 'Stop');
  const demo = h('div');
  const answer = h('div', { class: 'answer', 'aria-live': 'polite' }, h('p', { class: 'dim' }, 'Send the messages to see what the model answers, or let the gateway explain what it would do, without calling anyone.'));
  const told = h('div');
  const why = h('div');

  root.append(
    h('div', { class: 'heading' }, h('h1', {}, 'Playground'), h('span', { class: 'dim' }, 'sends through this gateway, and counts against the key’s limits')),
    h('div', { class: 'play' },
      h('form', { class: 'ask', onsubmit: (e) => { e.preventDefault(); sent(); } },
        h('div', { class: 'fields' },
          h('div', {}, h('label', { for: 'p-key' }, 'API key'), key), h('div', {}, h('label', { for: 'p-model' }, 'Model'), model, models),
          h('div', {}, h('label', { for: 'p-temperature' }, 'Temperature'), temperature), h('div', {}, h('label', { for: 'p-tokens' }, 'Most tokens'), tokens),
          h('div', { class: 'check' }, stream, h('label', { for: 'p-stream' }, 'Stream'))),
        messages,
        h('p', { class: 'actions' }, send, explain, stop, h('button', { type: 'button', class: 'quiet', onclick: () => { kept.messages.push({ role: 'user', content: '' }); draw(kept.messages.length - 1); } }, 'Add a message')),
        demo),
      h('div', { class: 'got' }, h('h2', {}, 'Answer'), answer, told, why)));

  // draw writes the messages, and puts the cursor into one.
  function draw(focused) {
    tokensOf.length = 0;
    fill(messages, kept.messages.map((m, i) => {
      const role = h('select', { 'aria-label': `Role of message ${i + 1}`, onchange: () => { m.role = role.value; } }, ['system', 'developer', 'user', 'assistant'].map((r) => h('option', { value: r, selected: r === m.role }, r)));
      const content = h('textarea', { rows: Math.min(8, Math.max(2, Math.ceil(m.content.length / 60))), 'aria-label': `Message ${i + 1}`, oninput: () => { m.content = content.value; text(tokensOf[i], ''); } });
      content.value = m.content;
      content.addEventListener('keydown', (e) => { if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) sent(); });
      tokensOf[i] = h('span', { class: 'tokens' });
      return h('div', { class: 'message' }, h('div', { class: 'side' }, role, tokensOf[i],
        kept.messages.length > 1 ? h('button', { type: 'button', class: 'quiet icon', 'aria-label': `Remove message ${i + 1}`, onclick: () => { kept.messages.splice(i, 1); draw(); } }, '×') : null), content);
    }));
    if (focused !== undefined) messages.querySelectorAll('textarea')[focused]?.focus();
  }

  function body() {
    return {
      model: model.value, messages: kept.messages, ...(temperature.value === '' ? {} : { temperature: Number(temperature.value) }),
      ...(tokens.value === '' ? {} : { max_completion_tokens: Number(tokens.value) }),
    };
  }

  // play sends a request by way of the admin port.
  const play = (request, signal) => ask('/admin/v1/playground', {
    method: 'POST', own: true, signal, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ key: key.value, ...request }),
  });

  function headers(response, began, first) {
    const all = [...response.headers].filter(([name]) => shownHeaders.test(name)).sort();
    fill(told,
      h('p', { class: 'result' }, h('span', { class: `badge ${response.ok ? 'good' : 'bad'}` }, response.status, response.ok ? ' ok' : ''), ' ',
        first ? `first byte after ${ms(first)}, ` : '', `whole ${ms(performance.now() - began)}`),
      h('details', { open: true }, h('summary', {}, 'Headers'), h('dl', { class: 'headers' }, all.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))))));
  }

  async function sent() {
    const halt = new AbortController();
    stop.hidden = false;
    stop.onclick = () => halt.abort();
    send.disabled = true;
    fill(answer);
    fill(told);
    const began = performance.now();
    let first = 0;
    try {
      const response = await play({ body: { ...body(), ...(stream.checked ? { stream: true, stream_options: { include_usage: true } } : {}) } }, halt.signal);
      first = performance.now() - began;
      if (response.ok && /event-stream/.test(response.headers.get('content-type'))) await streamed(response);
      else whole(response, await response.text());
      headers(response, began, first);
    } catch (e) {
      put(answer, h('p', { class: 'bad' }, halt.signal.aborted ? 'Stopped.' : `The answer broke off: ${e.message}`));
    }
    stop.hidden = true;
    send.disabled = false;
  }

  async function streamed(response) {
    const out = h('p', { class: 'text' });
    const used = h('p', { class: 'dim' });
    fill(answer, out, used);
    await events(response.body, (_, data) => {
      if (data === '[DONE]') return;
      const chunk = JSON.parse(data);
      if (chunk.error) { put(answer, h('p', { class: 'bad' }, chunk.error.message)); return; }
      put(out, chunk.choices?.[0]?.delta?.content || '');
      if (chunk.usage) text(used, usage(chunk.usage));
    });
  }

  const usage = (u) => `${exact(u.prompt_tokens)} tokens in, ${exact(u.completion_tokens)} out`;

  function whole(response, raw) {
    let got = null;
    try { got = JSON.parse(raw); } catch { /* it is shown as it is */ }
    if (got?.error) {
      fill(answer, h('p', { class: 'bad' }, got.error.message), facts([['Code', got.error.code], ['Type', got.error.type], ['Field', got.error.param]]));
      return;
    }
    const content = got?.choices?.[0]?.message?.content;
    fill(answer, content === undefined || content === null ? h('pre', { tabindex: 0, 'aria-label': 'Answer' }, raw.slice(0, 20_000)) : h('p', { class: 'text' }, content), got?.usage ? h('p', { class: 'dim' }, usage(got.usage)) : null);
  }

  async function explained() {
    fill(why, h('p', { class: 'dim' }, 'Asking…'));
    try {
      const response = await play({ body: body(), explain: true });
      const e = await response.json();
      if (!response.ok || e.error && !e.object) { fill(why, h('h2', {}, 'Explain'), h('p', { class: 'bad' }, e.error?.message || `The gateway answers ${response.status}.`)); return; }
      show(e);
    } catch (e) {
      fill(why, h('p', { class: 'bad' }, e.message));
    }
  }

  function show(e) {
    const p = e.prompt_tokens;
    (p.messages || []).forEach((n, i) => { if (tokensOf[i]) text(tokensOf[i], `${exact(n)} tokens`); });
    const rules = [];
    if (e.error) rules.push([e.error.code, e.error.message, 'bad']);
    if (e.changes.special_tokens_escaped) rules.push(['special_tokens', `${e.changes.special_tokens_escaped} escaped`, 'warn']);
    if (e.changes.messages_trimmed) rules.push(['context window', `${e.changes.messages_trimmed} messages trimmed`, 'warn']);
    if (e.changes.max_tokens_set) rules.push(['output', `bound set to ${exact(e.changes.max_tokens_set)}`, 'warn']);
    (e.shadow || []).forEach((s) => rules.push([s, 'in shadow mode: let pass', 'dim']));
    const candidates = table({ label: 'Deployments', key: (c) => c.deployment, empty: 'None was looked at.', columns: [
      { label: 'Deployment', show: (c) => c.deployment },
      { label: 'Would it be asked?', show: (c) => (c.chosen ? h('span', { class: 'good' }, 'first') : c.reason || 'behind the first') },
    ] });
    candidates.rows(e.deployments || []);
    fill(why, h('h2', {}, 'Explain'),
      h('p', { class: 'result' }, h('span', { class: `badge ${e.decision === 'forward' ? 'good' : 'bad'}` }, e.status || '', ' ', e.decision), ` as ${e.model}${e.base_model && e.base_model !== e.model ? ` (${e.base_model})` : ''}. Nobody was called.`),
      facts([
        ['Prompt', `${exact(p.total)} tokens${p.estimated ? ', estimated' : ''}`], ['Tools', p.tools ? exact(p.tools) : ''], ['Overhead', p.overhead ? exact(p.overhead) : ''],
        ['Window', e.window.context ? count(e.window.context) : ''], ['Most output', e.window.max_output ? count(e.window.max_output) : ''],
        ['Would reserve', `${exact(e.reserved_tokens)} tokens, ${usd(e.reserved_usd)}`],
        ...Object.entries(e.limits || {}).map(([name, l]) => [`Left of ${name}`, `${count(l.remaining)} of ${count(l.limit)}`]),
        ['Left of the budget', e.budget ? `${usd(e.budget.remaining_usd)} of ${usd(e.budget.limit_usd)}` : ''],
      ]),
      h('h3', {}, 'Rules that fired'), rules.length ? h('ul', { class: 'problems' }, rules.map(([name, words, color]) => h('li', { class: color }, h('b', {}, name), ' ', words))) : h('p', { class: 'dim' }, 'None.'),
      h('h3', {}, 'Deployments'), candidates.element);
  }

  get('/admin/v1/config').then((c) => {
    if (!c.demo) return;
    if (!kept.key) { kept.key = c.demo.key; key.value = kept.key; }
    fill(demo, h('details', { class: 'faults', open: true }, h('summary', {}, `Let the simulated Azure fail (${c.demo.faults.length} ways)`),
      h('div', { class: 'chips' }, [...c.demo.faults].sort((a, b) => ((telling.indexOf(a.name) + 1) || 99) - ((telling.indexOf(b.name) + 1) || 99)).map((f) => h('button', { type: 'button', class: telling.includes(f.name) ? 'chip telling' : 'chip', title: f.does, 'data-fault': f.name, onclick: () => {
        const last = kept.messages.findLast((m) => m.role === 'user') || kept.messages.at(-1);
        last.content = `!${f.name}`;
        draw();
        sent();
      } }, f.name)))));
  }).catch((e) => put(demo, h('p', { class: 'bad' }, e.message)));

  const event = (name, data) => {
    if (name !== 'stats' || models.firstChild) return;
    const all = [...new Set(data.deployments.flatMap((d) => d.models || []))].sort();
    fill(models, all.map((m) => h('option', { value: m })));
    if (!model.value && all.length) { model.value = all.find((m) => m.startsWith('gpt-4o')) || all[0]; kept.model = model.value; }
  };
  draw();
  if (latest.stats) event('stats', latest.stats);
  listen('?events=stats');
  return { event };
}
