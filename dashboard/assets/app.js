// The frame of the page: which page is shown, the stream that all share, and what
// the header tells. Where somebody is stands in the URL behind #, which no server
// and no log sees.

import { Live } from './api.js';
import { h, fill, text } from './dom.js';
import { ago, told } from './format.js';
import { overview } from './overview.js';
import { requests } from './requests.js';
import { teams } from './teams.js';
import { deployments } from './deployments.js';
import { playground } from './playground.js';
import { config } from './config.js';

const pages = { '': overview, requests, teams, deployments, playground, config };
const titles = { '': 'Overview', requests: 'Requests', teams: 'Teams', deployments: 'Deployments', playground: 'Playground', config: 'Config' };

const main = document.getElementById('main');
const nav = document.getElementById('nav');
const search = document.getElementById('q');
let page = null;
let shown = null;
let away = false; // the stream broke off: what happened since is not known
const latest = {};

for (const [name, title] of Object.entries(titles)) nav.append(h('a', { href: `#/${name}`, 'data-page': name }, title));

// named returns a name from a URL, as it stands there where it is malformed.
function named(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

// where returns what the URL asks for: a page, what of it, and its parameters.
function where() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [name, ...rest] = path.split('/');
  return { name: Object.hasOwn(pages, name) ? name : '', item: named(rest.join('/')), query: new URLSearchParams(query) };
}

const live = new Live((name, data) => {
  latest[name] = data;
  if (name === 'stats') { told(data.now); status(data); }
  page?.event?.(name, data);
}, (connected) => {
  if (!connected) status(null);
  else if (away) page?.again?.();
  else page?.joined?.();
  away = !connected;
});

// status tells in the header how the gateway fares.
function status(stats) {
  const e = document.getElementById('status');
  if (!stats) {
    e.className = 'status bad';
    text(e, 'not connected');
    return;
  }
  const ok = stats.state === 'ok' && stats.config.ok;
  e.className = `status ${ok ? 'good' : 'warn'}`;
  const parts = [stats.state === 'ok' ? 'serving' : stats.state];
  if (!stats.config.ok) parts.push('reload failed');
  const read = stats.config.at ? ago(stats.config.at) : '';
  parts.push(stats.config.hash ? `config ${stats.config.hash} · ${read}` : read ? `since ${read}`.replace('since just now', 'from now').replace(/since (.*) ago/, 'for $1') : '');
  text(e, parts.filter(Boolean).join(' · '));
}

function route() {
  if (location.hash === '#main') { history.replaceState(null, '', shown?.hash || '#/'); main.focus(); return; }
  const at = where();
  const hash = location.hash;
  if (shown && page?.moved && shown.name === at.name && page.moved(at)) { shown = { ...at, hash }; return; }
  const first = shown === null;
  page?.close?.();
  shown = { ...at, hash };
  document.title = `${titles[at.name]} · weir`;
  for (const a of nav.children) {
    if (a.dataset.page === at.name) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  main.replaceChildren();
  page = pages[at.name]({ root: main, at, latest, listen: (query) => live.listen(query) });
  if (!first) { main.focus({ preventScroll: true }); scrollTo(0, 0); }
}

// The theme is the system's until somebody chooses, and then stands in the URL.
const themes = ['', 'light', 'dark'];
function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  const url = new URL(location.href);
  if (theme) url.searchParams.set('theme', theme); else url.searchParams.delete('theme');
  if (url.href !== location.href) history.replaceState(null, '', url);
  const button = document.getElementById('theme');
  const name = { '': 'as the system', light: 'light', dark: 'dark' }[theme];
  button.setAttribute('aria-label', `Colors: ${name}`);
  button.title = `Colors: ${name}`;
  fill(button, { '': '◐', light: '○', dark: '●' }[theme]);
  document.dispatchEvent(new Event('theme'));
}
let theme = themes.includes(new URLSearchParams(location.search).get('theme')) ? new URLSearchParams(location.search).get('theme') : '';
document.getElementById('theme').addEventListener('click', () => {
  theme = themes[(themes.indexOf(theme) + 1) % themes.length];
  setTheme(theme);
});
setTheme(theme);

document.getElementById('search').addEventListener('submit', (e) => {
  e.preventDefault();
  const query = where().name === 'requests' ? where().query : new URLSearchParams();
  if (search.value.trim()) query.set('q', search.value.trim()); else query.delete('q');
  location.hash = `#/requests?${query}`;
});
document.addEventListener('keydown', (e) => {
  if (e.key !== '/' || e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName)) return;
  e.preventDefault();
  search.focus();
  search.select();
});

addEventListener('hashchange', route);
route();
