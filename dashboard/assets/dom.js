// Makes elements. Text becomes text and never markup, so that a name from a client
// is shown as it is written.

// h returns an element: its attributes, its listeners (onclick) and its children.
export function h(tag, attributes = {}, ...children) {
  const e = tag === 'svg' || tag === 'path' || tag === 'rect' || tag === 'line'
    ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else if (name === 'value') e.value = value;
    else e.setAttribute(name, value === true ? '' : value);
  }
  put(e, ...children);
  return e;
}

// put appends children: elements, texts, lists of them, and nothing for null.
export function put(e, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    e.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return e;
}

// fill replaces what is in an element.
export function fill(e, ...children) {
  e.replaceChildren();
  return put(e, ...children);
}

// text sets a text where it has changed.
export function text(e, value) {
  const next = String(value);
  if (e.textContent !== next) e.textContent = next;
  return e;
}

// bar returns a meter: how much of most is used. It is a warning from 80 percent on.
export function bar(used, most, label, share = used / most) {
  const part = Math.max(0, Math.min(1, share || 0));
  const inner = h('span', { class: 'fill' });
  inner.style.width = `${(part * 100).toFixed(1)}%`;
  return h('span', {
    class: `bar ${part >= 1 ? 'bad' : part >= 0.8 ? 'warn' : ''}`, role: 'meter', 'aria-label': label,
    'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-valuenow': Math.round(part * 100),
  }, inner);
}

// table returns a table that is kept up to date by rows(): only the cells that have
// changed are made again, so that whoever is on a link in it stays there.
export function table({ label, columns, key, empty }) {
  const body = h('tbody');
  const element = h('div', { class: 'scroll', role: 'region', 'aria-label': label, tabindex: 0 },
    h('table', {}, h('thead', {}, h('tr', {}, columns.map((c) => h('th', { scope: 'col', class: c.number ? 'number' : null }, c.label)))), body));
  const known = new Map();
  function row(id) {
    const cells = columns.map((c, i) => h(i === 0 ? 'th' : 'td', { class: c.number ? 'number' : null, scope: i === 0 ? 'row' : null }));
    return { element: h('tr', {}, cells), cells, was: [] };
  }
  function rows(all) {
    const ids = new Set();
    let at = body.firstChild;
    if (all.length === 0) {
      known.clear();
      fill(body, h('tr', {}, h('td', { colspan: columns.length, class: 'empty' }, empty || 'Nothing yet.')));
      return;
    }
    if (known.size === 0) { body.replaceChildren(); at = null; }
    for (const data of all) {
      const id = key(data);
      ids.add(id);
      let r = known.get(id);
      if (!r) { r = row(id); known.set(id, r); }
      columns.forEach((c, i) => {
        const shown = c.show(data);
        const sign = c.sign ? c.sign(data) : shown instanceof Node ? shown.outerHTML : [shown].flat(Infinity).map((x) => (x instanceof Node ? x.outerHTML : x)).join('');
        if (r.was[i] !== sign) { r.was[i] = sign; fill(r.cells[i], shown); }
      });
      if (r.element !== at) body.insertBefore(r.element, at); else at = at.nextSibling;
    }
    for (const [id, r] of known) if (!ids.has(id)) { r.element.remove(); known.delete(id); }
  }
  return { element, rows };
}

// heading returns a title of a section, and what stands beside it.
export function heading(title, ...beside) {
  return h('div', { class: 'heading' }, h('h2', {}, title), beside);
}

// facts returns a list of names and values, without those that have none.
export function facts(pairs) {
  return h('dl', { class: 'facts' }, pairs
    .filter(([, value]) => value !== null && value !== undefined && value !== '' && value !== false)
    .map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}
