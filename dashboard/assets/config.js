// The configuration that is served by, without its secrets.

import { get } from './api.js';
import { h, fill, facts, text } from './dom.js';
import { ago, moment } from './format.js';

// line colors a line of YAML.
function line(s) {
  const [, indent, dash, key, rest] = s.match(/^(\s*)((?:- )*)([\w.\/-]+:|"[^"]*":)?(.*)$/);
  const value = /^\s*"?\[secret\]"?$/.test(rest) ? 'secret' : /^\s*(-?\d|true|false|null)/.test(rest) ? 'plain' : 'text';
  return [indent, dash, key ? h('b', {}, key) : null, h('span', { class: value }, rest), '\n'];
}

export function config({ root, listen }) {
  const told = h('div');
  const problems = h('div');
  const code = h('pre', { tabindex: 0, 'aria-label': 'The configuration' });
  root.append(h('div', { class: 'heading' }, h('h1', {}, 'Config'), h('span', { class: 'dim' }, 'with defaults filled in and secrets masked; the file stays the truth')), told, problems, code);
  let hash = null;
  async function load() {
    try {
      const c = await get('/admin/v1/config');
      fill(told, facts([
        ['Source', c.source], ['Hash', c.hash ? h('code', {}, c.hash) : ''], ['Last read', c.at ? h('span', { title: moment(c.at) }, ago(c.at)) : ''],
        ['Taken', c.ok ? h('span', { class: 'good' }, 'yes') : h('span', { class: 'bad' }, 'no: the one before stays')],
        ['Version', c.version], ['Running since', c.began ? moment(c.began) : ''],
      ]));
      const notes = [c.error ? ['bad', c.error] : null, ...(c.problems || []).map((p) => ['warn', p]), ...(c.restart_needed || []).map((s) => ['warn', `${s} was changed and holds only after a restart`])].filter(Boolean);
      fill(problems, notes.length ? h('ul', { class: 'problems' }, notes.map(([color, p]) => h('li', { class: color }, p))) : null);
      fill(code, c.yaml.split('\n').map(line));
    } catch (e) {
      text(told, e.message);
    }
  }
  load();
  listen('?events=stats');
  return { event: (name, data) => {
    if (name !== 'stats') return;
    const now = `${data.config.hash} ${data.config.at} ${data.config.ok}`;
    if (hash !== null && hash !== now) load();
    hash = now;
  } };
}
