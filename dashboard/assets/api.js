// Asks the gateway. The admin token, where there is one, is asked for once and kept
// in this variable alone: it is gone with the page.

import { h } from './dom.js';

let token = '';
let asking = null;

// headers returns those of every question.
function headers(more = {}) {
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

// ask sends a request, and once more for each token that somebody types.
export async function ask(path, options = {}) {
  for (;;) {
    const used = token;
    const answer = await fetch(path, { ...options, headers: headers(options.headers), cache: 'no-store', credentials: 'omit', redirect: 'error' });
    if (answer.status !== 401 || options.own) return answer;
    if (used === token) await askToken(used !== '');
  }
}

// get returns the JSON at a path, or throws what the gateway says instead.
export async function get(path, options) {
  const answer = await ask(path, options);
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(body?.error?.message || `The gateway answers ${answer.status}.`);
  return body;
}

// askToken lets somebody type the token, one dialog at a time.
function askToken(wrong) {
  if (asking) return asking;
  asking = new Promise((done) => {
    const input = h('input', { id: 'token', type: 'password', autocomplete: 'off', required: true, spellcheck: 'false' });
    const dialog = h('dialog', { class: 'token', 'aria-labelledby': 'token-title' },
      h('form', { method: 'dialog' },
        h('h2', { id: 'token-title' }, 'Admin token'),
        h('p', {}, wrong ? 'That was not it. ' : '', 'It is what admin.token in the configuration holds. This page keeps it in memory alone, until you close it.'),
        h('label', { for: 'token' }, 'Token'), input,
        h('button', { type: 'submit', class: 'primary' }, 'Open')));
    dialog.addEventListener('cancel', (e) => e.preventDefault());
    dialog.addEventListener('close', () => {
      token = input.value.trim();
      dialog.remove();
      asking = null;
      done();
    });
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
  return asking;
}

// download saves what a path answers as a file.
export async function download(path, name) {
  const answer = await ask(path);
  if (!answer.ok) throw new Error(`The gateway answers ${answer.status}.`);
  const url = URL.createObjectURL(await answer.blob());
  h('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// events reads server-sent events from a body, which EventSource could not ask for
// with a header.
export async function events(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    let end;
    while ((end = rest.indexOf('\n\n')) >= 0) {
      const event = { name: 'message', data: '' };
      for (const line of rest.slice(0, end).split('\n')) {
        if (line.startsWith('event: ')) event.name = line.slice(7);
        if (line.startsWith('data: ')) event.data += line.slice(6);
      }
      rest = rest.slice(end + 2);
      if (event.data !== '') take(event.name, event.data);
    }
  }
}

// silent is after how many milliseconds without a word the stream is thought to be
// broken: it tells something each second.
const silent = 12_000;

// Live is the stream of what happens. It comes back by itself.
export class Live {
  constructor(take, state) {
    this.take = take;
    this.state = state;
    this.query = null;
    this.stop = null;
  }

  // listen asks for other events from now on.
  listen(query) {
    if (query === this.query) return;
    this.query = query;
    this.stop?.abort();
    this.run(query);
  }

  async run(query) {
    let stop = null;
    for (let wait = 500; this.stop === stop || stop === null; wait = Math.min(wait * 2, 10_000)) {
      stop = new AbortController();
      this.stop = stop;
      let watch = 0;
      try {
        const answer = await ask(`/admin/v1/stream${query}`, { signal: stop.signal });
        if (!answer.ok) throw new Error(`The gateway answers ${answer.status}.`);
        if (this.stop !== stop) return;
        this.state(true);
        wait = 500;
        let heard = Date.now();
        watch = setInterval(() => { if (Date.now() - heard > silent) stop.abort(); }, 1000);
        await events(answer.body, (name, data) => {
          heard = Date.now();
          if (this.stop === stop) this.take(name, JSON.parse(data));
        });
      } catch { /* it is told below */ } finally { clearInterval(watch); }
      if (this.stop !== stop) return;
      this.state(false);
      await new Promise((done) => setTimeout(done, wait));
    }
  }
}
