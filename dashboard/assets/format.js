// Writes numbers as people read them.

const none = '–';
const known = (x) => x !== null && x !== undefined && !Number.isNaN(x);

// count writes a number: 9 421, 213 k, 1.2 M.
export function count(n) {
  if (!known(n)) return none;
  const a = Math.abs(n);
  if (a >= 999.5e6) return `${short(n / 1e9)} G`;
  if (a >= 999.5e3) return `${short(n / 1e6)} M`;
  if (a >= 1e4) return `${short(n / 1e3)} k`;
  if (a >= 100 || Number.isInteger(n)) return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, '\u202f');
  return short(n);
}

function short(n) {
  const a = Math.abs(n);
  if (a >= 100) return n.toFixed(0);
  if (a >= 10) return n.toFixed(1).replace(/\.0$/, '');
  return n.toFixed(2).replace(/\.?0+$/, '');
}

// exact writes every digit of a whole number.
export function exact(n) {
  return known(n) ? String(n).replace(/\B(?=(\d{3})+$)/g, '\u202f') : none;
}

// ms writes a time that is given in milliseconds: 0.21 ms, 312 ms, 1.9 s, 2 min.
export function ms(x) {
  if (!known(x)) return none;
  if (x < 1) return `${x.toFixed(2)} ms`;
  if (x < 10) return `${x.toFixed(1)} ms`;
  if (x < 1000) return `${Math.round(x)} ms`;
  if (x < 60_000) return `${(x / 1000).toFixed(x < 10_000 ? 1 : 0)} s`;
  return seconds(x / 1000);
}

// seconds writes a time that is given in seconds.
export function seconds(s) {
  if (!known(s)) return none;
  if (s < 10) return `${s.toFixed(s < 1 ? 1 : 0)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 129_600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

// usd writes an amount of money.
export function usd(x) {
  if (!known(x)) return none;
  if (x > 0 && x < 0.000001) return '<$0.000001';
  if (x !== 0 && Math.abs(x) < 0.01) return `$${x.toFixed(6).replace(/0+$/, '')}`;
  if (Math.abs(x) >= 10_000) return `$${count(x)}`;
  return `$${x.toFixed(2).replace(/\B(?=(\d{3})+\.)/g, '\u202f')}`;
}

// percent writes a share.
export function percent(x) {
  if (!known(x)) return none;
  const p = x * 100;
  return `${p === 0 ? '0' : p < 0.1 ? '<0.1' : p < 10 ? p.toFixed(1) : p.toFixed(0)} %`;
}

const pad = (n) => String(n).padStart(2, '0');

// clock writes the time of day.
export function clock(at) {
  const t = new Date(at);
  return `${pad(t.getHours())}:${pad(t.getMinutes())}:${pad(t.getSeconds())}`;
}

// moment writes a day and the time of it.
export function moment(at) {
  const t = new Date(at);
  return `${t.getFullYear()}-${pad(t.getMonth() + 1)}-${pad(t.getDate())} ${clock(at)}`;
}

// The clock of this computer may be wrong. What is told of the past is told by the
// gateway's, which told() is given as it comes.
let ahead = 0;
export function told(at) { ahead = Date.parse(at) - Date.now(); }
export function now() { return Date.now() + ahead; }

// ago writes how long ago it was.
export function ago(at) {
  const s = (now() - new Date(at).getTime()) / 1000;
  return s < 5 ? 'just now' : `${seconds(s)} ago`;
}

// outcome returns the words and the color of how a request ended.
export function outcome(o) {
  return {
    ok: ['ok', 'good'], refused_policy: ['refused by policy', 'warn'], refused_limit: ['refused by a limit', 'warn'],
    client_error: ['client error', 'warn'], upstream_error: ['upstream error', 'bad'], gateway_error: ['gateway error', 'bad'],
    client_gone: ['client left', 'dim'],
  }[o] || [o, 'dim'];
}

// deployment returns the words and the color of what a deployment is doing.
export function deployment(d) {
  switch (d.state) {
    case 'closed': return ['closed', 'good'];
    case 'resting': return [`resting ${seconds(d.rest_seconds)}${d.why ? ` (${d.why})` : ''}`, 'warn'];
    case 'open': return [`open, probe in ${seconds(d.probe_seconds)}`, 'bad'];
    case 'half_open': return ['probing', 'warn'];
    default: return [d.state, 'dim'];
  }
}

// limitName returns what a limit is called.
export function limitName(name) {
  return {
    rpm: 'Requests a minute', tpm: 'Tokens a minute', concurrency: 'At once', budget: 'Budget',
    special_tokens: 'special tokens', context: 'context window', policy: 'policy', upstream: 'no room at Azure', request: 'bad request',
  }[name] || name;
}
